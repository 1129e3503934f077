"""A machine of a distributed crawl: `crawl worker`. It does what it is ordered, and what it must without an order.

It says every two seconds that it is there. As long as that is heard, the shards of its orders are leased to it; where
it could not be said for a lease, they may be another's, so it stops, hands back what it has, and begins a new term.
"""

from __future__ import annotations

import functools
import os
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crawler.config import CrawlConfig
from crawler.depot import open_depot
from crawler.depot.base import Depot
from crawler.errors import ConfigError, CrawlerError, StoreError
from crawler.fleet.board import Board
from crawler.fleet.broker import BACK, client_errors, reason, silence
from crawler.fleet.shift import HITCH_S, Shift, fitted
from crawler.fleet.words import (
    BEAT_S,
    LEASE_S,
    Beat,
    Lead,
    Notice,
    Order,
    Plan,
    chunk_name,
    plan_name,
    read_order,
    read_plan,
    read_states,
    trial_name,
)
from crawler.records import FlowState

_SAY_BEATS = 15  # half a minute
_IDLE_BEATS = 3  # without a chunk and without anybody who leads: then the processes are let go

Say = Callable[[str], None]

_TROUBLES: tuple[type[Exception], ...] = (CrawlerError, *client_errors())


def chunks_most(procs: int) -> int:
    """How many chunks a machine has in hand at most: most of them wait for their last, slow entries."""
    return 32 + 32 * procs


def entries_most(procs: int, conc: int) -> int:
    """How many entries make it ask for no more: what its processes do while the next chunks are on their way."""
    return procs * (6000 + 4 * conc)


