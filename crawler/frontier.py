"""All the entries that one worker holds: which of them can do what now. No I/O, no clock, no lock of its own.

    add(states) → parked by host → next(now) hands out turns → the driver does them → done(turn, event) → finished

A waiting entry is a parked `FlowState` (a flow's generator starts with its first turn), so 20,000 of them cost a
few megabytes and not one task.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable

from crawler.exchange import Action, Addresses, Event, Exchange, Failure, Resolve, Wait
from crawler.flow import Fate, FlowRules, fetch
from crawler.politeness import Politeness
from crawler.records import FlowState, Waiting
from crawler.throttle import Throttle

SLOW_S = 5.0
"""An exchange that takes longer is named as one that the run waits for."""

Known = Callable[[str], Addresses | Failure | None]
"""What the resolver already knows of a host, without waiting; None where it must be asked."""


@dataclasses.dataclass(slots=True, eq=False)
class Turn:
    """Something for the driver to do: `action` is a `Resolve` or an `Exchange`.

    `slot` is the host slot that it holds, which it was `granted` then, `since` when the driver got it.
    """

    flow: Generator[Action, Event, Fate | FlowState]
    host: str
    seq: int
    action: Action | None = None
    slot: str | None = None
    granted: float = 0.0
    since: float = 0.0


class Frontier:
    """The flows of one worker, scheduled by politeness.

    At most `in_hand_most` turns are with the driver at once; of exchanges as many as the `throttle` has places for.
    """

    def __init__(self, rules: FlowRules, known: Known, in_hand_most: int, throttle: Throttle | None = None) -> None:
        self._rules = rules
        self._known = known
        self._in_hand_most = in_hand_most
        self._politeness: Politeness[FlowState | Turn] = Politeness(rules.config.per_host, rules.config.delay)
        self._timers: list[tuple[float, int, Turn]] = []
        self._ticket = itertools.count()
        self._lookups: deque[Turn] = deque()
        self._exchanges: deque[Turn] = deque()
        self._in_hand: set[Turn] = set()
        self._throttle = throttle or Throttle(in_hand_most)
        self.held = 0
        self.in_flight = 0
        """How many exchanges the driver has."""
        self.finished: deque[Fate | FlowState] = deque()
        """What left: fates, and states whose redirect leads to another worker's host. The driver empties it."""

    @property
    def ready(self) -> int:
        """How many entries could go now; a lower bound."""
        return self._politeness.ready + len(self._lookups) + len(self._exchanges)

    @property
    def shortage(self) -> str | None:
        """The limit of this machine that holds exchanges back now, in words; None where none does."""
        return self._throttle.shortage

    def waiting(self, now: float, most: int) -> tuple[Waiting, ...]:
        """The hosts that entries wait for: parked ones, retries that are not due, exchanges that take their time."""
        parked = [
            Waiting(host, count, "delay" if delayed else "limit")
            for host, count, delayed in self._politeness.waiting(most)
        ]
        due: dict[str, list[float]] = {}
        for at, _, turn in self._timers:
            due.setdefault(turn.host, []).append(at - now)
        retries = [Waiting(host, len(times), "back-off", min(times)) for host, times in due.items()]
        slow = [
            Waiting(turn.action.host, 1, "slow", now - turn.since)
            for turn in self._in_hand
            if isinstance(turn.action, Exchange) and now - turn.since >= SLOW_S
        ]
        slowest = heapq.nlargest(most, slow, key=lambda entry: entry.seconds)
        return tuple(parked + heapq.nlargest(most, retries, key=lambda entry: entry.entries) + slowest)

    def add(self, states: Iterable[FlowState]) -> None:
        """Take in entries; states that come from another worker's redirect go ahead of fresh ones of their host."""
        for state in states:
            self.held += 1
            self._politeness.park(state.host, state, first=bool(state.hops))

    def next(self, now: float) -> Turn | None:
        """The next thing to do, or None until something is done, added, or `wake_at()` has come."""
        while self._timers and self._timers[0][0] <= now:
            self._advance(heapq.heappop(self._timers)[2], None, now)
        while (turn := self._choose(now)) is None:
            item = self._politeness.next(now) if self._may_take else None
            if item is None:
                return None
            self._take(item, now)
        turn.since = now
        self._in_hand.add(turn)
        return turn

    def done(self, turn: Turn, event: Event, now: float) -> None:
        """Tell a turn's flow what came of it; an exchange gives back its host slot."""
        self._in_hand.discard(turn)
        self._heed(turn, event, now)
        if isinstance(turn.action, Exchange):
            self.in_flight -= 1
            self._release(turn)
        elif not self.started(turn, now):
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
        given_up = [*self._politeness.forget(), *self._lookups, *self._exchanges, *timed]
        self._lookups.clear()
        self._exchanges.clear()
        self._timers.clear()
        self.held -= len(given_up)
        for item in given_up:
            if isinstance(item, Turn):
                self._release(item)
                item.flow.close()

    def wake_at(self) -> float | None:
        """When `next` may answer otherwise by the passing of time alone; None where it will not."""
        polite = self._politeness.wake_at() if self._may_take else None
        times = [self._timers[0][0] if self._timers else None, polite]
        return min((time for time in times if time is not None), default=None)

    @property
    def _may_take(self) -> bool:
        """Whether politeness may be asked for more; not while an exchange that it let go waits for its place."""
        return not self._exchanges and len(self._in_hand) < self._in_hand_most

    def _choose(self, now: float) -> Turn | None:
        """The next of those that may go: a lookup, or an exchange where there is a place for it."""
        if self._lookups:
            return self._lookups.popleft()
        while self._exchanges and self.in_flight < self._throttle.places:
            turn = self._exchanges.popleft()
            if self.started(turn, now):
                self.in_flight += 1
                return turn
            self._park(turn)
        return None

    def _heed(self, turn: Turn, event: Event, now: float) -> None:
        """Let the throttle know what this machine bore, and what it did not."""
        if isinstance(event, Failure) and event.error_class == "local":
            self._throttle.failed(event.message, self.in_flight, turn.since, now)
        elif isinstance(turn.action, Exchange):
            self._throttle.succeeded()

    def _take(self, item: FlowState | Turn, now: float) -> None:
        """Give an item the slot that politeness just granted."""
        if isinstance(item, FlowState):
            turn = Turn(fetch(item, self._rules), item.host, item.seq, slot=item.host, granted=now)
            self._advance(turn, None, now)
        else:
            assert isinstance(item.action, Exchange)
            item.slot, item.granted = item.action.host, now
            self._exchanges.append(item)

    def _advance(self, turn: Turn, event: Event, now: float) -> None:
        """Run a flow to its next action, or to its end."""
        try:
            turn.action = turn.flow.send(event)
            while isinstance(turn.action, Resolve) and (event := self._known(turn.action.host)) is not None:
                turn.action = turn.flow.send(event)
        except StopIteration as stop:
            self._release(turn)
            self.held -= 1
            self.finished.append(stop.value)
            return
        if not isinstance(turn.action, Wait):
            turn.host = turn.action.host
        if isinstance(turn.action, Wait):
            self._release(turn)
            heapq.heappush(self._timers, (now + turn.action.seconds, next(self._ticket), turn))
        elif isinstance(turn.action, Resolve):
            self._lookups.append(turn)
        elif turn.slot == turn.action.host:
            self._exchanges.append(turn)
        else:
            self._park(turn)

    def _park(self, turn: Turn) -> None:
        """Let it wait for a slot of the host that it talks to."""
        self._release(turn)
        self._politeness.park(turn.host, turn, first=True)

    def _release(self, turn: Turn) -> None:
        if turn.slot is not None:
            self._politeness.release(turn.slot)
            turn.slot = None
