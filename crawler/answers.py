"""What a worker remembers of the hosts that it looked up, and for how long."""

from __future__ import annotations

import functools
import ipaddress
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from crawler.exchange import Addresses, Failure

Answer = Addresses | Failure

TTL_LEAST_S, TTL_MOST_S = 5.0, 3600.0
"""An answer is good for its own time, within these bounds: 0 must not mean a query for each URL of a host."""

NEGATIVE_TTL_S = 10.0
"""How long it stands that a name does not exist; after that c-ares answers, by the zone's own time (RFC 2308 §5)."""

PASSING_TTL_S = 0.2
"""How long a failure stands that can pass: less than a flow's first back-off, so that a retry asks again."""

NAMES = 50_000


class _Known(NamedTuple):
    until: float
    answer: Answer


class Answers:
    """Answers that are still good, the least recently used dropped first; safe to use from several threads.

    `names` are what it remembers at most; `clock` is in seconds.
    """

    def __init__(self, names: int = NAMES, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._clock = clock
        self._known: dict[str, _Known] = {}  # in the order of use
        self._lock = threading.Lock()

    def get(self, host: str) -> Answer | None:
        """The answer for a host without a lookup (an IP literal is its own), or None."""
        with self._lock:
            known = self._known.pop(host, None)
            if known is None:
                return _literal(host)
            if known.until <= self._clock():
                return None
            self._known[host] = known
            return known.answer

    def found(self, host: str, addresses: Addresses, ttl_s: float) -> None:
        """Remember addresses for as long as their records say."""
        self._put(host, addresses, min(max(ttl_s, TTL_LEAST_S), TTL_MOST_S))

    def failed(self, host: str, failure: Failure) -> None:
        """Remember a failure; but a limit of this machine says nothing about the name."""
        if failure.error_class == "dns":
            self._put(host, failure, NEGATIVE_TTL_S if failure.final else PASSING_TTL_S)

    def _put(self, host: str, answer: Answer, ttl_s: float) -> None:
        with self._lock:
            self._known.pop(host, None)
            self._known[host] = _Known(self._clock() + ttl_s, answer)
            while len(self._known) > self._names:
                del self._known[next(iter(self._known))]


@functools.lru_cache(maxsize=4096)
def _literal(host: str) -> Addresses | None:
    # A name of the DNS has no colon, and its last label is no number (WHATWG URL Standard, §3.5).
    if ":" not in host and not host[-1:].isdigit():
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return Addresses((host,))
