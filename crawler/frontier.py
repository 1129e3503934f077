"""All the entries that one worker holds: which of them can do what now. No I/O, no clock, no lock of its own.

    add(states) → admission → parked by host → next(now) hands out turns → the driver does them → done(turn, event)
    → finished

Where robots.txt is obeyed, an entry is admitted before it is parked, so that one which is denied takes no slot. Those
whose origin is not known wait for one flow that fetches its robots.txt, in its turn like a page, and hold nothing.
A waiting entry is a parked `FlowState` (a flow's generator starts with its first turn), so 20,000 of them cost a
few megabytes and not one task.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable

from crawler.admission import Admission
from crawler.exchange import Action, Addresses, Event, Exchange, Failure, NeedRobots, Resolve, Wait
from crawler.fates import Fate, FlowRules
from crawler.flow import fetch, given_up
from crawler.machines import Machines
from crawler.permits import Answer, trail_to
from crawler.politeness import Politeness
from crawler.reach import NO_CONNECTION, GivenUp, Reach
from crawler.records import FlowState, RobotsReply, Waiting
from crawler.throttle import Throttle
from crawler.turns import Errand, Item, Turn, is_entry, origin_of

SLOW_S = 5.0
"""An exchange that takes longer is named as one that the run waits for."""

_ADMITTED_AT_ONCE = 16  # entries; a robots.txt at its worst takes 0.1 s for each
_TAKEN_AT_ONCE = 256  # entries; thousands may wait for their names before one is found that can go
_LOOKUPS_MOST = 100  # with the driver: more of them would only be tasks that wait for their turn

Known = Callable[[str], Addresses | Failure | None]
"""What the resolver already knows of a host, without waiting; None where it must be asked."""


class Frontier:
    """The flows of one worker, scheduled by politeness.

    As many exchanges are with the driver at once as the `throttle` has places for, and 100 lookups beside them.
    """

    def __init__(self, rules: FlowRules, known: Known, throttle: Throttle) -> None:
        self._rules = rules
        self._known = known
        self._politeness: Politeness[Item] = Politeness(rules.config.per_host, rules.config.delay)
        self._admission = Admission(rules, self._politeness)
        self._reach = Reach(self._politeness, rules.utc)
        self._machines: Machines[Turn] = Machines(rules.config.places_at_one_address)
        self._timers: list[tuple[float, int, Turn]] = []
        self._ticket = itertools.count()
        self._lookups: deque[Turn] = deque()
        self._exchanges: deque[Turn] = deque()
        self._in_hand: set[Turn] = set()
        self._throttle = throttle
        self.held = 0
        self.in_flight = 0
        """How many exchanges the driver has."""
        self.looking_up = 0
        """How many lookups the driver has."""
        self.finished: deque[Fate | FlowState] = deque()
        """What left: fates, and states whose redirect leads to another worker's host. The driver empties it."""

    @property
    def ready(self) -> int:
        """How many entries could go now; a lower bound.

        Those that wait for a name are not among them: a dead name server must not keep others from coming.
        """
        return self._politeness.ready + len(self._admission) + len(self._exchanges)

    @property
    def shortage(self) -> str | None:
        """The limit of this machine that holds exchanges back now, in words; None where none does."""
        return self._throttle.shortage

    def waiting(self, now: float, most: int) -> tuple[Waiting, ...]:
        """The hosts that entries wait for: parked ones, retries that are not due, exchanges that take their time."""
        parked = [Waiting(*held) for held in self._politeness.waiting(most, now)]
        crowds = [Waiting(address, count, "address") for address, count in self._machines.waiting(most)]
        due: dict[str, list[tuple[float, int]]] = {}
        for at, _, turn in self._timers:
            due.setdefault(turn.host, []).append((at - now, self._entries(turn)))
        retries = [
            Waiting(host, sum(entries for _, entries in turns), "back-off", min(turns)[0])
            for host, turns in due.items()
        ]
        slow = [
            Waiting(turn.action.host, self._entries(turn), "slow", now - turn.since)
            for turn in self._in_hand
            if isinstance(turn.action, Exchange) and now - turn.since >= SLOW_S
        ]
        slowest = heapq.nlargest(most, slow, key=lambda entry: entry.seconds)
        retries = heapq.nlargest(most, retries, key=lambda entry: entry.entries)
        return tuple(parked + crowds + self._reach.waiting(most, now) + retries + slowest)

    def add(self, states: Iterable[FlowState]) -> None:
        """Take in entries; states that come from another worker's redirect go ahead of fresh ones of their host."""
        for state in states:
            self.held += 1
            if state.hops:
                self._rules.burden.add(state.hops)
            if self._rules.config.robots:
                self._admission.add(state)
            else:
                self._politeness.park(state.host, state, first=bool(state.hops))

    def next(self, now: float) -> Turn | None:
        """The next thing to do, or None until something is done, added, or `wake_at()` has come."""
        while self._timers and self._timers[0][0] <= now:
            self._advance(heapq.heappop(self._timers)[2], None, now)
        self._reach.wake(now)
        self._admission.wake(now)
        self._admit_some(now)
        taken = 0
        while (turn := self._choose(now)) is None:
            may_take = self._may_take and taken < _TAKEN_AT_ONCE
            item = self._politeness.next(now, self._reach.admits) if may_take else None
            taken += 1
            if item is not None:
                self._take(item, now)
            if self._reach.has_refused:  # not while politeness was in the middle of it
                self._give_up(self._reach.refused(), now)
            elif item is None:
                return None
        turn.since = now
        self._in_hand.add(turn)
        return turn

    def done(self, turn: Turn, event: Event, now: float) -> None:
        """Tell a turn's flow what came of it; an exchange gives back its host slot."""
        self._in_hand.discard(turn)
        self._heed(turn, event, now)
        if isinstance(turn.action, Exchange):
            self.in_flight -= 1
            self._leave(turn)
            self._release(turn)
            self._advance(turn, event, now)
            return
        self.looking_up -= 1
        if not self.started(turn, now):
            self._release(turn)
        self._advance(turn, event, now)

    def started(self, turn: Turn, now: float) -> bool:
        """Count its host's delay from now: it was looked up first, or had to wait for its place in the pool.

        False where others of the host went meanwhile: then it must wait for its turn again.
        """
        if turn.slot is not None:
            if not self._politeness.start(turn.slot, turn.granted, now):
                return False
            turn.granted = now
        return True

    def forget(self) -> None:
        """Give up all that the driver does not have in hand: no fate, no row, as if it had never come."""
        timed = (turn for _, _, turn in self._timers)
        aside = [*self._machines.forget(), *self._reach.forget(), *self._admission.forget()]
        dropped = [*self._politeness.forget(), *self._lookups, *self._exchanges, *timed, *aside]
        for turn in self._exchanges:
            self._leave(turn)
        self._lookups.clear()
        self._exchanges.clear()
        self._timers.clear()
        for item in dropped:
            self.held -= is_entry(item)
            if isinstance(item, Turn):
                self._release(item)
                item.flow.close()

    def wake_at(self) -> float | None:
        """When `next` may answer otherwise by the passing of time alone; None where it will not."""
        if self._may_take and (self._admission or self._politeness.ready):
            return 0.0  # some of them were enough for one call
        polite = self._politeness.wake_at() if self._may_take else None
        times = [self._timers[0][0] if self._timers else None, self._reach.wake_at(), self._admission.wake_at(), polite]
        return min((time for time in times if time is not None), default=None)

    @property
    def _may_take(self) -> bool:
        """Whether politeness may be asked for more; not while an exchange that it let go waits for its place."""
        return not self._exchanges

    def _choose(self, now: float) -> Turn | None:
        """The next of those that may go: a lookup, or an exchange where there is a place for it."""
        if self._lookups and self.looking_up < _LOOKUPS_MOST:
            self.looking_up += 1
            return self._lookups.popleft()
        while self._exchanges and self.in_flight < self._throttle.places:
            turn = self._exchanges.popleft()
            if not self._enter(turn):
                continue
            if self.started(turn, now):
                self.in_flight += 1
                return turn
            self._leave(turn)
            self._park(turn)
        return None

    def _heed(self, turn: Turn, event: Event, now: float) -> None:
        """Let the throttle know what this machine bore, and politeness how the host is."""
        if isinstance(event, Failure) and event.error_class == "local":
            self._throttle.failed(event.message, self.in_flight, turn.since, now)
        elif isinstance(turn.action, Exchange):
            self._throttle.succeeded()
            self._give_up(self._reach.heed(turn, event, self._entries(turn), now), now)

    def _give_up(self, items: GivenUp, now: float) -> None:
        """End what need not be tried any more."""
        for item, failure in items:
            if isinstance(item, Errand):
                self._errand_over(item, failure, now)
            elif isinstance(item, FlowState):
                self._leaves(given_up(item, failure, self._rules))
            else:
                self._advance(item, failure, now)

    def _enter(self, turn: Turn) -> bool:
        """Take a place at the address that the exchange will try first; False where it has to wait there."""
        if turn.machine is not None:
            return True  # handed on to it by one that left
        assert isinstance(turn.action, Exchange)
        turn.machine = turn.action.addresses[0]
        return self._machines.enter(turn.machine, turn)

    def _leave(self, turn: Turn) -> None:
        """Hand its place at the address on."""
        if turn.machine is not None:
            heir = self._machines.leave(turn.machine)
            turn.machine = None
            if heir is not None:
                self._exchanges.append(heir)

    def _admit_some(self, now: float) -> None:
        """Admit some of the entries that came, where more could be done."""
        for _ in range(min(len(self._admission), _ADMITTED_AT_ONCE) if self._may_take else 0):
            denied = self._admission.judge(now)
            if denied is not None:
                self._leaves(denied)
        self._resume(now)

    def _errand_over(self, errand: Errand, ending: RobotsReply | FlowState | Failure, now: float) -> None:
        leaving = self._admission.over(errand, ending, now)
        if leaving is not None:
            self._leaves(leaving)
        self._resume(now)

    def _resume(self, now: float) -> None:
        """Let flows go on that have waited for the word of a robots.txt."""
        while self._admission.heard:
            turn, word = self._admission.heard.popleft()
            self._advance(turn, word, now)

    def _leaves(self, ending: Fate | FlowState) -> None:
        """An entry leaves this worker."""
        self.held -= 1
        hops = ending.state.hops if isinstance(ending, Fate) else ending.hops
        if hops:
            self._rules.burden.drop(hops)
        self.finished.append(ending)

    def _take(self, item: Item, now: float) -> None:
        """Give an item the slot that politeness just granted."""
        if isinstance(item, FlowState):
            turn = Turn(fetch(item, self._rules, item.target), item.host, item.seq, slot=item.host, granted=now)
            self._advance(turn, None, now)
        elif isinstance(item, Errand):
            flow = self._admission.begin(item)
            turn = Turn(flow, item.host, item.trail.seq, slot=item.host, granted=now, errand=item)
            self._advance(turn, None, now)
        else:
            assert isinstance(item.action, Exchange)
            item.slot, item.granted = item.action.host, now
            self._exchanges.append(item)

    def _advance(self, turn: Turn, event: Event, now: float) -> None:
        """Run a flow to its next action, or to its end."""
        try:
            turn.action = turn.flow.send(event)
            while (event := self._at_once(turn.action, now)) is not None:
                turn.action = turn.flow.send(event)
        except StopIteration as stop:
            self._release(turn)
            self._end(turn, stop.value, now)
            return
        if isinstance(turn.action, Wait):
            self._release(turn)
            heapq.heappush(self._timers, (now + turn.action.seconds, next(self._ticket), turn))
            return
        turn.host = turn.action.host
        if isinstance(turn.action, NeedRobots):
            self._release(turn)
            trail = trail_to(turn.action.origin, turn.action.host, turn.seq)
            self._admission.want(Errand(turn.action.origin, trail, turn.action.trusted), turn)
        elif isinstance(turn.action, Resolve):
            self._lookups.append(turn)
        elif turn.slot == turn.host:
            self._exchanges.append(turn)
        else:
            self._park(turn)

    def _at_once(self, action: Action, now: float) -> Addresses | Answer | None:
        """What is known already; None where the flow must wait."""
        if isinstance(action, Resolve):
            return self._known(action.host)
        return self._admission.known(action.origin, now) if isinstance(action, NeedRobots) else None

    def _entries(self, turn: Turn) -> int:
        """How many entries hang on what comes of it."""
        return 1 if turn.errand is None else self._admission.count(turn.errand)

    def _end(self, turn: Turn, ending: Fate | FlowState | RobotsReply, now: float) -> None:
        """Take in what a flow ended with."""
        if turn.errand is None:
            assert isinstance(ending, Fate | FlowState)
            self._leaves(ending)
            return
        assert isinstance(ending, RobotsReply | FlowState)
        unreachable = isinstance(ending, RobotsReply) and ending.error_class in NO_CONNECTION
        if unreachable and self._reach.is_aside(origin_of(turn.errand)):
            self._politeness.park(turn.errand.host, turn.errand, first=True)  # until that is given up
        else:
            self._errand_over(turn.errand, ending, now)

    def _park(self, turn: Turn) -> None:
        """Let it wait for a slot of the host that it talks to."""
        self._release(turn)
        self._politeness.park(turn.host, turn, first=True)

    def _release(self, turn: Turn) -> None:
        if turn.slot is not None:
            self._politeness.release(turn.slot)
            turn.slot = None