class Machine:
    """This machine, from `start` to `close`; `hear` is called by as many threads as it takes chunks.

    `parse` are the functions that it may run, `where` its own path of the depot, `say` tells people what it does.
    `fault` is the sentence of what must end it, `broken` is called then. One that is `leaving` takes no more chunks.
    """

    def __init__(
        self,
        board: Board,
        *,
        procs: int,
        conc: int,
        folder: Path,
        say: Say,
        parse: tuple[str, ...] = (),
        where: str | None = None,
        broken: Callable[[], None] = lambda: None,
    ) -> None:
        self.id = secrets.token_hex(6)
        self.host = socket.gethostname()
        self.fault = ""
        self._board = board
        self._procs, self._conc, self._parse, self._where = procs, conc, parse, where
        self._folder = folder
        self._say = say
        self._broken = broken
        self._lock = threading.RLock()
        self._term = 1
        self._count = 0
        self._idle = 0
        self._lead: Lead | None = None
        self._is_led = False
        self._shift: Shift | None = None
        self._fences: dict[int, int] = {}
        self._renewed = time.monotonic()
        self._lost = False
        self._trouble = ""  # why orders of the run that leads cannot be done here
        self._looker = threading.Thread()
        self._counting = threading.Lock()
        self.leaving = False
        self._left = threading.Event()
        self._telling = ThreadPoolExecutor(1, thread_name_prefix="telling")
        self._thread = threading.Thread(target=self._stay, name="beat", daemon=True)

    def start(self) -> None:
        """Say that we are here, from now on. Raises `redis.RedisError` where nobody hears it."""
        self._beat()
        self._thread.start()

    def take(self, order: Order) -> str:
        """Do a chunk, or say in a word why not; returns when it is done or handed back."""
        with self._lock:
            wait = self._begin(order)
        if isinstance(wait, str):
            return wait
        wait()
        return "done"

    def hear(self, words: object) -> str:
        """Take an order as it came; one that cannot be read is refused, and the coordinator hears of that."""
        try:
            order = read_order(words)
        except ConfigError as error:
            self._complain(error)
            return "refused"
        return self.take(order)

    def stop(self) -> None:
        """Finish what is in flight, for some seconds, and hand back the rest."""
        with self._lock:
            self.leaving = True
            shift = self._shift
        if shift is not None:
            shift.end()

    def close(self) -> None:
        """Say that we are gone, so that nobody waits for us."""
        self.stop()
        self._left.set()
        self._telling.shutdown()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self._lead is None or self._board.leader() is None:
                self._board.forget(self.id)
            else:
                self._board.beat(self._describe(left=True))
        except client_errors():
            self._say("The broker does not hear that this machine leaves; after a lease it will be taken for dead.")

    def _begin(self, order: Order) -> Callable[[], object] | str:
        if self.leaving or order.machine != self.id or order.term != self._term:
            return "stale"  # a message that came twice, or after its lease
        if order.fence < self._fences.get(order.shard, 0):
            return "stale"
        try:
            shift = self._shift_of(order.run)
            states = None if shift is None else self._entries(order)
        except _TROUBLES as error:
            self._complain(error)
            return "refused"
        if shift is None or states is None:
            return "stale"  # what came of it was taken in already
        self._trouble = ""
        return self._add(shift, order, states)

    def _add(self, shift: Shift, order: Order, states: tuple[FlowState, ...]) -> Callable[[], object] | str:
        with self._counting:  # so that whoever hears of a later beat knows that it was not begun
            if order.until is not None and self._count > order.until:
                return "stale"
            wait = shift.add(order.chunk, order.shard, states)
        self._tell(order.run, Notice("begun", order.chunk))
        if wait is None:
            return "known"
        self._fences[order.shard] = order.fence
        return wait

    def _entries(self, order: Order) -> tuple[FlowState, ...] | None:
        """The entries of a chunk; None where it was taken in already. Raises CrawlerError where that is not so."""
        data = self._depot().get(chunk_name(order.run, order.chunk))
        if data is None:
            self._plan(order.run)  # it is there for as long as the run lasts, unless we do not see the store
            return None
        try:
            return read_states(data)
        except ValueError as error:
            raise StoreError(
                f"Chunk {order.chunk} of run {order.run} is damaged, or of another version of this program; install "
                "the same one on all machines."
            ) from error

    def _shift_of(self, run: str) -> Shift | None:
        """The shift of a run, begun if it is the one that leads. Raises CrawlerError."""
        if self._shift is not None and self._shift.run == run and not self._shift.fault:
            return self._shift
        if self._shift is not None:
            return None  # the end of the last one comes first
        if self._lead is None or self._lead.run != run:
            self._lead = self._board.leader()  # it may have begun since our last beat
        if self._lead is None or self._lead.run != run:
            return None
        plan = self._plan(run)
        if plan is None:
            return None
        self._try_store(run)
        attempt = f"{self.id}-{self._term}"
        told = functools.partial(self._tell, run)
        plan = fitted(plan, self._procs, self._conc)
        self._say(f"Run {run}: {self._procs} processes with {self._conc} requests in flight each.")
        self._shift = Shift(run, plan, self._depot(), attempt, self.host, self._folder, told)
        return self._shift

    def _plan(self, run: str) -> Plan | None:
        """How a run is done; None where it does not lead any more. Raises CrawlerError where we cannot do it."""
        depot = self._depot()
        data = depot.get(plan_name(run))
        if data is not None:
            plan = read_plan(data)
            self._allow(plan.config)
            return plan
        lead = self._board.leader()
        if lead is None or lead.run != run:
            return None
        raise ConfigError(
            f"The store {depot.url} does not hold run {run} here; mount what its coordinator calls {lead.depot}, or "
            "say with crawl worker --store where that is on this machine."
        )

    def _try_store(self, run: str) -> None:
        """Find out now whether what is fetched can be laid down, not when it is there. Raises StoreError."""
        self._depot().put(trial_name(run, self.id), b"")

    def _allow(self, config: CrawlConfig) -> None:
        if config.parse is not None and config.parse not in self._parse:
            raise ConfigError(
                "the run asks for a --parse function that this machine was not started with; "
                "start it with crawl worker --parse module:function."
            )

    @functools.cache  # noqa: B019 - as long as the machine
    def _depot_at(self, where: str) -> Depot:
        return open_depot(where)

    def _depot(self) -> Depot:
        assert self._lead is not None
        return self._depot_at(self._where or self._lead.depot)

    def _complain(self, error: Exception) -> None:
        """Say once what hinders us, and in every beat until it does so no more."""
        text = str(error) if isinstance(error, CrawlerError) else f"Orders cannot be taken: {reason(error)}."
        if text != self._trouble:
            self._say(text)
        self._trouble = text

    def _look_again(self) -> None:
        """Whether what hindered us still does: who says so gets no orders by which to find that out."""
        try:
            lead = self._lead
            if lead is not None and self._plan(lead.run) is not None:
                self._try_store(lead.run)
        except _TROUBLES:
            return
        self._trouble = ""

    def _tell(self, run: str, notice: Notice) -> None:
        """Tell the coordinator, in a thread that may wait for the broker: it will find out, also if it is not told."""

        def tell() -> None:
            try:
                self._board.notify(run, notice)
            except client_errors():
                return

        self._telling.submit(tell)

    def _stay(self) -> None:
        try:
            while not self._left.wait(BEAT_S) and not self.fault:
                self._tick()
        except Exception as error:  # nobody would hear of this machine any more, and it would go on
            self.fault = f"A fault of the program's own, {error!r}: see the traceback above."
            traceback.print_exc()
        if self.fault:
            self._broken()

    def _tick(self) -> None:
        try:
            self._beat()
        except client_errors() as error:
            self._mind(error)
        if self._trouble and not self._looker.is_alive():  # in a thread of its own: a store may keep it waiting
            self._looker = threading.Thread(target=self._look_again, name="look", daemon=True)
            self._looker.start()
        shift = self._shift
        if shift is None:
            return
        self.fault = shift.fault
        if self._is_led and shift.hitched_s > HITCH_S:  # its coordinator sees the store, or it would have ended
            self._trouble = shift.hitch
            self._say(f"{shift.hitch} This machine hands back its chunks.")
            self._new_term(at_once=True)
            return
        if self._count % _SAY_BEATS == 0:
            hitch = f"; {shift.hitch}" if shift.hitch else "."
            self._say(f"Run {shift.run}: {shift.finished:,} entries done, {len(shift.chunks)} chunks in hand{hitch}")

    def _beat(self) -> None:
        began = time.monotonic()
        if self._shift is not None and began - self._renewed > LEASE_S:  # it was frozen: nothing told it of that
            self._say(f"This machine stood still for {began - self._renewed:.0f} s: it hands back its chunks.")
            self._new_term(at_once=True)
        lead = self._board.beat(self._describe())
        if self._lost:
            self._say(BACK)
        self._lost = False
        self._renewed = began
        self._follow(lead)

    def _mind(self, error: Exception) -> None:
        """The broker does not hear us: after a lease our shards may be another's."""
        if not self._lost:
            self._say(silence(error))
        self._lost = True
        if self._shift is not None and time.monotonic() - self._renewed > LEASE_S:
            self._say(f"The broker has not heard of this machine for {LEASE_S:g} s: it hands back its chunks.")
            self._new_term(at_once=True)

    def _follow(self, lead: Lead | None) -> None:
        if lead != self._lead:
            self._trouble = ""
        self._is_led = lead is not None
        if lead is None:  # whoever led will come back, or another will
            idle = self._shift is not None and not self._shift.chunks
            self._idle = self._idle + 1 if idle else 0
            if self._idle >= _IDLE_BEATS:
                self._new_term(at_once=False)
            return
        self._idle = 0
        if self._shift is not None and self._shift.run != lead.run:
            self._say(f"Run {self._shift.run} is over: {self._shift.finished:,} entries were done here.")
            self._new_term(at_once=False)
        self._lead = lead

    def _new_term(self, *, at_once: bool) -> None:
        shift = self._shift
        if shift is not None:
            shift.end(at_once=at_once)
        with self._lock:
            self._shift = None
            self._fences.clear()
            self._term += 1

    def _describe(self, *, left: bool = False) -> Beat:
        shift = self._shift
        with self._counting:
            self._count += 1
            chunks = () if shift is None else shift.chunks
        return Beat(
            machine=self.id,
            host=f"{self.host}:{os.getpid()}",
            term=self._term,
            count=self._count,
            run="" if shift is None else shift.run,
            chunks=chunks,
            chunks_most=chunks_most(self._procs),
            entries=entries_most(self._procs, self._conc),
            parse=self._parse,
            left=left,
            trouble=self._trouble or ("" if shift is None else shift.hitch or shift.fault),
            status=None if shift is None else shift.status(),
            deaths=0 if shift is None else shift.deaths,
            last_death="" if shift is None else shift.last_death,
        )
