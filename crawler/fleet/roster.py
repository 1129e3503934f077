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
    """What is known of a machine: what it said last, for how long it is silent, and what it should have in hand."""

    beat: Beat
    silent_s: float = 0.0
    outs: dict[int, Out] = dataclasses.field(default_factory=dict)
    reserved: bool = False

    @property
    def room(self) -> int:
        """How many more chunks it may have: as many as it asks for, unless they hold enough entries already."""
        held = sum(len(out.held) for out in self.outs.values())
        return 0 if self.reserved or held >= self.beat.entries else self.beat.chunks_most - len(self.outs)


@dataclasses.dataclass(slots=True, eq=False)
class _Lease:
    """A shard is leased to a machine, under a number that no earlier lease had."""

    machine: str
    fence: int
    outs: dict[int, Out] = dataclasses.field(default_factory=dict)
    idle_since: float = 0.0
    moving: bool = False


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
        if seat is None or seat.room <= 0 or lease.moving or len(lease.outs) >= _OUT_MOST:
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
        return [out for out in seat.outs.values() if self._compare(out, beat)]

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
            seat.reserved &= not out.solo
        lease = self._leases.get(out.shard)
        if lease is not None and lease.outs.pop(out.chunk, None) is not None:
            lease.idle_since = self._clock()

    def balance(self) -> None:
        """End leases that nobody needs, and those of which a machine has more than its share, once they have rested."""
        now = self._clock()
        for shard, lease in list(self._leases.items()):
            if not lease.outs and now - lease.idle_since >= self._linger_s + (0.0 if lease.moving else BEAT_S):
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

    def _compare(self, out: Out, beat: Beat) -> bool:
        """What a machine says of a chunk that it should have; whether it must be ordered again."""
        if out.term < beat.term:
            out.lose("handed it back", self._clock())
        elif beat.run == self._run and out.chunk in beat.chunks:
            out.begin()
            out.missing = out.looked = 0
        else:
            out.missing += 1
        if not out.missed or out.begun:
            return False
        out.missing = 0
        return True

    def _may_use(self, seat: Seat) -> bool:
        """Whether it works for nobody else, and was started with the function that this run needs."""
        parse = self._config.parse
        return seat.beat.run in ("", self._run) and (parse is None or parse in seat.beat.parse)

    def _choose(self) -> Seat | None:
        """The machine that the next shard should be leased to: the one with the fewest."""
        leases = Counter(lease.machine for lease in self._leases.values())
        return min(self._able(), key=lambda seat: (leases[seat.beat.machine], len(seat.outs)), default=None)

    def _able(self) -> Iterator[Seat]:
        """The machines that a shard could be leased to."""
        return (seat for seat in self.seats.values() if seat.room > 0 and self._may_use(seat))

    def _seat_for(self, out: Out) -> Seat | None:
        lease = self._leases.get(out.shard)
        seat = self.seats.get(lease.machine) if lease is not None else None
        if not out.solo:
            return (seat if seat.room > 0 else None) if seat is not None else self._choose()
        able = [seat] if seat is not None else [one for one in self.seats.values() if self._may_use(one)]
        best = min(able, key=lambda one: len(one.outs), default=None)
        if best is None or (best.reserved and any(other.solo for other in best.outs.values())):
            return None
        best.reserved = True  # it gets nothing else until it has nothing else, and then this one alone
        return best if not best.outs else None

    def _assign(self, out: Out, seat: Seat) -> None:
        name = seat.beat.machine
        lease = self._leases.setdefault(out.shard, _Lease(name, next(self._fence)))
        out.machine, out.term, out.fence = name, seat.beat.term, lease.fence
        lease.outs[out.chunk] = seat.outs[out.chunk] = out
        self.used.add(name)
