"""All the entries that one worker holds: which of them can do what now. No I/O, no clock, no lock of its own.

    add(states) → permitted → parked by host → next(now) hands out turns → the driver does them → done(turn, event)
    → finished

Where robots.txt is obeyed, an entry is permitted before it is parked, so that one which is denied takes no slot. Those
whose origin is not known wait for one flow that fetches its robots.txt, in its turn like a page, and hold nothing.
A waiting entry is a parked `FlowState` (a flow's generator starts with its first turn), so 20,000 of them cost a
few megabytes and not one task.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable

from crawler import urls
from crawler.exchange import Action, Addresses, Event, Exchange, Failure, NeedRobots, Reply, Resolve, Wait
from crawler.flow import PASSING_STATUSES, Fate, FlowRules, fetch, given_up, refused, retry_after
from crawler.machines import Machines
from crawler.outages import Outages
from crawler.permits import Answer, Permits, find_out, rules_for_robots
from crawler.politeness import Politeness
from crawler.records import FlowState, Hop, Waiting
from crawler.robots import Rules
from crawler.throttle import Throttle

SLOW_S = 5.0
"""An exchange that takes longer is named as one that the run waits for."""

_NO_CONNECTION = frozenset({"connect", "timeout"})  # and nothing was sent: not the page's doing, but the host's

_PERMITTED_AT_ONCE = 16  # entries; a robots.txt at its worst takes 0.1 s for each
_TAKEN_AT_ONCE = 256  # entries; thousands may wait for their names before one is found that can go
_LOOKUPS_MOST = 100  # with the driver: more of them would only be tasks that wait for their turn

Known = Callable[[str], Addresses | Failure | None]
"""What the resolver already knows of a host, without waiting; None where it must be asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class Errand:
    """A robots.txt that entries wait for; `seq` is the first of them."""

    origin: str
    host: str
    seq: int
    trusted: bool = True  # with the header fields that are the caller's own: not where only a redirect leads there


@dataclasses.dataclass(slots=True, eq=False)
class Turn:
    """Something for the driver to do: `action` is a `Resolve` or an `Exchange`.

    `slot` is the host slot that it holds, which it was `granted` then, `since` when the driver got it; `machine` the
    address where it has a place, or waits for one; `errand` what it does for others, where it is no entry's own.
    """

    flow: Generator[Action, Event, Fate | FlowState | Answer]
    host: str
    seq: int
    action: Action | None = None
    slot: str | None = None
    machine: str | None = None
    granted: float = 0.0
    since: float = 0.0
    errand: Errand | None = None


Item = FlowState | Turn | Errand


