"""Which origins can be reached, and what each host bears, as the exchanges tell. No I/O, the clock is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crawler import urls
from crawler.exchange import Event, Exchange, Failure, Reply
from crawler.fates import PASSING_STATUSES
from crawler.outages import Outages
from crawler.politeness import Politeness
from crawler.records import Waiting
from crawler.retries import retry_after
from crawler.turns import Item, Turn, origin_of

NO_CONNECTION = frozenset({"connect", "timeout"})
"""Classes that, where nothing was sent, are the host's doing and not the page's."""

GivenUp = list[tuple[Item, Failure]]
"""What need not be tried any more, and why."""


class Reach:
    """Sets origins aside that cannot be reached (`Outages`), and lets `politeness` know who pushes back.

    `utc` gives seconds since the epoch.
    """

    def __init__(self, politeness: Politeness[Item], utc: Callable[[], float]) -> None:
        self._politeness = politeness
        self._utc = utc
        self._outages: Outages[Item] = Outages()
        self._refused: list[tuple[Item, str]] = []

    def admits(self, item: Item, now: float) -> bool:
        """Whether an item may go to its origin now; else it is kept until that can be reached, or is `refused`."""
        if not self._outages:
            return True
        origin = origin_of(item)
        verdict = self._outages.admit(origin, item, now)
        if verdict == "refused":
            self._refused.append((item, origin))
        return verdict == "go"

    @property
    def has_refused(self) -> bool:
        """Whether `refused` has something to say."""
        return bool(self._refused)

    def refused(self) -> GivenUp:
        """What `admits` has refused since this was asked last."""
        items, self._refused = self._refused, []
        return [ended for item, origin in items for ended in self._given_up([item], origin)]

    def is_aside(self, origin: str) -> bool:
        """Whether an origin is set aside or down."""
        return self._outages.is_aside(origin)

    def heed(self, turn: Turn, event: Event, entries: int, now: float) -> GivenUp:
        """What came of an exchange on which so many entries hang; all that need not be tried because of it."""
        action = turn.action
        assert isinstance(action, Exchange)
        if isinstance(event, Failure) and event.error_class in NO_CONNECTION:
            silent = event.sent
            if not silent or (action.body.status is None and event.error_class == "timeout"):
                origin = urls.origin(action.url)
                kept = self._outages.failed(
                    origin, turn.seq, turn.granted, event.message, now, entries=entries, silent=silent
                )
                return self._given_up(kept, origin)
        if self._outages:
            for item in self._outages.answered(urls.origin(action.url)):
                self._politeness.park(item.host, item)
        if not isinstance(event, Reply):
            return []  # no whole answer: it says nothing of whether the host bears more
        if action.body.status not in PASSING_STATUSES:
            self._politeness.answered(action.host, turn.granted)
            return []
        return self._pushed_back(turn, action, now)

    def wake(self, now: float) -> None:
        """Park one item of each origin that has rested."""
        while (probe := self._outages.due(now)) is not None:
            self._politeness.park(probe.host, probe, first=True)

    def wake_at(self) -> float | None:
        """When `wake` may find one; None where time alone changes nothing."""
        return self._outages.wake_at()

    def waiting(self, most: int, now: float) -> list[Waiting]:
        """The origins that most items are kept of."""
        kept = self._outages.waiting(most, now)
        return [Waiting(origin, count, "no connection", seconds) for origin, count, seconds in kept]

    def forget(self) -> list[Item]:
        """Give up all that is kept, and return it."""
        return self._outages.forget()

    def _pushed_back(self, turn: Turn, action: Exchange, now: float) -> GivenUp:
        asked_s = retry_after(action.body, self._utc()) or 0.0
        if not self._politeness.pushed_back(action.host, turn.granted, asked_s, now):
            return []
        origin, reason = urls.origin(action.url), f"nothing but {action.body.status} for a long time"
        return self._given_up(self._outages.give_up(origin, turn.seq, reason, now), origin)

    def _given_up(self, items: Iterable[Item], origin: str) -> GivenUp:
        why = f"{origin} is down ({self._outages.reason(origin)}); crawl retry --error host_down asks it again"
        return [(item, Failure("host_down", why, sent=False)) for item in items]
