"""How many exchanges at once this machine bears: it says so by failing some. No I/O, no clock."""

from __future__ import annotations

import math


class Throttle:
    """At most `most` exchanges at once, fewer after a limit of this machine was met.

    Additive increase, multiplicative decrease (as TCP does, RFC 5681 §3.1): half of what was in flight, then one more
    for each round of successes. `places` is how many may be in flight now. `shortage` says which limit `most` already
    heeds; None where it heeds none.
    """

    def __init__(self, most: int, shortage: str | None = None) -> None:
        self.places = most
        self._most = most
        self._heeded = shortage
        self._met: str | None = None
        self._lowered_at = -math.inf
        self._successes = 0

    @property
    def shortage(self) -> str | None:
        """The limit of this machine that holds exchanges back now, in words; None where none does."""
        return self._met or self._heeded

    def failed(self, limit: str, in_flight: int, began: float, now: float) -> None:
        """A limit ended what `began` then, while so many exchanges were in flight.

        All that had begun by the last time that this lowered the number are one event with it.
        """
        if began <= self._lowered_at:
            return
        self.places = max(1, min(in_flight, self.places) // 2)
        self._met, self._lowered_at, self._successes = limit, now, 0

    def succeeded(self) -> None:
        """An exchange ended as no limit of this machine had it."""
        if self.places == self._most:
            return
        self._successes += 1
        if self._successes >= self.places:
            self.places, self._successes = self.places + 1, 0
            if self.places == self._most:
                self._met = None
