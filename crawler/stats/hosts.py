"""The foremost hosts of a crawl: with most entries, most bytes, the longest times."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable

import msgspec

from crawler.store.database import OK

_SHOWN = 10
_ENOUGH = 3  # a host's mean over fewer exchanges says little: such hosts come after all others
_HOSTS = f"""
    SELECT host, count(*), coalesce(sum({OK}), 0),
        coalesce(sum(outcome = 'failed'), 0), total(bytes_wire), total(total_ms), count(total_ms)
    FROM pages WHERE host IS NOT NULL GROUP BY host
"""  # noqa: S608 - a constant


class HostNumbers(msgspec.Struct, frozen=True):
    """One host: its entries, those of them that are ok and that failed, bytes over the wire, mean milliseconds."""

    host: str
    entries: int
    ok: int
    failed: int
    bytes_wire: int
    mean_total_ms: float | None


_Ranked = tuple[tuple[float, ...], int, HostNumbers]  # the earlier of two equal ones comes first


class Hosts:
    """The ten foremost of each kind, of any number of hosts in any order."""

    def __init__(self) -> None:
        self.count = 0
        self._largest: list[_Ranked] = []
        self._heaviest: list[_Ranked] = []
        self._slowest: list[_Ranked] = []

    def add(self, numbers: HostNumbers, timed: int) -> None:
        """Take in one host, of which `timed` rows know how long they took."""
        self.count += 1
        _keep(self._largest, ((numbers.entries,), -self.count, numbers))
        _keep(self._heaviest, ((numbers.bytes_wire,), -self.count, numbers))
        if numbers.mean_total_ms is not None:
            _keep(self._slowest, ((timed >= _ENOUGH, numbers.mean_total_ms), -self.count, numbers))

    def largest(self) -> list[HostNumbers]:
        """Those with most entries, by these."""
        return _ordered(self._largest, lambda host: host.entries)

    def heaviest(self) -> list[HostNumbers]:
        """Those with most bytes, by these."""
        return _ordered(self._heaviest, lambda host: host.bytes_wire)

    def slowest(self) -> list[HostNumbers]:
        """Those with the longest mean time of an exchange, by this; with few exchanges only for want of others."""
        return _ordered(self._slowest, lambda host: host.mean_total_ms or 0)


def read_hosts(connection: sqlite3.Connection) -> Hosts:
    """The hosts of a crawl."""
    hosts = Hosts()
    for host, entries, ok, failed, wire, total_ms, timed in connection.execute(_HOSTS):
        mean = total_ms / timed if timed else None
        hosts.add(HostNumbers(host, entries, ok, failed, int(wire), mean), timed)
    return hosts


def _keep(heap: list[_Ranked], item: _Ranked) -> None:
    (heapq.heappush if len(heap) < _SHOWN else heapq.heappushpop)(heap, item)


def _ordered(heap: list[_Ranked], key: Callable[[HostNumbers], float]) -> list[HostNumbers]:
    return sorted((host for *_, host in heap), key=lambda host: (-key(host), host.host))
