"""An executor's workers at work: who gets what next, what comes back, and what a death means for those it leaves.

The second half of the line, from the router to the results. A run on one machine has one crew; of a run on many, each
machine has one, and for the coordinator the machines' shards of the hosts are what workers are for a machine.
"""

from __future__ import annotations

from collections.abc import Callable

from crawler.chunks import Router, needs_homes
from crawler.config import CrawlConfig
from crawler.executors.base import Died, Executor, ExecutorEvent, Moved, Refused, Replaced, Said, Settled
from crawler.quarantine import Group, Quarantine, Verdict
from crawler.records import FlowState, Result, row_of
from crawler.survivors import Survivors


class Crew:
    """The workers of an executor, and what waits for them.

    `in_hand` counts the entries that workers have. `deaths` counts the workers that died; `last_death` says of what the
    last one did ('' before), after 'the worker'. Entries that redirects lead to where `is_ours` says no are in `away`.
    `said` are sentences that people should read; who shows them takes them out.
    """

    def __init__(
        self, executor: Executor, config: CrawlConfig, is_ours: Callable[[FlowState], bool] | None = None
    ) -> None:
        self.executor = executor
        self.router = Router(executor.workers, config.chunk_size, homes=needs_homes(config))
        self.quarantine = Quarantine()
        self.in_hand = 0
        self.deaths = 0
        self.last_death = ""
        self.said: list[str] = []
        self.away: list[FlowState] = []
        self._is_ours = is_ours
        self._survivors = Survivors()

    @property
    def open(self) -> int:
        """How many entries came in and are not final."""
        return self.in_hand + self.router.waiting + self.quarantine.waiting

    def send(self, *, paused: bool) -> None:
        """Give each worker that asked its next chunk; one with suspects the next group of them, apart."""
        for worker, chunk in self.router.chunks(self._credit, paused=paused):
            self.in_hand += len(chunk.states)
            self.executor.send(worker, chunk)
        for worker in self.quarantine.workers():
            suspects = self.quarantine.next(worker) if self.executor.credit(worker) > 0 else ()
            if suspects:
                self.in_hand += len(suspects)
                self.executor.send(worker, self.router.chunk_of(suspects))

    def results(self, timeout_s: float) -> list[Result]:
        """What became final; waits so long for something to happen, and may come back with nothing. Raises RunError."""
        results: list[Result] = []
        for event in self.executor.events(timeout_s):
            results += self._settle(event)
        return results

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
            if self._is_ours is None or self._is_ours(event.state):
                self.router.add(event.state, first=True)
            else:
                self.away.append(event.state)
        if isinstance(event, Replaced):
            self._count(event.deaths, event.cause)
        if isinstance(event, Said):
            self.said.append(event.text)
        if isinstance(event, Refused):
            self._take_back(event.worker, (), event.states)
        if isinstance(event, Died):
            return self._mourn(event)
        return []

    def _mourn(self, event: Died) -> list[Result]:
        """A worker died: what waited goes back, what was in flight is suspected, what killed alone is condemned."""
        self._count(event.counts, event.cause)
        page = self._survivors.died(event.page, event.cause, ended=event.ended)
        if page is not None:
            self._outlive(page.row.seq, event)
            return [page]
        verdict = self._take_back(event.worker, event.suspects, event.others)
        killer = verdict.killer
        return [] if killer is None else self._survivors.settled([_condemned(killer, verdict.deaths, event)])

    def _count(self, deaths: int, cause: str) -> None:
        if deaths:
            self.deaths += deaths
            self.last_death = cause

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
