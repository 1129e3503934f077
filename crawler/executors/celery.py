"""Shards of the hosts on many machines: the coordinator's side of a distributed crawl, as an executor.

What workers are for one machine, shards are here: hosts are divided into them by registrable domain, and each is leased
to one machine at a time, so that what is counted per host is counted in one place. All decisions are taken in `events`,
by the one thread that calls it; a second thread listens to the broker, a few more move bytes to and from the depot.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from crawler.config import CrawlConfig
from crawler.depot.base import Depot
from crawler.errors import ConfigError, FolderError, StoreError, WorkerError
from crawler.executors.base import Died, ExecutorEvent, Moved, Refused, Settled
from crawler.fleet.board import Board
from crawler.fleet.broker import Broker, client_errors, connect
from crawler.fleet.words import (
    BEAT_S,
    GRACE_S,
    LEASE_S,
    TASK,
    Beat,
    Lead,
    Notice,
    Order,
    Plan,
    chunk_name,
    plan_name,
    queue_of,
)
from crawler.packs import Pack, chunk_of, read_pack, rows_folder, warc_folder
from crawler.records import Chunk, FlowState, Keep, Result, Status

SHARDS = 61
"""Into how many parts hosts are divided: a prime, so that a machine's processes share those of a shard evenly."""

_OWNER = "crawl"  # the object that says whose depot it is
_OUT_MOST = 16  # chunks of one shard that are out at once, most of them for the sake of their last, slow entries
_HELD_CHUNKS = 4  # as many as this, in entries
_PASSES = 4  # transfers from and to the depot at once
_MISSING = 3  # beats in which a machine does not name a chunk that it should have
_ROUNDS = 2  # of beats in which nobody is busy: the broker may have forgotten them all a moment ago
_FRESH_S = 2 * BEAT_S + 1.0  # who spoke no longer ago is there
_DEAD_S = LEASE_S + GRACE_S
_FORGET_S = 3600.0
_CRAWL_DELAY_S = 30.0  # the longest that a robots.txt is obeyed
_AGAIN_S = (0.5, 1.0, 2.0, 5.0)

_AWAY: tuple[type[Exception], ...] = (*client_errors(), StoreError)
_encode = msgspec.msgpack.Encoder().encode


@dataclasses.dataclass(slots=True, eq=False)
class _Out:
    """A chunk that is not all final: where it is, and its entries that are not."""

    chunk: int
    shard: int
    held: dict[int, FlowState]
    solo: bool  # suspected of killing its machine, and so alone on it
    machine: str = ""
    term: int = 0
    fence: int = 0
    laid: bool = False  # its entries are in the depot
    begun: bool = False
    missing: int = 0
    looked: int = 0  # how often nothing was in the depot
    lost_at: float = 0.0
    attempt: str = ""
    parts: set[int] = dataclasses.field(default_factory=set)
    last_part: int | None = None
    fetching: int = 0
    lost: str | None = None  # why nothing more will come of it
    guilty: bool = False  # it was there when its machine died


@dataclasses.dataclass(slots=True, eq=False)
class _Machine:
    """What is known of a machine."""

    beat: Beat
    silent_s: float = 0.0
    outs: dict[int, _Out] = dataclasses.field(default_factory=dict)
    reserved: bool = False

    @property
    def room(self) -> int:
        """How many more chunks it may have in hand: as many as it asks for, unless they hold enough entries already."""
        held = sum(len(out.held) for out in self.outs.values())
        return 0 if self.reserved or held >= self.beat.entries else self.beat.chunks_most - len(self.outs)


@dataclasses.dataclass(slots=True, eq=False)
class _Lease:
    """A shard is leased to a machine, under a number that no earlier lease had."""

    machine: str
    fence: int
    outs: dict[int, _Out] = dataclasses.field(default_factory=dict)
    idle_since: float = 0.0
    moving: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class _Beats:
    """What all machines said last, each with how many seconds ago, and how long was listened since the time before."""

    beats: list[tuple[Beat, float]]
    listened_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """The names of all rows that are in the depot, as somebody saw who began to look at `began`."""

    names: list[str]
    began: float


