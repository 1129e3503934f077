"""Hosts that ask for less (429, 503 and their like): how many requests at once they get now, and when. No I/O.

A few requests are in flight when a host says so: what they bring is one event, not one each.
"""

from __future__ import annotations

import dataclasses
import math

HOSTS = 20_000
"""How many hosts are remembered; beyond, the one that has been quiet for longest is taken for well again."""

_RESTS_S = (0.5, 1.0, 2.0, 4.0)
_PATIENCE_S, _PATIENCE_EVENTS = 120.0, 10


@dataclasses.dataclass(slots=True)
class _Pushed:
    """One host: at most `places` at once until it is back at `goal`, nothing before `rests_until`.

    `row` counts the events since it last gave a good answer, the first of them at `since`. All that had begun by
    `heeded_at` belongs to an event that was heeded.
    """

    places: float
    goal: float
    rests_until: float = -math.inf
    row: int = 0
    since: float = 0.0
    heeded_at: float = -math.inf
    successes: int = 0


class PushBack:
    """The hosts that pushed back and have not recovered. `per_host` is what a host gets that never did (infinity: all).

    Half as many at once after each event, then one more for each round of good answers (as `Throttle` does it), and a
    rest: what the host asked for, else one that doubles with each event in a row, from 0.5 to 4 seconds.
    """

    def __init__(self, per_host: float, hosts: int = HOSTS) -> None:
        self._per_host = per_host
        self._most = hosts
        self._pushed: dict[str, _Pushed] = {}  # in the order of their last event

    def places(self, host: str) -> float:
        """How many requests at once the host gets now."""
        return self.terms(host)[0]

    def rests_until(self, host: str) -> float:
        """When the next request to the host may start; minus infinity where it never asked for a rest."""
        return self.terms(host)[1]

    def terms(self, host: str) -> tuple[float, float]:
        """Both of them."""
        pushed = self._pushed.get(host)
        return (self._per_host, -math.inf) if pushed is None else (pushed.places, pushed.rests_until)

    def heed(self, host: str, began: float, active: int, asked_s: float, now: float) -> bool:
        """A request that `began` then was pushed back, when so many were `active`; the host asked for `asked_s` or 0.

        Whether that has gone on for so long, without one good answer, that the host need not be asked again.
        """
        pushed = self._pushed.pop(host, None) or self._new(active)
        self._pushed[host] = pushed
        if began <= pushed.heeded_at:
            pushed.rests_until = max(pushed.rests_until, now + asked_s)
            return False
        if not pushed.row:
            pushed.since = now
        rest_s = max(asked_s, _RESTS_S[min(pushed.row, len(_RESTS_S) - 1)])
        pushed.places = max(1, min(active, pushed.places) // 2)
        pushed.rests_until, pushed.heeded_at = now + rest_s, now
        pushed.row, pushed.successes = pushed.row + 1, 0
        over = pushed.row >= _PATIENCE_EVENTS and now - pushed.since >= _PATIENCE_S
        if over:
            pushed.rests_until = now  # what is only to hear that it is over need not wait
        return over

    def relax(self, host: str, began: float) -> None:
        """A request that `began` then got a good answer."""
        pushed = self._pushed.get(host)
        if pushed is None or began <= pushed.heeded_at:
            return
        pushed.row = 0
        pushed.successes += 1
        if pushed.successes >= pushed.places:
            pushed.places, pushed.successes = pushed.places + 1, 0
            if pushed.places >= pushed.goal:
                del self._pushed[host]

    def _new(self, active: int) -> _Pushed:
        if len(self._pushed) >= self._most:
            del self._pushed[next(iter(self._pushed))]
        return _Pushed(self._per_host, active if self._per_host == math.inf else self._per_host)
