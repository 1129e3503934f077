"""Which entries their origin's robots.txt lets in, before they take a slot. No I/O, the clock is passed in.

add(state) → judge(now) → parked in politeness, or its fate where it is denied
                 └ not known: kept here; one errand an origin finds out, in its turn like a page → tell(…)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator

from crawler import urls
from crawler.exchange import Action, Event
from crawler.flow import Fate, FlowRules, refused
from crawler.permits import Answer, Permits, find_out, rules_for_robots
from crawler.politeness import Politeness
from crawler.records import FlowState
from crawler.robots import Rules
from crawler.turns import Errand, Item, Turn


class Admission:
    """What waits for the word of a robots.txt, and what is known of them.

    What may go is parked in `politeness`, which is also told of each `Crawl-delay`.
    """

    def __init__(self, rules: FlowRules, politeness: Politeness[Item]) -> None:
        self._rules = rules
        self._politeness = politeness
        self._robots_rules = {trusted: rules_for_robots(rules, trusted=trusted) for trusted in (True, False)}
        self._permits = Permits()
        self._fresh: deque[tuple[FlowState, Answer | None]] = deque()
        self._wanting: dict[str, list[FlowState | Turn]] = {}  # by origin

    def __len__(self) -> int:
        """How many entries can be judged now."""
        return len(self._fresh)

    def add(self, state: FlowState) -> None:
        """Take in an entry."""
        self._fresh.append((state, None))

    def judge(self, now: float) -> Fate | None:
        """Judge one entry: its fate where it is denied; else it is parked, or waits here for its robots.txt."""
        state, answer = self._fresh.popleft()
        origin = urls.origin(state.target)
        answer = answer or self._permits.get(origin, now)
        if answer is None:
            trusted = all(urls.origin(hop.url) == origin for hop in state.hops)
            self.want(Errand(origin, state.host, state.seq, trusted), state)
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

    def begin(self, errand: Errand) -> Generator[Action, Event, Answer]:
        """The flow that fetches a robots.txt; `tell` what it ends with."""
        return find_out(errand.origin, errand.host, errand.seq, self._robots_rules[errand.trusted])

    def tell(self, errand: Errand, answer: Answer, now: float) -> list[Turn]:
        """What came of a robots.txt: entries that waited for it are judged next, flows under way are returned."""
        self._permits.put(errand.origin, answer, now)
        if isinstance(answer, Rules) and answer.crawl_delay:
            self._politeness.slow(errand.host, answer.crawl_delay, now)
        turns: list[Turn] = []
        for item in self._wanting.pop(errand.origin, ()):
            if isinstance(item, Turn):
                turns.append(item)
            else:
                self._fresh.append((item, answer))
        return turns

    def count(self, errand: Errand) -> int:
        """How many wait for this robots.txt."""
        return len(self._wanting.get(errand.origin, ()))

    def forget(self) -> list[FlowState | Turn]:
        """Give up all that waits, and return it."""
        items: list[FlowState | Turn] = [state for state, _ in self._fresh]
        for waiting in self._wanting.values():
            items += waiting
        self._fresh.clear()
        self._wanting.clear()
        return items