_Heard = _Beats | _Found | Notice | Pack | tuple[str, None] | Exception | None


class CeleryExecutor:
    """See `Executor`: runs chunks on the machines of a broker, which lay down what they fetched in a depot.

    `crawl` names the crawl, the same in each of its runs. Raises ConfigError where the broker does not answer or the
    configuration cannot travel, FolderError where another crawl leads there or has this depot.
    """

    def __init__(
        self, broker: Broker, depot: Depot, config: CrawlConfig, keep: Keep, crawl: str, *, shards: int = SHARDS,
        homes: int | None = None,
    ) -> None:  # fmt: skip
        if config.parse is not None and not isinstance(config.parse, str):
            raise ConfigError("A parse function travels to other machines by its name alone; write module:function.")
        self.workers = shards
        self.started = 0
        self._config = config
        self._depot = depot
        self._run = secrets.token_hex(5)
        self._lead = Lead(self._run, depot.url, crawl)
        self._board = Board(connect(broker))
        self._before = _take_lead(self._board, self._lead)
        _own(depot, crawl)
        self._insist(lambda: depot.put(plan_name(self._run), _encode(Plan(config, keep, homes or 0))))
        self._app = broker.app()
        self._heard: queue.SimpleQueue[_Heard] = queue.SimpleQueue()
        self._machines: dict[str, _Machine] = {}
        self._used: set[str] = set()
        self._leases: dict[int, _Lease] = {}
        self._outs: dict[int, _Out] = {}
        self._unplaced: deque[_Out] = deque()
        self._names: deque[str] = deque()  # rows to fetch
        self._passing = 0
        self._suspected: set[int] = set()
        self._handed: list[str] = []
        self._accepted: set[str] = set()
        self._fence = itertools.count(1)
        self._chunks = itertools.count(1)
        self._linger_s = max(config.delay, _CRAWL_DELAY_S if config.robots else 0.0)
        self._stopping = self._closed = False
        self._leaving = threading.Event()
        self._pool = ThreadPoolExecutor(_PASSES, thread_name_prefix="depot")
        self._listener = threading.Thread(target=self._listen, name="broker", daemon=True)
        self._listener.start()

    def credit(self, worker: int) -> int:
        """How many chunks may be sent for this shard: one, unless the last is not begun, or its machine has enough."""
        lease = self._leases.get(worker)
        if self._stopping:
            return 0
        if lease is None:
            return int(not self._unplaced and self._choose() is not None)
        machine = self._machines.get(lease.machine)
        if machine is None or machine.room <= 0 or lease.moving or len(lease.outs) >= _OUT_MOST:
            return 0
        held = sum(len(out.held) for out in lease.outs.values())
        return int(held < _HELD_CHUNKS * self._config.chunk_size and all(out.begun for out in lease.outs.values()))

    def send(self, worker: int, chunk: Chunk) -> None:
        """See `Executor.send`. The entries go to the depot, an order with their name to a machine once there is one."""
        held = {state.seq: state for state in chunk.states}
        solo = len(held) == 1 and held.keys() <= self._suspected
        out = _Out(next(self._chunks), worker, held, solo)
        self._outs[out.chunk] = out
        self._unplaced.append(out)
        self._place()

    def events(self, timeout_s: float | None) -> list[ExecutorEvent]:
        """See `Executor.events`. Raises StoreError where the depot, WorkerError where the lead is lost."""
        events: list[ExecutorEvent] = []
        patience = timeout_s
        while True:
            try:
                heard = self._heard.get(timeout=patience) if patience != 0 else self._heard.get_nowait()
            except queue.Empty:
                return events
            patience = 0
            if heard is None:
                continue
            if isinstance(heard, Exception):
                raise heard
            events += self._hear(heard)
            if events:
                return events

    def statuses(self) -> dict[int, Status]:
        """What each machine said of its workers last, by a number of its own."""
        found = (machine.beat.status for machine in self._machines.values())
        return {number: status for number, status in enumerate(found) if status is not None}

    def recorded(self) -> None:
        """See `Executor.recorded`: what is in the database need not lie in the depot any more."""
        names, self._handed = self._handed, []
        if names:
            self._pass(lambda: self._depot.delete(names))

    def stop(self) -> None:
        """Send nothing more. Machines finish what they have; the next run finds it in the depot."""
        self._stopping = True

    @property
    def stopped(self) -> bool:
        """See `Executor.stopped`."""
        return self._stopping

    def wake(self) -> None:
        """Make a waiting `events` return; from any thread."""
        self._heard.put(None)

    def close(self) -> None:
        """Lead no longer. A run that came to its end leaves nothing but its WARC files."""
        if self._closed:
            return
        self._closed = True
        self._leaving.set()
        self._pool.shutdown()
        self._listener.join()
        try:
            self._board.resign(self._lead)
            if not self._outs and not self._stopping:
                self._tidy()
        except _AWAY:
            pass  # what is left there costs room, and nothing else
        self._app.close()

    def left_behind(self) -> Iterator[list[Result]]:
        """The rows that machines laid down for earlier runs and nobody took in, a pack at a time; then `swept`.

        Waits until no machine works for an earlier run any more: those that live need some seconds, those that are dead
        must be silent for a lease. Raises RunError.
        """
        if all(name.startswith(f"runs/{self._run}/") for name, _ in self._depot.sizes("runs/")):
            return
        rounds = 0
        while rounds < _ROUNDS:
            heard = self._heard.get()
            if isinstance(heard, Exception):
                raise heard
            if isinstance(heard, _Beats):
                busy = (
                    beat.run not in ("", self._run) and not beat.left and age < _DEAD_S for beat, age in heard.beats
                )
                rounds = 0 if any(busy) else rounds + 1
        for name, _ in self._depot.sizes("rows/"):
            pack = self._read(name)
            if pack is not None:
                yield [Result(row) for row in pack.rows]
            self._handed.append(name)

    def swept(self) -> None:
        """What `left_behind` gave is recorded: nothing of earlier runs is needed but their WARC files."""
        self.recorded()
        mine = f"runs/{self._run}/"
        self._depot.delete(name for name, _ in list(self._depot.sizes("runs/")) if not name.startswith(mine))

    # What is heard.

    def _hear(self, heard: _Beats | _Found | Notice | Pack | tuple[str, None]) -> list[ExecutorEvent]:
        if isinstance(heard, _Beats):
            return self._hear_beats(heard)
        if isinstance(heard, _Found):
            return self._hear_found(heard)
        if isinstance(heard, Notice):
            return self._hear_notice(heard)
        if isinstance(heard, Pack):
            return self._take_in(heard)
        return self._miss(heard[0])

    def _hear_notice(self, notice: Notice) -> list[ExecutorEvent]:
        out = self._outs.get(notice.chunk)
        if out is None:
            if notice.name:
                self._pass(lambda: self._drop(notice.name))
            return []
        out.begun = True
        if notice.name:
            self._fetch(out, notice.name)
        return []

    def _hear_beats(self, heard: _Beats) -> list[ExecutorEvent]:
        """Who is there, who is not any more, and what they should have and do not name."""
        for machine in self._machines.values():
            machine.silent_s += heard.listened_s
        for beat, age_s in heard.beats:
            known = self._machines.get(beat.machine)
            if known is None:
                self._meet(beat, age_s)
            elif beat.count != known.beat.count:
                known.beat, known.silent_s = beat, 0.0
                self._compare(known)
        look = False
        for machine in list(self._machines.values()):
            if machine.beat.left:
                look |= self._lose(machine, "left", guilty=False)
            elif machine.silent_s >= _DEAD_S:
                look |= self._lose(machine, f"was not heard of for {machine.silent_s:.0f} s", guilty=True)
            look |= any(out.lost is not None or out.missing >= _MISSING for out in machine.outs.values())
        if look:
            self._pass(self._look)
        self._balance()
        self._place()
        return self._conclude()

    def _meet(self, beat: Beat, age_s: float) -> None:
        """A machine that is new here: it joins, or has left something behind when it went long ago."""
        if age_s <= _FRESH_S and not beat.left:
            self._machines[beat.machine] = _Machine(beat)
        elif age_s > _FORGET_S:
            self._pass(functools.partial(self._board.forget, beat.machine))

    def _compare(self, machine: _Machine) -> None:
        """What a machine says that it has, against what it should have."""
        beat = machine.beat
        for out in list(machine.outs.values()):
            if out.term < beat.term:
                _lose_track(out, "handed it back")
            elif beat.run == self._run and out.chunk in beat.chunks:
                out.begun, out.missing, out.looked = True, 0, 0
            else:
                out.missing += 1
                if out.missing >= _MISSING and not out.begun:
                    out.missing = 0
                    self._order(out)  # the broker has forgotten it, or was away when it should have gone

    def _lose(self, machine: _Machine, cause: str, *, guilty: bool) -> bool:
        """A machine is gone; whether it had something."""
        del self._machines[machine.beat.machine]
        for shard, lease in list(self._leases.items()):
            if lease.machine == machine.beat.machine:
                del self._leases[shard]
        for out in machine.outs.values():
            _lose_track(out, f"on {machine.beat.host} {cause}")
            out.guilty |= guilty and out.begun
        self._pass(lambda: self._board.forget(machine.beat.machine))
        return bool(machine.outs)

    def _hear_found(self, found: _Found) -> list[ExecutorEvent]:
        """All that is in the depot: what is there and was not told, and what is not there and will not come."""
        for name in found.names:
            out = self._outs.get(chunk_of(name)[0])
            if out is not None:
                self._fetch(out, name)
        for out in self._outs.values():
            if out.lost is not None:
                out.looked += found.began >= out.lost_at
            elif out.missing >= _MISSING and out.begun and not out.fetching:
                out.looked += 1
                if out.looked > 1:
                    _lose_track(out, "forgot it")
        return self._conclude()

    def _fetch(self, out: _Out, name: str) -> None:
        """Have a part fetched, unless it is another attempt's than the first that was accepted, or known."""
        _, attempt = chunk_of(name)
        part = int(name.rpartition(".")[2])
        if out.attempt not in ("", attempt) or part in out.parts:
            return
        out.attempt = attempt
        out.parts.add(part)
        out.fetching += 1
        self._names.append(name)
        self._fetch_next()

    def _fetch_next(self) -> None:
        while self._names and self._passing < _PASSES:
            name = self._names.popleft()
            self._passing += 1
            self._pass(lambda name=name: self._heard.put(self._read(name) or (name, None)))  # type: ignore[misc]

    def _miss(self, name: str) -> list[ExecutorEvent]:
        """A part was not there any more, or is damaged: nothing comes of it, and its entries will be missed."""
        self._passing -= 1
        self._fetch_next()
        self._outs[chunk_of(name)[0]].fetching -= 1
        return self._conclude()

    def _take_in(self, pack: Pack) -> list[ExecutorEvent]:
        self._passing -= 1
        self._fetch_next()
        out = self._outs[pack.chunk]
        out.fetching -= 1
        rows = [row for row in pack.rows if out.held.pop(row.seq, None) is not None]
        events: list[ExecutorEvent] = [Settled(out.shard, [Result(row) for row in rows])] if rows else []
        events += [Moved(out.shard, state) for state in pack.moved if out.held.pop(state.seq, None) is not None]
        self._suspected.difference_update(row.seq for row in rows)
        self._handed.append(f"{rows_folder(pack.run)}{pack.chunk}.{pack.attempt}.{pack.part:04d}")
        if pack.warc:
            self._accepted.add(pack.warc)
        if pack.done:
            out.last_part = pack.part
            if out.held and len(out.parts) > pack.part:
                _lose_track(out, "handed it back")
                out.looked = 1
        return events + self._conclude()

    def _conclude(self) -> list[ExecutorEvent]:
        """Let go of chunks of which all came, or nothing more will; the latter's entries go back, by shard."""
        lost: dict[tuple[int, bool], list[_Out]] = {}
        for out in list(self._outs.values()):
            if not out.held or (out.lost is not None and out.looked and not out.fetching):
                self._let_go(out)
                if out.held:
                    lost.setdefault((out.shard, out.guilty), []).append(out)
        events: list[ExecutorEvent] = []
        for (shard, guilty), outs in lost.items():
            states = tuple(state for out in outs for state in out.held.values())
            cause = outs[0].lost or ""
            if guilty:
                self._suspected |= {state.seq for state in states}
                events.append(Died(shard, cause, states, ()))
            else:
                events.append(Refused(shard, cause, states))
        return events

    def _let_go(self, out: _Out) -> None:
        del self._outs[out.chunk]
        self._handed.append(chunk_name(self._run, out.chunk))
        machine = self._machines.get(out.machine)
        if machine is not None:
            machine.outs.pop(out.chunk, None)
            machine.reserved &= not out.solo
        lease = self._leases.get(out.shard)
        if lease is not None and lease.outs.pop(out.chunk, None) is not None:
            lease.idle_since = time.monotonic()

    # Who does what.

    def _choose(self) -> _Machine | None:
        """The machine that the next shard should be leased to: the one with the fewest."""
        leases = [lease.machine for lease in self._leases.values()]
        able = [machine for machine in self._machines.values() if machine.room > 0 and self._may_use(machine)]
        return min(able, key=lambda one: (leases.count(one.beat.machine), len(one.outs)), default=None)

    def _may_use(self, machine: _Machine) -> bool:
        """Whether it works for nobody else, and was started with the function that this run needs."""
        parse = self._config.parse
        return machine.beat.run in ("", self._run) and (parse is None or parse in machine.beat.parse)

    def _place(self) -> None:
        """Order what waits for a machine."""
        for _ in range(len(self._unplaced)):
            out = self._unplaced.popleft()
            machine = self._machine_for(out)
            if machine is None:
                self._unplaced.append(out)
            else:
                self._assign(out, machine)

    def _machine_for(self, out: _Out) -> _Machine | None:
        lease = self._leases.get(out.shard)
        machine = self._machines.get(lease.machine) if lease is not None else None
        if not out.solo:
            return (machine if machine.room > 0 else None) if machine is not None else self._choose()
        able = [machine] if machine is not None else [one for one in self._machines.values() if self._may_use(one)]
        best = min(able, key=lambda one: len(one.outs), default=None)
        if best is None or (best.reserved and any(other.solo for other in best.outs.values())):
            return None
        best.reserved = True  # it gets nothing else until it has nothing else, and then this one alone
        return best if not best.outs else None

    def _assign(self, out: _Out, machine: _Machine) -> None:
        name = machine.beat.machine
        lease = self._leases.get(out.shard)
        if lease is None:
            lease = self._leases[out.shard] = _Lease(name, next(self._fence))
        out.machine, out.term, out.fence = name, machine.beat.term, lease.fence
        out.begun, out.missing = False, 0
        lease.outs[out.chunk] = machine.outs[out.chunk] = out
        self._used.add(name)
        self.started = len(self._used)
        self._order(out)

    def _balance(self) -> None:
        """Let leases go that nobody needs, and those of which a machine has more than its share, once they are idle."""
        now = time.monotonic()
        for shard, lease in list(self._leases.items()):
            if not lease.outs and now - lease.idle_since >= self._linger_s + (0.0 if lease.moving else BEAT_S):
                del self._leases[shard]
        machines = [machine for machine in self._machines.values() if self._may_use(machine)]
        if not machines:
            return
        share = -(-len(self._leases) // len(machines))
        for machine in machines:
            its = [lease for lease in self._leases.values() if lease.machine == machine.beat.machine]
            its.sort(key=lambda lease: sum(len(out.held) for out in lease.outs.values()))
            surplus = max(len(its) - share, 0)
            for number, lease in enumerate(its):
                lease.moving = number < surplus

    def _order(self, out: _Out) -> None:
        order = Order(self._run, out.chunk, out.shard, out.fence, out.machine, out.term)
        laid, out.laid = out.laid, True
        states = () if laid else tuple(out.held.values())

        def give() -> None:
            if not laid:
                self._insist(lambda: self._depot.put(chunk_name(self._run, order.chunk), _encode(states)))
            try:
                self._app.send_task(
                    TASK, args=[msgspec.to_builtins(order)], queue=queue_of(order.machine), retry=False,
                    task_id=f"{self._run}-{order.chunk}", ignore_result=True,
                )  # fmt: skip
            except client_errors():
                return  # the machine will not name it, and so it is sent again

        self._pass(give)

    # What goes on beside `events`.

    def _pass(self, work: Callable[[], Any]) -> None:
        """Do something with the depot or the broker aside; what it raises, `events` raises."""

        def do() -> None:
            try:
                work()
            except client_errors():
                return
            except Exception as error:
                self._heard.put(error)

        if not self._leaving.is_set():
            self._pool.submit(do)

    def _insist(self, work: Callable[[], object]) -> None:
        for pause_s in _AGAIN_S:
            try:
                work()
            except StoreError:
                time.sleep(pause_s)
            else:
                return
        work()

    def _read(self, name: str) -> Pack | None:
        """A pack of the depot; None where it is gone or damaged."""
        data: list[bytes | None] = []
        self._insist(lambda: data.append(self._depot.get(name)))
        try:
            return None if data[-1] is None else read_pack(data[-1])
        except ValueError:
            return None

    def _look(self) -> None:
        names: list[list[str]] = []
        began = time.monotonic()
        self._insist(lambda: names.append([name for name, _ in self._depot.sizes(rows_folder(self._run))]))
        self._heard.put(_Found(names[-1], began))

    def _drop(self, name: str) -> None:
        """Delete a part that nobody wants: another attempt's chunk was accepted."""
        if name not in self._handed:
            warc = f"{warc_folder(self._run)}{name.rpartition('/')[2]}.warc.gz"
            self._depot.delete([name, *([] if warc in self._accepted else [warc])])

    def _tidy(self) -> None:
        """Delete what a run leaves in the depot beside the WARC files that its rows point into."""
        self._depot.delete([name for name, _ in self._depot.sizes(f"runs/{self._run}/")])
        self._depot.delete([name for name, _ in self._depot.sizes(rows_folder(self._run))])
        warcs = (name for name, _ in self._depot.sizes(warc_folder(self._run)))
        self._depot.delete([name for name in warcs if name not in self._accepted])

    def _listen(self) -> None:
        """Keep the lead, and pass on what machines say, until we close; where the broker is away, try again."""
        heard_at: float | None = None
        while not self._leaving.is_set():
            try:
                if heard_at is None or time.monotonic() - heard_at >= BEAT_S:
                    lead = self._board.lead(self._lead, self._before)
                    if lead.run != self._run:
                        self._heard.put(_lost(lead))
                        return
                    self._before = None
                    beats, now = self._board.beats(), time.monotonic()
                    self._heard.put(_Beats(beats, min(now - (heard_at or now), 2 * BEAT_S)))
                    heard_at = now
                for notice in self._board.notices(self._run, 0.5):
                    self._heard.put(notice)
            except client_errors():
                heard_at = time.monotonic()  # only time counts in which it could be listened to
                self._leaving.wait(0.5)


def _lose_track(out: _Out, cause: str) -> None:
    """Nothing more will come of a chunk than what is in the depot by now."""
    if out.lost is None:
        out.lost, out.lost_at, out.looked = cause, time.monotonic(), 0


def _take_lead(board: Board, lead: Lead) -> Lead | None:
    """Lead; raises FolderError where another crawl does. A run of the same crawl must be dead: we have its folder."""
    now = board.lead(lead)
    if now.run == lead.run:
        return None
    if now.crawl == lead.crawl and board.lead(lead, now).run == lead.run:
        return None
    raise FolderError(
        f"Another crawl leads on this broker (run {now.run}, store {now.depot}), or did until {LEASE_S:g} s ago; "
        "wait until it ends, or take another database of Redis (redis://host:port/1)."
    )


def _own(depot: Depot, crawl: str) -> None:
    """Mark a depot as this crawl's; raises FolderError where it is another's."""
    owner = depot.get(_OWNER)
    if owner is None:
        depot.put(_OWNER, crawl.encode())
    elif owner != crawl.encode():
        raise FolderError(f"The store {depot.url} holds the pages of another crawl; choose another --store.")


def _lost(lead: Lead) -> WorkerError:
    return WorkerError(
        f"Another run ({lead.run}) has taken the lead on the broker; what was recorded is safe, and the same command "
        "goes on where no other runs."
    )
