"""One crawl as one loop: sources → intake → chunks → executor → whoever consumes the results.

The consumer pulls. While it is busy nothing new is sent, the pipes fill, and the workers pause: back-pressure from
the archive's disk (or the caller's loop body) to the list, with nothing in between that could grow.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable

from crawler.config import CrawlConfig
from crawler.crew import Crew
from crawler.executors.base import Executor
from crawler.feed import Feed
from crawler.intake import Intake
from crawler.ordering import InOrder
from crawler.records import Result
from crawler.sources.base import Source
from crawler.store.previous import previous_of

STOP_S = 3.0
"""How long a run that is stopped waits for what is in flight."""

_TICK_S = 0.25
_ORDERED_AHEAD = 4  # how far an ordered crawl runs ahead of its oldest open entry, as a multiple of what is in flight


class Pipeline:
    """One crawl over a source.

    `read` counts the entries taken from it, and `crew` does them; `consumed_s` is the time that the consumer took with
    the results, `stops_at` when a run that was told to stop does so at the latest.
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
        self.crew = Crew(executor, config)
        self.read = 0
        self.consumed_s = 0.0
        self.stops_at: float | None = None
        self._intake = Intake(config, key, done)
        self._previous = previous_of(config)
        self._order = InOrder() if ordered else None
        self._ahead = max(_ORDERED_AHEAD * config.procs * config.conc, config.chunk_size)

    def run(self) -> Generator[list[Result], None, None]:
        """Results as they come, in batches; an empty batch is a tick, a few each second.

        Raises WorkerError when workers die of nothing that they do, and whatever the source raises.
        """
        try:
            while not self._finished():
                results = self._admit() if self._may_read() else []
                may_read = self._may_read()
                if self.stops_at is None:
                    self.crew.send(paused=not may_read)
                results += self.crew.results(0 if may_read or results else _TICK_S)
                given = time.monotonic()
                yield results if self._order is None else self._order.add(results)
                self.consumed_s += time.monotonic() - given
        finally:
            self.feed.close()
            if self._previous is not None:
                self._previous.close()
            if self._order is not None:
                self._order.close()

    def stop(self) -> None:
        """Begin nothing more: `run` goes on until what is in flight is done, some seconds at most."""
        if self.stops_at is None:
            self.stops_at = time.monotonic() + STOP_S
            self.executor.stop()

    def _finished(self) -> bool:
        if self.stops_at is not None and (self.executor.stopped or time.monotonic() >= self.stops_at):
            return True
        return not self.open and self.feed.ended

    @property
    def open(self) -> int:
        """How many entries were read and are not final."""
        return self.crew.open

    def _may_read(self) -> bool:
        """Whether there is something to read, and the window (an ordered crawl has one more) reaches so far."""
        if self.feed.empty or self.crew.router.full or self.stops_at is not None:
            return False
        return self._order is None or self.read - self._order.released < self._ahead

    def _admit(self) -> list[Result]:
        """Read on; the results of entries that end before they are sent."""
        entries = self.feed.take()
        self.read += len(entries)
        states, results = self._intake.admit(entries)
        if self._previous is not None:
            states = self._previous.attach(states)
        for state in states:
            self.crew.router.add(state)
        return results
