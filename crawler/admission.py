"""Which entries their origin's robots.txt lets in, before they take a slot. No I/O, the clock is passed in.

    add(state) → judge(now) → parked in politeness, or its fate where it is denied
                     └ not known: kept here; one errand an origin finds out, in its turn like a page → over(…)

Where a robots.txt redirects to a host that another worker is the home of, one of the entries that wait goes there to
ask for it (`Detour`): so what a host gets at once is exact for these requests, too.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Generator

import msgspec

from crawler import robots, urls
from crawler.exchange import Action, Event, Failure
from crawler.fates import Fate, FlowRules
from crawler.flow import refused, sent_on
from crawler.permits import Answer, Permits, find_out, meaning, rules_for_robots, trail_to
from crawler.politeness import Politeness
from crawler.records import Detour, FlowState, RobotsReply
from crawler.redirects import on_first_origin
from crawler.robots import Rules
from crawler.turns import Errand, Item, Turn

AWAY_S = 600.0
"""How long an entry may be away for a robots.txt: it may have met its end on the way, while others wait here."""


class Admission:
    """What waits for the word of a robots.txt, and what is known of them.

    What may go is parked in `politeness`, which is also told of each `Crawl-delay`. `heard` are flows under way that
    go on with the word that they waited for.
    """

    def __init__(self, rules: FlowRules, politeness: Politeness[Item]) -> None:
        self.heard: deque[tuple[Turn, Answer | Detour]] = deque()
        self._rules = rules
        self._politeness = politeness
        self._robots_rules = {trusted: rules_for_robots(rules, trusted=trusted) for trusted in (True, False)}
        self._token = robots.product_token(rules.config.user_agent)
        self._permits = Permits()
        self._fresh: deque[tuple[FlowState, Answer | None]] = deque()
        self._wanting: dict[str, list[FlowState | Turn]] = {}  # by origin
        self._away: dict[str, tuple[float, Errand]] = {}  # by origin, in the order of time: until when

    def __len__(self) -> int:
        """How many entries can be judged now."""
        return len(self._fresh)

    def add(self, state: FlowState) -> None:
        """Take in an entry."""
        self._fresh.append((state, None))

    def judge(self, now: float) -> Fate | None:
        """Judge one entry: its fate where it is denied; else it is parked, or waits here for its robots.txt."""
        state, answer = self._fresh.popleft()
        if state.detour is not None:
            self._take_in(state, state.detour, now)
            return None
        origin = urls.origin(state.target)
        answer = answer or self._permits.get(origin, now)
        if answer is None:
            trail = trail_to(origin, state.host, state.seq)
            self.want(Errand(origin, trail, on_first_origin(state)), state)
            return None
        fate = refused(state, answer, self._rules)
        if fate is None:
            if isinstance(answer, Rules) and answer.crawl_delay:
                self._politeness.slow(state.host, answer.crawl_delay)
            self._politeness.park(state.host, state, first=bool(state.hops))
        return fate

    def known(self, origin: str, now: float) -> Answer | None:
        """What is known of an origin's robots.txt; None where it must be fetched."""
        return self._permits.get(origin, now)

    def want(self, errand: Errand, item: FlowState | Turn) -> None:
        """Let an item wait for a robots.txt, which is sent for once."""
        if errand.origin not in self._wanting:
            self._wanting[errand.origin] = []
            self._politeness.park(errand.host, errand, first=True)
        self._wanting[errand.origin].append(item)

    def count(self, errand: Errand) -> int:
        """How many wait for this robots.txt."""
        return len(self._wanting.get(errand.origin, ())) if errand.carrier is None else 1

    def begin(self, errand: Errand) -> Generator[Action, Event, RobotsReply | FlowState]:
        """The flow that fetches a robots.txt."""
        rules = self._robots_rules[errand.trusted]
        if errand.alone:
            rules = dataclasses.replace(rules, at_home=lambda _: True, together=lambda one, other: True)  # noqa: ARG005
        return find_out(errand.trail, rules)

    def over(self, errand: Errand, ending: RobotsReply | FlowState | Failure, now: float) -> FlowState | None:
        """What an errand ended with; the entry that leaves because of it, for another worker or home again."""
        if isinstance(ending, FlowState):
            return self._send_on(errand, Detour(errand.origin, errand.trusted, ending), now)
        if errand.carrier is None:
            answer = ending if isinstance(ending, Failure) else meaning(ending, self._token)
            self._tell(errand.origin, errand.host, answer, now)
            return None
        if isinstance(ending, Failure):
            ending = RobotsReply(error_class=ending.error_class, error=ending.message, tries=ending.tries)
        return sent_on(errand.carrier, Detour(errand.origin, errand.trusted, errand.trail, ending))

    def wake(self, now: float) -> None:
        """Follow from here each robots.txt that an entry has been away for too long for."""
        while self._away and (first := next(iter(self._away.items())))[1][0] <= now:
            origin, (_, errand) = first
            del self._away[origin]
            self._politeness.park(errand.host, dataclasses.replace(errand, alone=True), first=True)

    def wake_at(self) -> float | None:
        """When `wake` may have something to do; None where time alone changes nothing."""
        return next(iter(self._away.values()))[0] if self._away else None

    def forget(self) -> list[FlowState | Turn]:
        """Give up all that waits, and return it."""
        items: list[FlowState | Turn] = [state for state, _ in self._fresh]
        for waiting in self._wanting.values():
            items += waiting
        self._fresh.clear()
        self._wanting.clear()
        self._away.clear()
        return items

    def _take_in(self, state: FlowState, detour: Detour, now: float) -> None:
        """An entry that comes to ask here for its robots.txt, or comes home with what that said."""
        if detour.reply is None:
            errand = Errand(detour.origin, detour.trail, detour.trusted, carrier=state)
            self._politeness.park(errand.host, errand, first=True)
            return
        answer = meaning(detour.reply, self._token)
        self._fresh.append((msgspec.structs.replace(state, detour=None), answer))
        self._tell(detour.origin, state.host, answer, now)

    def _send_on(self, errand: Errand, detour: Detour, now: float) -> FlowState | None:
        if errand.carrier is not None:
            return sent_on(errand.carrier, detour)
        waiting = self._wanting.get(errand.origin)
        if not waiting:
            return None  # all were given up meanwhile
        item = waiting.pop(0)
        if waiting:
            self._away[errand.origin] = now + AWAY_S, errand
        else:
            del self._wanting[errand.origin]
        if isinstance(item, Turn):
            self.heard.append((item, detour))
            return None
        return sent_on(item, detour)

    def _tell(self, origin: str, host: str, answer: Answer, now: float) -> None:
        """All that waited for a robots.txt hear what it says: entries are judged next, flows go on."""
        self._away.pop(origin, None)
        self._permits.put(origin, answer, now)
        if isinstance(answer, Rules) and answer.crawl_delay:
            self._politeness.slow(host, answer.crawl_delay, now)
        for item in self._wanting.pop(origin, ()):
            if isinstance(item, Turn):
                self.heard.append((item, answer))
            else:
                self._fresh.append((item, answer))
