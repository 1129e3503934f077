"""Origins that cannot be reached: set aside, tried again now and then, given up. No I/O, the clock is passed in.

An origin, not a host: another port of the same name may be well. What waits for it is kept here, so that it costs the
host's other entries nothing.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections import deque
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
Verdict = Literal["go", "kept", "refused"]

ORIGINS = 20_000
"""How many origins are remembered; beyond, the one that failed first is forgotten, unless entries wait for it."""

_FAILURES = 30  # points in a row, of more than one entry: one page with many retries proves nothing
_REFUSAL, _SILENCE = 6, 1  # points: a connection tells more than a page that takes its time
_RESTS_S = (1.0, 2.0, 4.0, 8.0)
_PATIENCE_S, _PATIENCE_TRIES = 20.0, 3  # a server that restarts loses nothing
_AGAIN_S = 120.0  # how often one entry may try an origin that was given up; no less than a host may ask for


@dataclasses.dataclass(slots=True)
class _Outage(Generic[Item]):
    """One origin, after a failure and before its next answer.

    `failures` are points. `aside_since` is when it was set aside; since then `tries` were let go, of which
    `failed_tries` have failed, and the next may go at `next_at`. `down` says that it was given up.
    """

    first: int
    reason: str = ""
    failures: int = 0
    several: bool = False
    aside_since: float | None = None
    tries: int = 0
    failed_tries: int = 0
    next_at: float = 0.0
    down: bool = False
    kept: deque[Item] = dataclasses.field(default_factory=deque)


class Outages(Generic[Item]):
    """The origins whose connections failed last, and the items that wait for those that are set aside.

    After 5 failures in a row, or 30 connections over which no answer came in time, an origin is set aside, and one item
    is let go after 1, 2, 4, 8, 8, … seconds. When 3 of them and 20 seconds have brought nothing, it is down: items are
    refused, but for one in two minutes.
    """

    def __init__(self, origins: int = ORIGINS) -> None:
        self._most = origins
        self._outages: dict[str, _Outage[Item]] = {}
        self._due: list[tuple[float, str]] = []  # every origin with kept items is in it

    def __bool__(self) -> bool:
        return bool(self._outages)

    def admit(self, origin: str, item: Item, now: float) -> Verdict:
        """Whether an item may go now; it may have been kept, until `due` gives it out or `failed` or `answered` do."""
        outage = self._outages.get(origin)
        if outage is None or outage.aside_since is None:
            return "go"
        if outage.next_at <= now:
            self._let_one_go(outage, now)
            return "go"
        if outage.down:
            return "refused"
        if not outage.kept:
            heapq.heappush(self._due, (outage.next_at, origin))
        outage.kept.append(item)
        return "kept"

    def is_aside(self, origin: str) -> bool:
        """Whether an origin is set aside or down."""
        outage = self._outages.get(origin)
        return outage is not None and outage.aside_since is not None

    def failed(
        self, origin: str, seq: int, began: float, reason: str, now: float, *, entries: int = 1, silent: bool = False
    ) -> list[Item]:
        """No connection for the entry `seq`, which `began` then; all that was kept, where that is given up now.

        `entries` are as many as the one stands for: all of them need its robots.txt. `silent` says that there was a
        connection, but no answer over it.
        """
        outage = self._outages.get(origin) or self._new(origin, seq)
        outage.reason = reason
        outage.failures += entries * (_SILENCE if silent else _REFUSAL)
        outage.several = outage.several or seq != outage.first or entries > 1
        if outage.aside_since is None:
            if outage.failures >= _FAILURES and outage.several:
                outage.aside_since, outage.next_at = now, now + _RESTS_S[0]
        elif began > outage.aside_since:
            outage.failed_tries += 1
            if outage.failed_tries >= _PATIENCE_TRIES and now - outage.aside_since >= _PATIENCE_S:
                return self.give_up(origin, seq, reason, now)
        return []

    def give_up(self, origin: str, seq: int, reason: str, now: float) -> list[Item]:
        """Take the origin for down; all that was kept of it."""
        outage = self._outages.get(origin) or self._new(origin, seq)
        outage.reason, outage.down, outage.next_at = reason, True, now + _AGAIN_S
        outage.aside_since = now if outage.aside_since is None else outage.aside_since
        return self._emptied(outage)

    def answered(self, origin: str) -> list[Item]:
        """The origin can be reached; all that was kept of it, which may go."""
        outage = self._outages.pop(origin, None)
        return self._emptied(outage) if outage is not None else []

    def due(self, now: float) -> Item | None:
        """An item to try an origin with that has rested; None where there is none."""
        while self._due and self._due[0][0] <= now:
            _, origin = heapq.heappop(self._due)
            outage = self._outages.get(origin)
            if outage is None or not outage.kept:
                continue
            if outage.next_at > now:  # another was let go meanwhile
                heapq.heappush(self._due, (outage.next_at, origin))
                continue
            item = outage.kept.popleft()
            if outage.kept:
                heapq.heappush(self._due, (now + _RESTS_S[0], origin))  # in case that this one never gets so far
            return item
        return None

    def wake_at(self) -> float | None:
        """When `due` may have one; None where time alone changes nothing."""
        return self._due[0][0] if self._due else None

    def forget(self) -> list[Item]:
        """Give up all that is kept, and return it."""
        items = [item for outage in self._outages.values() for item in self._emptied(outage)]
        self._due.clear()
        return items

    def reason(self, origin: str) -> str:
        """What the origin's connections failed with last."""
        outage = self._outages.get(origin)
        return outage.reason if outage is not None else ""

    def waiting(self, most: int, now: float) -> list[tuple[str, int, float]]:
        """The origins that most items are kept of: the origin, how many, and the seconds until one is tried."""
        kept = ((len(outage.kept), origin) for origin, outage in self._outages.items() if outage.kept)
        largest = heapq.nlargest(most, kept)
        return [(origin, count, max(self._outages[origin].next_at - now, 0.0)) for count, origin in largest]

    def _let_one_go(self, outage: _Outage[Item], now: float) -> None:
        outage.tries += 1
        outage.next_at = now + (_AGAIN_S if outage.down else _RESTS_S[min(outage.tries, len(_RESTS_S) - 1)])

    def _emptied(self, outage: _Outage[Item]) -> list[Item]:
        items = list(outage.kept)
        outage.kept.clear()
        return items

    def _new(self, origin: str, seq: int) -> _Outage[Item]:
        over = len(self._outages) + 1 - self._most
        for _ in range(over + 1 if over > 0 else 0):  # one more than needed: some may have to stay
            oldest, outage = next(iter(self._outages.items()))
            del self._outages[oldest]
            if not outage.kept:
                break
            self._outages[oldest] = outage
        made: _Outage[Item] = _Outage(seq)
        self._outages[origin] = made
        return made
