"""Shards of the hosts on many machines: the coordinator's side of a distributed crawl, as an executor.

What workers are for one machine, shards are here: hosts are divided into them by registrable domain, and each is leased
to one machine at a time. All decisions are taken in `events`, by the one thread that calls it: `fleet/roster.py` says
who does what, `fleet/courier.py` carries.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import secrets
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator

import msgspec

from crawler.chunks import needs_homes
from crawler.config import CrawlConfig
from crawler.depot.base import Depot
from crawler.errors import ConfigError, FolderError
from crawler.executors.base import Died, ExecutorEvent, Moved, Refused, Replaced, Said, Settled
from crawler.fleet.board import Board
from crawler.fleet.broker import Broker, connect, needing
from crawler.fleet.courier import AWAY, CARRIERS, Beats, Courier, Deaf, Fetched, Found, Heard, Recalled, insist
from crawler.fleet.roster import Out, Roster, shards_for
from crawler.fleet.words import GRACE_S, LEASE_S, Beat, Lead, Notice, Order, Plan, chunk_name, plan_name
from crawler.packs import Pack, chunk_of, names_of, rows_name
from crawler.records import Chunk, Keep, Result, Status

_OWNER = "crawl"  # the object that says whose depot it is
_ROUNDS = 2  # of beats in which nobody is busy: the broker may have forgotten them all a moment ago
_DEAD_S = LEASE_S + GRACE_S
_FORGET_S = 3600.0

_encode = msgspec.msgpack.Encoder().encode


class CeleryExecutor:
    """See `Executor`: runs chunks on the machines of a broker, which lay down what they fetched in a depot.

    Hosts are divided into as many `shards` as the machines need that are there now, unless it is said.
    `run` names what is laid down for this executor; no other has the same.
    `crawl` names the crawl, the same in each of its runs. Raises ConfigError where the broker does not answer or the
    configuration cannot travel, FolderError where another crawl leads there or has this depot.
    """

    def __init__(
        self, broker: Broker, depot: Depot, config: CrawlConfig, keep: Keep, crawl: str, *, shards: int = 0,
        homes: int | None = None,
    ) -> None:  # fmt: skip
        if config.parse is not None and not isinstance(config.parse, str):
            raise ConfigError("A parse function travels to other machines by its name alone; write module:function.")
        self.started = 0
        self._depot = depot
        self.run = secrets.token_hex(5)
        self._lead = Lead(self.run, depot.url, crawl)
        self._board = Board(connect(broker))
        with needing(broker):
            self.workers = shards or shards_for(self._board.beats())
            _take_lead(self._board, self._lead)
        homes = homes if homes is not None else self.workers if needs_homes(config) else 0
        try:
            with contextlib.suppress(*AWAY):
                self._board.sweep()
            _own(depot, crawl)
            insist(lambda: depot.put(plan_name(self.run), _encode(Plan(config, keep, homes))))
        except BaseException:
            with contextlib.suppress(*AWAY):  # then the lease is over in a moment
                self._board.resign(self._lead)
            raise
        self._courier = Courier(broker, self._board, depot, self._lead)
        self._roster = Roster(self.run, config)
        self._outs: dict[int, Out] = {}
        self._chunks = itertools.count(1)
        self._names: deque[str] = deque()  # rows to fetch
        self._fetching = 0
        self._numbers: dict[str, int] = {}
        self._suspected: set[int] = set()
        self._deaths: dict[tuple[str, int], int] = {}  # of workers, by machine and term
        self._handed: list[str] = []
        self._said: set[str] = set()
        self._heard_beats = False
        self._stopping = self._closed = False

    def credit(self, worker: int) -> int:
        """How many chunks may be sent for this shard."""
        return 0 if self._stopping else self._roster.credit(worker)

    def send(self, worker: int, chunk: Chunk) -> None:
        """See `Executor.send`. The entries go to the depot, an order with their name to a machine once there is one."""
        held = {state.seq for state in chunk.states}
        alone = len(held) == 1
        solo = alone and held <= self._suspected
        out = Out(next(self._chunks), worker, held, chunk.states, alone=alone, solo=solo)
        self._outs[out.chunk] = out
        self._roster.add(out)
        self._place()

    def events(self, timeout_s: float | None) -> list[ExecutorEvent]:
        """See `Executor.events`. Raises StoreError where the depot fails, WorkerError where the lead is lost."""
        heard = self._courier.get(timeout_s)
        while heard is not None:
            events = self._hear(heard)
            if events:
                return events
            heard = self._courier.get(0)
        return []

    def statuses(self) -> dict[int, Status]:
        """What each machine said of its workers last, by the number that it has here."""
        found = {}
        for name, seat in self._roster.seats.items():
            number = self._numbers.setdefault(name, len(self._numbers))
            if seat.beat.status is not None:
                found[number] = msgspec.structs.replace(seat.beat.status, machine=seat.beat.host)
        return found

    @property
    def hindrance(self) -> str:
        """See `Executor.hindrance`."""
        return self._roster.hindrance if self._heard_beats else ""

    def recorded(self) -> None:
        """See `Executor.recorded`: what is in the database need not lie in the depot any more."""
        names, self._handed = self._handed, []
        if names:
            self._courier.aside(lambda: self._depot.delete(names))

    def stop(self) -> None:
        """Send nothing more. Machines finish what they have; the next run finds it in the depot."""
        self._stopping = True

    @property
    def stopped(self) -> bool:
        """See `Executor.stopped`."""
        return self._stopping

    def wake(self) -> None:
        """Make a waiting `events` return; from any thread."""
        self._courier.wake()

    def close(self) -> None:
        """Lead no longer."""
        if self._closed:
            return
        self._closed = True
        self._courier.close()
        with contextlib.suppress(*AWAY):
            self._board.resign(self._lead)

    def left_behind(self, runs: Collection[str]) -> Iterator[tuple[str, list[Result]]]:
        """The rows that machines laid down for earlier `runs` and nobody took in, a pack at a time and of which run.

        `swept` is for when they are recorded.

        Waits until no machine works for an earlier run any more: those that live need some seconds, those that are dead
        must be silent for a lease. Raises RunError.
        """
        if not any(names_of(self._depot, runs, "runs/")):
            return
        rounds = 0
        while rounds < _ROUNDS:
            heard = self._courier.get(None)
            if isinstance(heard, Beats):
                busy = (beat.run not in ("", self.run) and not beat.left and age < _DEAD_S for beat, age in heard.beats)
                rounds = 0 if any(busy) else rounds + 1
        for name in names_of(self._depot, runs, "rows/"):
            pack = self._courier.read(name)
            if pack is not None:
                yield pack.run, [Result(row) for row in pack.rows]
            self._handed.append(name)

    def swept(self, runs: Collection[str]) -> None:
        """What `left_behind` gave is recorded: nothing of earlier `runs` is needed but their WARC files."""
        self.recorded()
        self._depot.delete(list(names_of(self._depot, runs, "runs/")))

    def _hear(self, heard: Heard) -> list[ExecutorEvent]:
        match heard:
            case Notice():
                self._hear_notice(heard)
                return []
            case Fetched():
                return self._hear_fetched(heard)
            case Recalled():
                if heard.chunk in self._outs:
                    self._outs[heard.chunk].states = heard.states
                return self._conclude(self._outs.values())
            case Found():
                self._hear_found(heard)
                return self._conclude(self._outs.values())
            case Deaf():
                return [Said(heard.text)]
            case Beats():
                return self._hear_beats(heard) + self._conclude(self._outs.values())

    def _hear_beats(self, heard: Beats) -> list[ExecutorEvent]:
        """Who is there, who is not any more, and what they should have and do not name."""
        self._heard_beats = True
        for seat in self._roster.seats.values():
            seat.silent_s += heard.listened_s
        events: list[ExecutorEvent] = []
        for beat, age_s in heard.beats:
            events += self._died_there(beat)
            for out in self._roster.hear(beat, age_s):
                self._order(out)
            if beat.machine not in self._roster.seats and age_s > _FORGET_S:
                self._forget(beat.machine)
        for seat in list(self._roster.seats.values()):
            if seat.beat.left or seat.silent_s >= _DEAD_S:
                cause = "left" if seat.beat.left else f"was not heard of for {seat.silent_s:.0f} s"
                events += [Replaced(1, f"on {seat.beat.host} {cause}")] if seat.outs and not seat.beat.left else []
                self._roster.lose(seat, cause, guilty=not seat.beat.left)
                self._forget(seat.beat.machine)
        if any(out.lost is not None or out.missed for out in self._outs.values()):
            self._courier.look()
        self._roster.balance()
        self._place()
        return events + self._troubles()

    def _troubles(self) -> list[ExecutorEvent]:
        """What hinders machines, where that was not said yet."""
        troubles = {f"Machine {host}: {trouble}" for host, trouble in self._roster.troubles()}
        news = troubles - self._said
        self._said |= news
        return [Said(text) for text in sorted(news)]

    def _died_there(self, beat: Beat) -> list[ExecutorEvent]:
        """What a machine says of workers that it replaced, where that is news."""
        if beat.run != self.run:
            return []
        term = (beat.machine, beat.term)
        news = beat.deaths - self._deaths.get(term, 0)
        if news <= 0:  # or less than before, from a Redis that was set back
            return []
        self._deaths[term] = beat.deaths
        return [Replaced(news, f"on {beat.host} {beat.last_death}")]

    def _hear_notice(self, notice: Notice) -> None:
        out = self._outs.get(notice.chunk)
        if out is not None:
            out.begin()
            if notice.name:
                self._fetch(out, notice.name)
        elif notice.name and notice.name not in self._handed:
            self._courier.aside(lambda: self._depot.delete([notice.name]))

    def _hear_found(self, found: Found) -> None:
        """All that is in the depot: what is there and was not told, and what is not there and will not come."""
        for name in found.names:
            out = self._outs.get(chunk_of(name).chunk)
            if out is not None:
                self._fetch(out, name)
        for out in self._outs.values():
            if out.lost is not None:
                out.looked += found.began >= out.lost_at
            elif out.missed and out.begun and not out.fetching:
                out.looked += 1
                if out.looked > 1:
                    out.lose("forgot it", found.began)

    def _hear_fetched(self, fetched: Fetched) -> list[ExecutorEvent]:
        self._fetching -= 1
        self._fetch_next()
        out = self._outs[chunk_of(fetched.name).chunk]
        out.fetching -= 1
        events = [] if fetched.pack is None else self._take_in(out, fetched.pack)
        return events + self._conclude([out] if out.lost is None else self._outs.values())

    def _take_in(self, out: Out, pack: Pack) -> list[ExecutorEvent]:
        rows = [row for row in pack.rows if row.seq in out.held]
        moved = [state for state in pack.moved if state.seq in out.held]
        out.held -= {*(row.seq for row in rows), *(state.seq for state in moved)}
        events: list[ExecutorEvent] = [Settled(out.shard, [Result(row) for row in rows])] if rows else []
        events += [Moved(out.shard, state) for state in moved]
        self._suspected.difference_update(row.seq for row in rows)
        self._handed.append(rows_name(pack.run, pack.chunk, pack.attempt, pack.part))
        if pack.done and out.held and len(out.parts) > pack.part:
            out.lose("handed it back", time.monotonic())
            out.looked = 1
        return events

    def _fetch(self, out: Out, name: str) -> None:
        """Have a part fetched, unless it is another attempt's than the first that was accepted, or known."""
        named = chunk_of(name)
        if out.attempt in ("", named.attempt) and named.part not in out.parts:
            out.attempt = named.attempt
            out.parts.add(named.part)
            out.fetching += 1
            self._names.append(name)
            self._fetch_next()

    def _fetch_next(self) -> None:
        while self._names and self._fetching < CARRIERS:
            self._fetching += 1
            self._courier.fetch(self._names.popleft())

    def _conclude(self, outs: Iterable[Out]) -> list[ExecutorEvent]:
        """Let go of chunks of which all came, or nothing more will; the latter's entries go back.

        All of a shard go back at once: for who is suspected of a death runs alone then, and not beside others.
        """
        lost: dict[tuple[int, bool], list[Out]] = {}
        outs = list(outs)
        open_shards = {out.shard for out in outs if out.lost is not None and out.held and not self._prepare(out)}
        for out in outs:
            if not out.held or (out.lost is not None and out.shard not in open_shards):
                del self._outs[out.chunk]
                self._handed.append(chunk_name(self.run, out.chunk))
                self._roster.let_go(out)
                if out.held:
                    lost.setdefault((out.shard, out.guilty), []).append(out)
        return [self._given_back(shard, outs, guilty=guilty) for (shard, guilty), outs in lost.items()]

    def _prepare(self, out: Out) -> bool:
        """Whether a lost chunk can go back: all that will come of it is here, and its entries, which are sent for."""
        if not out.looked or out.fetching:
            return False
        if out.states is None and not out.recalled:
            out.recalled = True
            self._courier.recall(out.chunk)
        return out.states is not None

    def _given_back(self, shard: int, outs: list[Out], *, guilty: bool) -> ExecutorEvent:
        states = tuple(state for out in outs for state in out.states or () if state.seq in out.held)
        cause = outs[0].lost or ""
        if not guilty:
            return Refused(shard, cause, states)
        self._suspected.update(*(out.held for out in outs if out.alone))
        return Died(shard, cause, states, (), counts=0)

    def _place(self) -> None:
        for out in self._roster.place():
            self._order(out)
        self.started = len(self._roster.used)

    def _order(self, out: Out) -> None:
        order = Order(self.run, out.chunk, out.shard, out.fence, out.machine, out.term, out.until)
        self._courier.order(order, None if out.ordered else out.states)
        out.ordered = True

    def _forget(self, machine: str) -> None:
        self._courier.aside(functools.partial(self._board.forget, machine))


def _take_lead(board: Board, lead: Lead) -> None:
    """Lead; raises FolderError where another crawl does. A run of the same crawl must be dead: we have its folder."""
    now = board.lead(lead)
    if now.crawl == lead.crawl and now.run != lead.run:
        now = board.lead(lead, now)
    if now.run != lead.run:
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