class Frontier:
    """The flows of one worker, scheduled by politeness.

    As many exchanges are with the driver at once as the `throttle` has places for, and 100 lookups beside them.
    """

    def __init__(self, rules: FlowRules, known: Known, throttle: Throttle) -> None:
        self._rules = rules
        self._known = known
        self._politeness: Politeness[Item] = Politeness(rules.config.per_host, rules.config.delay)
        self._outages: Outages[Item] = Outages()
        self._machines: Machines[Turn] = Machines(rules.config.places_at_one_address)
        self._permits = Permits()
        self._robots_rules = {trusted: rules_for_robots(rules, trusted=trusted) for trusted in (True, False)}
        self._fresh: deque[tuple[FlowState, Answer | None]] = deque()
        self._wanting: dict[str, list[FlowState | Turn]] = {}  # by origin: who waits for its robots.txt
        self._refused: list[tuple[Item, str]] = []
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
        return self._politeness.ready + len(self._fresh) + len(self._exchanges)

    @property
    def shortage(self) -> str | None:
        """The limit of this machine that holds exchanges back now, in words; None where none does."""
        return self._throttle.shortage

    def waiting(self, now: float, most: int) -> tuple[Waiting, ...]:
        """The hosts that entries wait for: parked ones, retries that are not due, exchanges that take their time."""
        parked = [Waiting(*held) for held in self._politeness.waiting(most, now)]
        crowds = [Waiting(address, count, "address") for address, count in self._machines.waiting(most)]
        unreachable = [
            Waiting(origin, count, "no connection", seconds)
            for origin, count, seconds in self._outages.waiting(most, now)
        ]
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
        return tuple(
            parked + crowds + unreachable + heapq.nlargest(most, retries, key=lambda entry: entry.entries) + slowest
        )

    def add(self, states: Iterable[FlowState]) -> None:
        """Take in entries; states that come from another worker's redirect go ahead of fresh ones of their host."""
        for state in states:
            self.held += 1
            if self._rules.config.robots:
                self._fresh.append((state, None))
            else:
                self._politeness.park(state.host, state, first=bool(state.hops))

    def next(self, now: float) -> Turn | None:
        """The next thing to do, or None until something is done, added, or `wake_at()` has come."""
        while self._timers and self._timers[0][0] <= now:
            self._advance(heapq.heappop(self._timers)[2], None, now)
        while (probe := self._outages.due(now)) is not None:
            self._politeness.park(probe.host, probe, first=True)
        self._permit_some(now)
        taken = 0
        while (turn := self._choose(now)) is None:
            may_take = self._may_take and taken < _TAKEN_AT_ONCE
            item = self._politeness.next(now, self._admits) if may_take else None
            taken += 1
            if item is not None:
                self._take(item, now)
            elif not self._refused:
                return None
            self._end_refused(now)
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
        aside = [*self._machines.forget(), *self._outages.forget()]
        waiting = [*(state for state, _ in self._fresh), *itertools.chain.from_iterable(self._wanting.values())]
        dropped = [*self._politeness.forget(), *self._lookups, *self._exchanges, *timed, *aside, *waiting]
        for turn in self._exchanges:
            self._leave(turn)
        self._lookups.clear()
        self._exchanges.clear()
        self._timers.clear()
        self._fresh.clear()
        self._wanting.clear()
        for item in dropped:
            self.held -= _is_entry(item)
            if isinstance(item, Turn):
                self._release(item)
                item.flow.close()

    def wake_at(self) -> float | None:
        """When `next` may answer otherwise by the passing of time alone; None where it will not."""
        if self._may_take and (self._fresh or self._politeness.ready):
            return 0.0  # some of them were enough for one call
        polite = self._politeness.wake_at() if self._may_take else None
        times = [self._timers[0][0] if self._timers else None, self._outages.wake_at(), polite]
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
            self._judge(turn, turn.action, event, now)

    def _judge(self, turn: Turn, action: Exchange, event: Event, now: float) -> None:
        """Whether the host could be reached, and whether it asks for less."""
        if isinstance(event, Failure) and event.error_class in _NO_CONNECTION and not event.sent:
            origin = urls.origin(action.url)
            entries = self._entries(turn)
            kept = self._outages.failed(origin, turn.seq, turn.granted, event.message, now, entries)
            self._give_up(kept, origin, now)
            return
        if self._outages:
            for item in self._outages.answered(urls.origin(action.url)):
                self._politeness.park(item.host, item)
        if not isinstance(event, Reply):
            return  # no whole answer: it says nothing of whether the host bears more
        if action.body.status not in PASSING_STATUSES:
            self._politeness.answered(action.host, turn.granted)
        elif self._politeness.pushed_back(action.host, turn.granted, self._asked_s(action), now):
            origin, reason = urls.origin(action.url), f"nothing but {action.body.status} for a long time"
            self._give_up(self._outages.give_up(origin, turn.seq, reason, now), origin, now)

    def _asked_s(self, action: Exchange) -> float:
        return retry_after(action.body, self._rules.utc()) or 0.0

    def _give_up(self, items: Iterable[Item], origin: str, now: float) -> None:
        """End entries whose host is down."""
        error = f"{origin} is down ({self._outages.reason(origin)}); crawl retry --error host_down asks it again"
        for item in items:
            if isinstance(item, Errand):
                self._tell(item, Failure("host_down", error, sent=False), now)
            elif isinstance(item, FlowState):
                self.held -= 1
                self.finished.append(given_up(item, error, self._rules))
            else:
                self._advance(item, Failure("host_down", error, sent=False), now)

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

    def _admits(self, item: Item, now: float) -> bool:
        """Whether an item may go to its origin now; else it is kept until that can be reached, or has ended."""
        if not self._outages:
            return True
        origin = item.origin if isinstance(item, Errand) else urls.origin(_target(item))
        verdict = self._outages.admit(origin, item, now)
        if verdict == "refused":
            self._refused.append((item, origin))
        return verdict == "go"

    def _end_refused(self, now: float) -> None:
        """End what was just refused: not while politeness was in the middle of it."""
        ended, self._refused = self._refused, []
        for item, origin in ended:
            self._give_up([item], origin, now)

    def _permit_some(self, now: float) -> None:
        """Permit some of the entries that came, where more could be done."""
        for _ in range(min(len(self._fresh), _PERMITTED_AT_ONCE) if self._may_take else 0):
            self._permit(*self._fresh.popleft(), now)

    def _permit(self, state: FlowState, answer: Answer | None, now: float) -> None:
        """Park an entry where robots.txt allows it, end it where not, and find that out first where it is not known."""
        origin = urls.origin(state.target)
        answer = answer or self._permits.get(origin, now)
        if answer is None:
            self._want(Errand(origin, state.host, state.seq, _trusts(state.hops, origin)), state)
        elif (fate := refused(state, answer, self._rules)) is not None:
            self.held -= 1
            self.finished.append(fate)
        else:
            if isinstance(answer, Rules) and answer.crawl_delay:
                self._politeness.slow(state.host, answer.crawl_delay)
            self._politeness.park(state.host, state, first=bool(state.hops))

    def _want(self, errand: Errand, item: FlowState | Turn) -> None:
        """Let an item wait for a robots.txt, which is sent for once."""
        if errand.origin not in self._wanting:
            self._wanting[errand.origin] = []
            self._politeness.park(errand.host, errand, first=True)
        self._wanting[errand.origin].append(item)

    def _tell(self, errand: Errand, answer: Answer, now: float) -> None:
        """All who wait for a robots.txt hear what came of it."""
        self._permits.put(errand.origin, answer, now)
        if isinstance(answer, Rules) and answer.crawl_delay:
            self._politeness.slow(errand.host, answer.crawl_delay, now)
        for item in self._wanting.pop(errand.origin, ()):
            if isinstance(item, Turn):
                self._advance(item, answer, now)
            else:
                self._fresh.append((item, answer))

    def _take(self, item: Item, now: float) -> None:
        """Give an item the slot that politeness just granted."""
        if isinstance(item, FlowState):
            turn = Turn(fetch(item, self._rules, item.target), item.host, item.seq, slot=item.host, granted=now)
            self._advance(turn, None, now)
        elif isinstance(item, Errand):
            flow = find_out(item.origin, item.host, item.seq, self._robots_rules[item.trusted])
            self._advance(Turn(flow, item.host, item.seq, slot=item.host, granted=now, errand=item), None, now)
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
        if not isinstance(turn.action, Wait):
            turn.host = turn.action.host
        if isinstance(turn.action, NeedRobots):
            self._release(turn)
            self._want(Errand(turn.action.origin, turn.action.host, turn.seq, turn.action.trusted), turn)
        elif isinstance(turn.action, Wait):
            self._release(turn)
            heapq.heappush(self._timers, (now + turn.action.seconds, next(self._ticket), turn))
        elif isinstance(turn.action, Resolve):
            self._lookups.append(turn)
        elif turn.slot == turn.action.host:
            self._exchanges.append(turn)
        else:
            self._park(turn)

    def _at_once(self, action: Action, now: float) -> Addresses | Answer | None:
        """What is known already; None where the flow must wait."""
        if isinstance(action, Resolve):
            return self._known(action.host)
        return self._permits.get(action.origin, now) if isinstance(action, NeedRobots) else None

    def _entries(self, turn: Turn) -> int:
        """How many entries hang on what comes of it."""
        return 1 if turn.errand is None else len(self._wanting.get(turn.errand.origin, ()))

    def _end(self, turn: Turn, ending: Fate | FlowState | Answer, now: float) -> None:
        """Take in what a flow ended with."""
        if turn.errand is None:
            assert isinstance(ending, Fate | FlowState)
            self.held -= 1
            self.finished.append(ending)
        else:
            assert isinstance(ending, Rules | Failure)
            unreachable = isinstance(ending, Failure) and ending.error_class in _NO_CONNECTION
            if unreachable and self._outages.is_aside(turn.errand.origin):
                self._politeness.park(turn.errand.host, turn.errand, first=True)  # until that is given up
            else:
                self._tell(turn.errand, ending, now)

    def _park(self, turn: Turn) -> None:
        """Let it wait for a slot of the host that it talks to."""
        self._release(turn)
        self._politeness.park(turn.host, turn, first=True)

    def _release(self, turn: Turn) -> None:
        if turn.slot is not None:
            self._politeness.release(turn.slot)
            turn.slot = None


def _trusts(hops: Iterable[Hop], origin: str) -> bool:
    return all(urls.origin(hop.url) == origin for hop in hops)


def _is_entry(item: Item) -> bool:
    """Whether it is an entry, under way or not, rather than an errand."""
    return isinstance(item, FlowState) or (isinstance(item, Turn) and item.errand is None)


def _target(item: FlowState | Turn) -> str:
    """The URL that it would fetch next."""
    return item.target if isinstance(item, FlowState) else getattr(item.action, "url", "")
