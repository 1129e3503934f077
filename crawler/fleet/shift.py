"""One machine's work on one run: chunks in, packs out, done by a crew of its own.

A thread of its own owns the crew; orders come from Celery's threads, packs are laid down by two more.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crawler.chunks import home_of, needs_homes
from crawler.crew import Crew
from crawler.depot.base import Depot
from crawler.errors import CrawlerError, StoreError
from crawler.executors.processes import make_executor
from crawler.fleet.words import Notice, Plan
from crawler.packs import Packer
from crawler.records import FlowState, Result, Status
from crawler.store.warcinfo import make_warcinfo

HITCH_S = 60.0
"""How long what was fetched waits for a store that does not take it; then other machines may do better."""

_TICK_S = 0.25
_PART_BYTES = 32 * 1024**2
_PART_ROWS = 20_000
_PART_S = 2.0
_MOVED_S = 0.5  # an entry on its way to another machine waits for nothing else
_STOP_S = 3.0
_AGAIN_S = (0.5, 1.0, 2.0, 5.0)
_UPLOADS = 2


@dataclasses.dataclass(slots=True, eq=False)
class _Job:
    """A chunk in hand: the seqs that are not final, since when its part has something to tell, if it was the last."""

    chunk: int
    shard: int
    packer: Packer
    left: set[int]
    since: float | None = None
    ended: bool = False
    over: threading.Event = dataclasses.field(default_factory=threading.Event)


class Shift:
    """From the first chunk of a run on this machine to the last, or to where it must let go.

    `attempt` names its packs; `told` is called with what the coordinator should hear, and may raise nothing. `fault`
    is the sentence of what ended it, if that was no order; `hitch` of what it is waiting for just now, and for
    `hitched_s`. `finished` counts the entries that it did.
    """

    def __init__(
        self, run: str, plan: Plan, depot: Depot, attempt: str, host: str, folder: Path, told: Callable[[Notice], None]
    ) -> None:
        self.run = run
        self.fault = self.hitch = ""
        self.finished = 0
        self._hitched_at = 0.0
        self._plan = plan
        self._depot = depot
        self._attempt = attempt
        self._host = host
        self._folder = folder
        self._told = told
        self._executor = make_executor(plan.config, plan.keep, folder, shards=plan.shards)
        self._crew = Crew(self._executor, plan.config, self._is_ours)
        self._jobs: dict[int, _Job] = {}
        self._known: set[int] = set()  # all chunks of this run that were ever taken: an order may come twice
        self._owners: dict[int, _Job] = {}
        self._inbox: deque[tuple[_Job, tuple[FlowState, ...]]] = deque()
        self._lock = threading.Lock()
        self._uploads = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="depot")
        self._room = threading.Semaphore(2 * _UPLOADS)
        self._stops_at: float | None = None
        self._gone = False
        self._thread = threading.Thread(target=self._run, name=f"run-{run}", daemon=True)
        self._thread.start()

    @property
    def chunks(self) -> tuple[int, ...]:
        """The chunks in hand, those included of which the last part is being laid down."""
        with self._lock:
            return tuple(self._jobs)

    @property
    def hitched_s(self) -> float:
        """For how many seconds nothing could be laid down."""
        return time.monotonic() - self._hitched_at if self.hitch else 0.0

    @property
    def deaths(self) -> int:
        """How many workers have died."""
        return self._crew.deaths

    @property
    def last_death(self) -> str:
        """Of what the last one died, after 'the worker'."""
        return self._crew.last_death

    def add(self, chunk: int, shard: int, states: Iterable[FlowState]) -> Callable[[], object] | None:
        """Take a chunk; what is returned waits until it is done or handed back. None where it cannot be taken."""
        packer = Packer(self.run, chunk, self._attempt, self._host, make_warcinfo(self._plan.config), self._folder)
        states = tuple(states)
        job = _Job(chunk, shard, packer, {state.seq for state in states})
        with self._lock:
            if chunk in self._known or self._stops_at is not None:
                return None
            self._known.add(chunk)
            self._jobs[chunk] = job
            self._inbox.append((job, states))
        self._executor.wake()
        return job.over.wait

    def status(self) -> Status | None:
        """What all workers said last, as of one; the processor time is a worker's, on average."""
        found = list(self._executor.statuses().values())
        if not found:
            return None
        return Status(
            in_flight=sum(status.in_flight for status in found),
            conc=sum(status.conc for status in found),
            held=sum(status.held for status in found),
            ready=sum(status.ready for status in found),
            cpu_s=sum(status.cpu_s for status in found) / len(found),
            memory_bytes=sum(status.memory_bytes for status in found),
            waiting=tuple(host for status in found for host in status.waiting)[:8],
            shortage=next((status.shortage for status in found if status.shortage), None),
            looking_up=sum(status.looking_up for status in found),
        )

    def end(self, *, at_once: bool = False) -> None:
        """Let go, and wait until that is done: what is final is laid down, the rest is handed back.

        `at_once` leaves no time to what is in flight: its hosts may be another machine's in a moment.
        """
        with self._lock:
            if self._stops_at is None or at_once:
                self._stops_at = time.monotonic() + (0.0 if at_once else _STOP_S)
        self._executor.wake()
        self._thread.join()

    def _is_ours(self, state: FlowState) -> bool:
        """Whether a redirect stays within the shard that its entry was ordered for."""
        return not self._plan.shards or home_of(state.host, self._plan.shards) == self._owners[state.seq].shard

    def _run(self) -> None:
        try:
            self._work()
        except CrawlerError as error:
            self.fault = str(error)
        except Exception as error:
            self.fault = f"A fault of the program's own, {error!r}: see the traceback above."
            traceback.print_exc()
        finally:
            # 1. Nobody fetches any more, 2. what is final is laid down, 3. whoever waits for a chunk is let go.
            with self._lock:
                self._stops_at = self._stops_at or 0.0
            self._executor.close()
            for job in list(self._jobs.values()):
                self._cut(job, done=True)
            self._uploads.shutdown()

    def _work(self) -> None:
        told_to_stop = False
        while True:
            stops_at = self._stops_at
            if stops_at is not None and not told_to_stop:
                self._executor.stop()
                told_to_stop = True
            if stops_at is not None and (self._executor.stopped or time.monotonic() >= stops_at):
                return
            if stops_at is None:
                self._take_in()
                self._crew.send(paused=True)
            for result in self._crew.results(_TICK_S):
                self._keep(result)
            self._let_go()
            self._cut_due(time.monotonic())

    def _take_in(self) -> None:
        while self._inbox:
            job, states = self._inbox.popleft()
            for state in states:
                self._owners[state.seq] = job
                self._crew.router.add(state)

    def _keep(self, result: Result) -> None:
        self._owner(result.row.seq).packer.add(result)
        self.finished += 1

    def _let_go(self) -> None:
        """Entries that lead away go into their chunk's next part."""
        for state in self._crew.away:
            self._owner(state.seq).packer.moved.append(state)
        self._crew.away.clear()

    def _owner(self, seq: int) -> _Job:
        job = self._owners.pop(seq)
        job.left.discard(seq)
        if job.since is None:
            job.since = time.monotonic()
        return job

    def _cut_due(self, now: float) -> None:
        for job in list(self._jobs.values()):
            if job.ended:
                continue
            if not job.left:
                self._cut(job, done=True)
            elif job.since is not None and self._is_due(job, now - job.since):
                self._cut(job, done=False)

    def _is_due(self, job: _Job, age_s: float) -> bool:
        packer = job.packer
        return (
            packer.bytes >= _PART_BYTES
            or len(packer.rows) >= _PART_ROWS
            or age_s >= (_MOVED_S if packer.moved else _PART_S)
        )

    def _cut(self, job: _Job, *, done: bool) -> None:
        """Lay down what a chunk has; where the depot is slow, this waits, and with it the workers."""
        if job.ended:
            return
        job.since, job.ended = None, done  # it stays in hand until it is laid down
        lay_down = job.packer.cut(self._depot, done=done)
        self._room.acquire()
        self._uploads.submit(self._upload, job, lay_down, done)

    def _upload(self, job: _Job, lay_down: Callable[[], str], done: bool) -> None:
        try:
            name = self._insist(lay_down)
            if name is not None:
                self._told(Notice("part", job.chunk, name))
        finally:
            if done:
                with self._lock:
                    self._jobs.pop(job.chunk, None)
                job.over.set()
            self._room.release()

    def _insist(self, lay_down: Callable[[], str]) -> str | None:
        """Lay it down, however often that takes; once the shift is over, only a few more times."""
        tries = 0
        while True:
            try:
                name = lay_down()
            except StoreError as error:
                if not self.hitch:
                    self._hitched_at = time.monotonic()
                self.hitch = str(error)
            else:
                self.hitch = ""
                return name
            tries += 1
            if self._stops_at is not None and (tries > len(_AGAIN_S) or self.hitched_s > HITCH_S):
                return None
            time.sleep(_AGAIN_S[min(tries, len(_AGAIN_S)) - 1])


def fitted(plan: Plan, procs: int, conc: int) -> Plan:
    """The plan with what is this machine's own: how many processes, and how many requests in flight in each."""
    config = dataclasses.replace(plan.config, procs=procs, conc=conc)
    return Plan(config, plan.keep, plan.shards if needs_homes(config) else 0)
