"""One crawl as one loop: sources → intake → chunks → executor → whoever consumes the results.

The consumer pulls. While it is busy nothing new is sent, the pipes fill, and the workers pause: back-pressure from
the archive's disk (or the caller's loop body) to the list, with nothing in between that could grow.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable

from crawler.chunks import Router, needs_homes
from crawler.config import CrawlConfig
from crawler.executors.base import Died, Executor, ExecutorEvent, Moved, Refused, Settled
from crawler.feed import Feed
from crawler.intake import Intake
from crawler.ordering import InOrder
from crawler.quarantine import Group, Quarantine, Verdict
from crawler.records import FlowState, Result, row_of
from crawler.sources.base import Source
from crawler.store.previous import previous_of
from crawler.survivors import Survivors

STOP_S = 3.0
"""How long a run that is stopped waits for what is in flight."""

_TICK_S = 0.25
_ORDERED_AHEAD = 4  # how far an ordered crawl runs ahead of its oldest open entry, as a multiple of what is in flight


class Pipeline:
    """One crawl over a source.

    `read` counts the entries taken from it, `in_hand` those that workers have; `consumed_s` is the time that the
    consumer took with the results, `stops_at` when a run that was told to stop does so at the latest. `deaths` counts
    the workers that died; `last_death` says of what the last one did ('' before), after 'the worker'.
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
        self.quarantine = Quarantine()
        self._survivors = Survivors()
        self.read = 0
        self.in_hand = 0
        self.consumed_s = 0.0
        self.stops_at: float | None = None
        self.deaths = 0
        self.last_death = ""
        self._intake = Intake(config, key, done)
        self._previous = previous_of(config)
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
                    self._send(paused=not may_read)
                for event in self.executor.events(0 if may_read or results else _TICK_S):
                    results += self._settle(event)
                given = time.monotonic()
                yield results if self._order is None else self._order.add(results)
                self.consumed_s += time.monotonic() - given
        finally:
            self.feed.close()
            if self._previous is not None:
                self._previous.close()
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
        return self.in_hand + self.router.waiting + self.quarantine.waiting

    def _may_read(self) -> bool:
        """Whether there is something to read, and the window (an ordered crawl has one more) reaches so far."""
        if self.feed.empty or self.router.full or self.stops_at is not None:
            return False
        return self._order is None or self.read - self._order.released < self._ahead

    def _admit(self) -> list[Result]:
        """Read on; the results of entries that end before they are sent."""
        entries = self.feed.take()
        self.read += len(entries)
        states, results = self._intake.admit(entries)
        if self._previous is not None:
            states = self._previous.attach(states)
        if self._previous is not None:
            states = self._previous.attach(states)
        for state in states:
            self.router.add(state)
        return results

    def _send(self, *, paused: bool) -> None:
        """Give each worker that asked its next chunk; one with suspects the next group of them, apart."""
        for worker, chunk in self.router.chunks(self._credit, paused=paused):
            self.in_hand += len(chunk.states)
            self.executor.send(worker, chunk)
        for worker in self.quarantine.workers():
            suspects = self.quarantine.next(worker) if self.executor.credit(worker) > 0 else ()
            if suspects:
                self.in_hand += len(suspects)
                self.executor.send(worker, self.router.chunk_of(suspects))

    def _credit(self, worker: int) -> int:
        return 0 if self.quarantine.holds(worker) else self.executor.credit(worker)

    def _settle(self, event: ExecutorEvent) -> list[Result]:
        if isinstance(event, Settled):
            self.in_hand -= len(event.results)
            self.quarantine.cleared(event.worker, (result.row.seq for result in event.results))
            return self._survivors.settled(event.results)
        if isinstance(event, Moved):
            self.in_hand -= 1
            self.quarantine.cleared(event.worker, [event.state.seq])
            self.router.add(event.state, first=True)
        if isinstance(event, Refused):
            self._take_back(event.worker, (), event.states)
        if isinstance(event, Died):
            return self._mourn(event)
        return []

    def _mourn(self, event: Died) -> list[Result]:
        """A worker died: what waited goes back, what was in flight is suspected, what killed alone is condemned."""
        self.deaths += 1
        self.last_death = event.cause
        page = self._survivors.died(event.page, event.cause, ended=event.ended)
        if page is not None:
            self._outlive(page.row.seq, event)
            return [page]
        verdict = self._take_back(event.worker, event.suspects, event.others)
        killer = verdict.killer
        return [] if killer is None else self._survivors.settled([_condemned(killer, verdict.deaths, event)])

    def _outlive(self, seq: int, event: Died) -> None:
        """A worker died of a page's parse, which is known and was here: whoever else was in it is free."""
        self.in_hand -= 1
        self.quarantine.cleared(event.worker, [seq])
        rest = tuple(state for state in (*event.suspects, *event.others) if state.seq != seq)
        self._take_back(event.worker, (), rest)

    def _take_back(self, worker: int, suspects: Group, others: Group) -> Verdict:
        self.in_hand -= len(suspects) + len(others)
        verdict = self.quarantine.died(worker, suspects, others)
        for state in reversed(verdict.free):
            self.router.add(state, first=True)
        return verdict


def _condemned(state: FlowState, deaths: int, event: Died) -> Result:
    """The row of an entry that killed its worker twice when it was alone in it, the last of `deaths`."""
    error = f"Its worker {event.cause}, twice when it ran alone."
    attempts = state.earlier_attempts + state.attempts + deaths
    return Result(
        row_of(state, "failed", error_class="worker_crash", error=error, attempts=attempts, worker=event.worker)
    )
