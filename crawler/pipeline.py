"""One crawl as one loop: sources → intake → chunks → executor → whoever consumes the results.

The consumer pulls. While it is busy nothing new is sent, the pipes fill, and the workers pause: back-pressure from
the archive's disk (or the caller's loop body) to the list, with nothing in between that could grow.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

from crawler.chunks import Router, needs_homes
from crawler.config import CrawlConfig
from crawler.executors.base import Executor, ExecutorEvent, Moved, Settled
from crawler.feed import Feed
from crawler.intake import Intake
from crawler.records import Result
from crawler.sources.base import Source

_TICK_S = 0.25


class Pipeline:
    """One crawl over a source. `read` counts the entries taken from it, `in_hand` those that workers have."""

    def __init__(
        self, source: Source, executor: Executor, config: CrawlConfig, key: bytes, done: Iterable[int] = ()
    ) -> None:
        self.source = source
        self.executor = executor
        self.feed = Feed(source, executor.wake)
        self.router = Router(executor.workers, config.chunk_size, homes=needs_homes(config))
        self.read = 0
        self.in_hand = 0
        self._intake = Intake(config, key, done)

    def run(self) -> Generator[list[Result], None, None]:
        """Results as they come, in batches; an empty batch is a tick, a few each second.

        Raises WorkerError when a worker dies, and whatever the source raises.
        """
        try:
            while not self._finished():
                results = self._admit()
                for worker, chunk in self.router.chunks(self.executor.credit, paused=self.feed.empty):
                    self.in_hand += len(chunk.states)
                    self.executor.send(worker, chunk)
                may_read = not self.feed.empty and not self.router.full
                for event in self.executor.events(0 if may_read or results else _TICK_S):
                    results += self._settle(event)
                yield results
        finally:
            self.feed.close()

    def _finished(self) -> bool:
        return not self.in_hand and not self.router.waiting and self.feed.ended

    def _admit(self) -> list[Result]:
        """Read on as far as the window reaches; the results of entries that end before they are sent."""
        if self.router.full or self.feed.empty:
            return []
        entries = self.feed.take()
        self.read += len(entries)
        states, results = self._intake.admit(entries)
        for state in states:
            self.router.add(state)
        return results

    def _settle(self, event: ExecutorEvent) -> list[Result]:
        if isinstance(event, Settled):
            self.in_hand -= 1
            return [event.result]
        if isinstance(event, Moved):
            self.in_hand -= 1
            self.router.add(event.state, first=True)
        return []
