"""Which machine does which shard, without I/O: who is there, what each has in hand, and what is leased to whom.

A shard is leased to one machine at a time, and an idle one may change hands only after it has rested: so what is
counted per host is counted in one place.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

from crawler.config import CrawlConfig
from crawler.fleet.words import BEAT_S, Beat
from crawler.records import FlowState

_OUT_MOST = 16  # chunks of one shard that are out at once, most of them for the sake of their last, slow entries
_HELD_CHUNKS = 4  # as many as this, in entries
_FRESH_S = 2 * BEAT_S + 1.0  # who spoke no longer ago is there
_MISSING = 3  # beats in which a machine does not name a chunk that it should have
_BEGINS = 6  # beats in which an order may be begun
_AGAIN_MOST = 2  # then it is another's turn
_REST_S = 60.0
_SHARDS_LEAST = 61
_SHARDS_A_MACHINE = 4  # their hosts are not equally many, and one shard more or less than the others is a quarter
_CRAWL_DELAY_S = 30.0  # the longest that a robots.txt is obeyed


def shards_for(beats: list[tuple[Beat, float]]) -> int:
    """Into how many parts hosts are divided, for the machines that are there: a prime, so that a machine's processes
    share those of a shard evenly; at least 61, and at least four a machine.
    """
    machines = sum(age_s <= _FRESH_S and not beat.left for beat, age_s in beats)
    shards = max(_SHARDS_LEAST, _SHARDS_A_MACHINE * machines)
    while any(shards % divisor == 0 for divisor in range(2, math.isqrt(shards) + 1)):
        shards += 1
    return shards


@dataclasses.dataclass(slots=True, eq=False)
class Out:
    """A chunk that is not all final: where it is, and the seqs that are not.

    Its entries, `states`, are kept until it is begun, and read in the depot again (`recalled`) where they go back.
    `alone` is one entry that is a chunk by itself; `solo` one with which a machine died so, and which gets a machine of
    its own the next time: then it is nobody else's doing. `lost` says why nothing
    more will come of it than what was in the depot at `lost_at`; it is `guilty` if it was there when its machine died.
    """

    chunk: int
    shard: int
    held: set[int]
    states: tuple[FlowState, ...] | None = None
    solo: bool = False
    alone: bool = False
    machine: str = ""
    term: int = 0
    fence: int = 0
    ordered: bool = False  # its entries are in the depot, or on their way
    recalled: bool = False
    begun: bool = False
    until: int = 0  # the beat of its machine until which it may be begun
    again: int = 0  # how often it was ordered again
    missing: int = 0
    looked: int = 0  # how often nothing was in the depot
    attempt: str = ""
    parts: set[int] = dataclasses.field(default_factory=set)
    fetching: int = 0
    lost: str | None = None
    lost_at: float = 0.0
    guilty: bool = False

    def begin(self) -> None:
        """Its machine has read its entries in the depot, so they need not lie here: machines have many in hand."""
        self.begun = True
        if self.lost is None:
            self.states = None

    def lose(self, cause: str, now: float, *, guilty: bool = False) -> None:
        """Nothing more will come of it than what is in the depot by now."""
        if self.lost is None:
            self.lost, self.lost_at, self.looked, self.guilty = cause, now, 0, guilty

    @property
    def missed(self) -> bool:
        """Whether its machine says nothing of it, though it should."""
        return self.missing >= _MISSING


@dataclasses.dataclass(slots=True, eq=False)
class Seat:
    """What is known of a machine: what it said last, for how long it is silent, and what it should have in hand.

    One that did not begin what it had rests until `rests_until`: others come before it. It may be `reserved` for one
    chunk.
    """

    beat: Beat
    silent_s: float = 0.0
    rests_until: float = 0.0
    outs: dict[int, Out] = dataclasses.field(default_factory=dict)
    reserved: int | None = None

    @property
    def room(self) -> int:
        """How many more chunks it may have: as many as it asks for, unless they hold enough entries already."""
        held = sum(len(out.held) for out in self.outs.values())
        return 0 if self.reserved is not None or held >= self.beat.entries else self.beat.chunks_most - len(self.outs)


@dataclasses.dataclass(slots=True, eq=False)
class _Lease:
    """A shard is leased to a machine, under a number that no earlier lease had.

    It was `used` if a chunk of it was begun. One that is `over` gets no more, and ends when it has no more.
    """

    machine: str
    fence: int
    outs: dict[int, Out] = dataclasses.field(default_factory=dict)
    idle_since: float = 0.0
    moving: bool = False
    used: bool = False
    over: bool = False

    @property
    def idle(self) -> bool:
        """Whether nothing of it was begun and is not through."""
        return not any(out.begun for out in self.outs.values())


class Roster:
    """The machines of a run and the leases of its shards; `clock` gives seconds that only go on."""

    def __init__(self, run: str, config: CrawlConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.seats: dict[str, Seat] = {}
        self.used: set[str] = set()
        self._run = run
        self._config = config
        self._clock = clock
        self._leases: dict[int, _Lease] = {}
        self._unplaced: deque[Out] = deque()
        self._fence = itertools.count(1)
        self._linger_s = max(config.delay, _CRAWL_DELAY_S if config.robots else 0.0)

    def credit(self, shard: int) -> int:
        """How many chunks of a shard are wanted: one, unless the last is not begun, or its machine has enough."""
        lease = self._leases.get(shard)
        if lease is None:
            return int(not self._unplaced and any(self._able()))
        seat = self.seats.get(lease.machine)
        if seat is None or seat.room <= 0 or lease.moving or lease.over or len(lease.outs) >= _OUT_MOST:
            return 0
        held = sum(len(out.held) for out in lease.outs.values())
        return int(held < _HELD_CHUNKS * self._config.chunk_size and all(out.begun for out in lease.outs.values()))

    def add(self, out: Out) -> None:
        """Let a chunk wait for a machine."""
        self._unplaced.append(out)

    def place(self) -> list[Out]:
        """Give what waits to machines, as far as they have room; what was given and is to be ordered now."""
        placed = []
        for _ in range(len(self._unplaced)):
            out = self._unplaced.popleft()
            seat = self._seat_for(out)
            if seat is None:
                self._unplaced.append(out)
            else:
                self._assign(out, seat)
                placed.append(out)
        return placed

    def hear(self, beat: Beat, age_s: float) -> list[Out]:
        """A machine said something `age_s` seconds ago; the orders that it seems not to have got."""
        seat = self.seats.get(beat.machine)
        if seat is None:
            if age_s <= _FRESH_S and not beat.left:
                self.seats[beat.machine] = Seat(beat)
            return []
        if beat.count == seat.beat.count:
            return []
        seat.beat, seat.silent_s = beat, 0.0
        again = [out for out in seat.outs.values() if self._compare(out, seat)]
        self._take_back(seat)
        return again

    def lose(self, seat: Seat, cause: str, *, guilty: bool) -> None:
        """A machine is gone, and its leases with it; what it had begun is `guilty`, where it died."""
        name = seat.beat.machine
        del self.seats[name]
        self._leases = {shard: lease for shard, lease in self._leases.items() if lease.machine != name}
        for out in seat.outs.values():
            out.lose(f"on {seat.beat.host} {cause}", self._clock(), guilty=guilty and out.begun)

    def let_go(self, out: Out) -> None:
        """A chunk is through, or goes back."""
        seat = self.seats.get(out.machine)
        if seat is not None:
            seat.outs.pop(out.chunk, None)
            if seat.reserved == out.chunk:
                seat.reserved = None
        lease = self._leases.get(out.shard)
        if lease is not None and lease.outs.pop(out.chunk, None) is not None:
            lease.idle_since = self._clock()
            lease.used |= out.begun or bool(out.attempt) or not lease.over

    def troubles(self) -> Iterator[tuple[str, str]]:
        """Machines that something hinders: the name for people, and the sentence."""
        now = self._clock()
        for seat in self.seats.values():
            if seat.beat.trouble:
                yield seat.beat.host, seat.beat.trouble
            elif seat.rests_until > now:
                yield seat.beat.host, "It is there, and does not begin what it is ordered; others get that."

    @property
    def hindrance(self) -> str:
        """Why no machine can do anything for this run, as a phrase; '' where one can."""
        beats = [seat.beat for seat in self.seats.values()]
        if not beats:
            return "no machine is there; start some with crawl worker"
        if any(map(self._may_use, self.seats.values())):
            return ""
        one = len(beats) == 1
        there = "1 machine is there, it" if one else f"{len(beats):,} machines are there,"
        knowing = [beat for beat in beats if self._knows(beat)]
        if not knowing:
            return f"{there} {'was not' if one else 'none was'} started with --parse {self._config.parse}"
        if any(beat.trouble for beat in knowing):
            return f"{there} {'cannot' if one else 'none can'} work, as was said"
        return f"{there} {'works' if one else 'all work'} for another run"

    def balance(self) -> None:
        """End leases that nobody needs, and those of which a machine has more than its share, once they have rested."""
        now = self._clock()
        for shard, lease in list(self._leases.items()):
            rest_s = (self._linger_s if lease.used else 0.0) + (0.0 if lease.moving or lease.over else BEAT_S)
            if not lease.outs and now - lease.idle_since >= rest_s:
                del self._leases[shard]
        names = [name for name, seat in self.seats.items() if self._may_use(seat)]
        share = -(-len(self._leases) // max(len(names), 1))
        leases: dict[str, list[_Lease]] = {name: [] for name in names}
        for lease in self._leases.values():
            if lease.machine in leases:
                leases[lease.machine].append(lease)
        for its in leases.values():
            its.sort(key=lambda lease: sum(len(out.held) for out in lease.outs.values()))
            for number, lease in enumerate(its):
                lease.moving = number < len(its) - share

    def _compare(self, out: Out, seat: Seat) -> bool:
        """What a machine says of a chunk that it should have; whether it must be ordered again."""
        beat = seat.beat
        if out.term < beat.term:
            out.lose("handed it back", self._clock())
        elif beat.run == self._run and out.chunk in beat.chunks:
            out.begin()
            out.missing, out.looked, seat.rests_until = 0, 0, 0.0
        else:
            out.missing += 1
        if not out.missed or out.begun or out.lost is not None:
            return False
        if _hopeless(out, beat) and self._leases[out.shard].idle:
            return False  # nothing else of its shard is in hand there, so another machine may have it
        out.missing = 0
        out.again += 1
        out.until = beat.count + _BEGINS
        return True

    def _take_back(self, seat: Seat) -> None:
        """End the leases of which a machine began nothing though it was ordered again, and will begin nothing more."""
        hopeless = {out.shard for out in seat.outs.values() if out.lost is None and _hopeless(out, seat.beat)}
        for lease in [self._leases[shard] for shard in hopeless]:
            outs = lease.outs.values()
            if all(not out.begun and out.lost is None and seat.beat.count > out.until for out in outs):
                seat.rests_until = self._clock() + _REST_S
                lease.over = True
                for out in outs:
                    out.lose(f"on {seat.beat.host} did not begin it", self._clock())

    def _may_use(self, seat: Seat) -> bool:
        """Whether it works for nobody else, was started with the function that this run needs, and has no trouble."""
        return seat.beat.run in ("", self._run) and self._knows(seat.beat) and not seat.beat.trouble

    def _knows(self, beat: Beat) -> bool:
        parse = self._config.parse
        return parse is None or parse in beat.parse

    def _choose(self) -> Seat | None:
        """The machine that the next shard should be leased to: the one with the fewest, of those that begin theirs."""
        leases, now = Counter(lease.machine for lease in self._leases.values()), self._clock()
        return min(
            self._able(),
            key=lambda seat: (seat.rests_until > now, leases[seat.beat.machine], len(seat.outs)),
            default=None,
        )

    def _able(self) -> Iterator[Seat]:
        """The machines that a shard could be leased to."""
        return (seat for seat in self.seats.values() if seat.room > 0 and self._may_use(seat))

    def _seat_for(self, out: Out) -> Seat | None:
        lease = self._leases.get(out.shard)
        if lease is not None and lease.over:
            return None
        seat = self.seats.get(lease.machine) if lease is not None else None
        if not out.solo:
            return (seat if seat.room > 0 else None) if seat is not None else self._choose()
        able = [seat] if seat is not None else [one for one in self.seats.values() if self._may_use(one)]
        now = self._clock()
        best = min(able, key=lambda one: (one.rests_until > now, len(one.outs)), default=None)
        if best is None or best.reserved not in (None, out.chunk):
            return None
        for other in self.seats.values():
            if other.reserved == out.chunk:
                other.reserved = None  # it is better off elsewhere now
        best.reserved = out.chunk  # it gets nothing else until it has nothing else, and then this one alone
        return best if not best.outs else None

    def _assign(self, out: Out, seat: Seat) -> None:
        name = seat.beat.machine
        lease = self._leases.setdefault(out.shard, _Lease(name, next(self._fence)))
        out.machine, out.term, out.fence = name, seat.beat.term, lease.fence
        out.until = seat.beat.count + _BEGINS
        lease.outs[out.chunk] = seat.outs[out.chunk] = out
        self.used.add(name)


def _hopeless(out: Out, beat: Beat) -> bool:
    """Whether it helps no more to order a chunk again that its machine has not begun."""
    return not out.begun and (out.again >= _AGAIN_MOST or bool(beat.trouble))
