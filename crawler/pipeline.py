"""One crawl as one loop: sources → intake → chunks → executor → whoever consumes the results.

The consumer pulls. While it is busy nothing new is sent, the pipes fill, and the workers pause: back-pressure from
the archive's disk (or the caller's loop body) to the list, with nothing in between that could grow.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable

from crawler.chunks import Router, needs_homes
from crawler.config import CrawlConfig
from crawler.executors.base import Executor, ExecutorEvent, Moved, Settled
from crawler.feed import Feed
from crawler.intake import Intake
from crawler.ordering import InOrder
from crawler.records import Result
from crawler.sources.base import Source

_TICK_S = 0.25
_ORDERED_AHEAD = 4  # how far an ordered crawl runs ahead of its oldest open entry, as a multiple of what is in flight


class Pipeline:
    """One crawl over a source.

    `read` counts the entries taken from it, `in_hand` those that workers have; `consumed_s` is the time that the
    consumer took with the results.
    """

    def __init__(
        self,
        source: Source,
        executor: Executor,
        config: CrawlConfig,
        key: bytes,
        done: Iterable[int] = (),
        *,
        ordered: bool = False,
    ) -> None:
        self.source = source
        self.config = config
        self.executor = executor
        self.feed = Feed(source, executor.wake)
        self.router = Router(executor.workers, config.chunk_size, homes=needs_homes(config))
        self.read = 0
        self.in_hand = 0
        self.consumed_s = 0.0
        self._intake = Intake(config, key, done)
        self._order = InOrder() if ordered else None
        self._ahead = max(_ORDERED_AHEAD * config.procs * config.conc, config.chunk_size)

    def run(self) -> Generator[list[Result], None, None]:
        """Results as they come, in batches; an empty batch is a tick, a few each second.

        Raises WorkerError when a worker dies, and whatever the source raises.
        """
        try:
            while not self._finished():
                results = self._admit() if self._may_read() else []
                may_read = self._may_read()
                for worker, chunk in self.router.chunks(self.executor.credit, paused=not may_read):
                    self.in_hand += len(chunk.states)
                    self.executor.send(worker, chunk)
                for event in self.executor.events(0 if may_read or results else _TICK_S):
                    results += self._settle(event)
                given = time.monotonic()
                yield results if self._order is None else self._order.add(results)
                self.consumed_s += time.monotonic() - given
        finally:
            self.feed.close()
            if self._order is not None:
                self._order.close()

    def _finished(self) -> bool:
        return not self.in_hand and not self.router.waiting and self.feed.ended

    def _may_read(self) -> bool:
        """Whether there is something to read, and the window (an ordered crawl has one more) reaches so far."""
        if self.feed.empty or self.router.full:
            return False
        return self._order is None or self.read - self._order.released < self._ahead

    def _admit(self) -> list[Result]:
        """Read on; the results of entries that end before they are sent."""
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
