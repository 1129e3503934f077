"""Exchanges by libcurl's multi interface, as many side by side as are begun, in one thread and without a callback.

libcurl says which sockets it waits for; they are watched by an epoll of their own. Its descriptor is readable when
there is something to do, so that any loop can wait for it as for one socket more.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pycurl

from crawler import descriptors
from crawler.engines.pools import SLACK, Pool, Sockets
from crawler.engines.transfer import Base, Transfer
from crawler.exchange import Exchange, Failure, Reply

NAME = "curl"
DRIVER = "polls"

_EVENTS_AT_ONCE = 128  # then whoever drives it has a turn
_SWEEP_S = 0.5  # how often bodies that take their time are looked at
_KEPT = 2  # connections for each exchange that may be under way; with as many as these every change of host costs one
_ONE_POOL = 64  # connections to one host: libcurl looks at all of them for each exchange

Ended = list[tuple[Any, Reply | Failure]]


def make(*, insecure: bool, conc: int, http2: bool = False) -> CurlEngine:
    """The engine."""
    return CurlEngine(insecure=insecure, conc=conc, http2=http2)


def threads(conc: int) -> int:  # noqa: ARG001 - the siblings' signature
    """One: the driver's."""
    return 1


@dataclasses.dataclass(slots=True)
class _Places:
    """How many exchanges with one host are under way, and the pools of those that ended meanwhile."""

    taken: int = 0
    left: list[Pool] = dataclasses.field(default_factory=list)


class CurlEngine:
    """A `PolledEngine`. Twice `conc` connections are kept, those in use included, where there is room for them."""

    def __init__(self, *, insecure: bool, conc: int, http2: bool) -> None:
        self._sockets = Sockets(http2=http2)
        self._base = Base.make(insecure=insecure, http2=http2, opened=self._sockets.opened)
        self._pools = _pools(self._sockets, conc)
        self._hosts: dict[str, _Places] = {}  # where there are several pools
        self._sweep_at = 0.0
        self._active: dict[pycurl.Curl, Transfer] = {}
        self._resting: list[Transfer] = []

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._sockets.epoll.fileno()

    def begin(self, exchange: Exchange, token: Any, now: float) -> None:
        """Begin an exchange, which the next `act` sends."""
        transfer = self._resting.pop() if self._resting else Transfer(self._base)
        transfer.pool = self._pools[0] if len(self._pools) == 1 else self._enter(exchange.host)
        transfer.start(exchange, token, now)
        if not self._active:
            self._sweep_at = now + _SWEEP_S
        self._active[transfer.curl] = transfer
        transfer.pool.multi.add_handle(transfer.curl)

    def act(self, now: float) -> Ended:
        """Do what can be done without waiting; what ended, by the tokens."""
        concerned = self._sockets.act(_EVENTS_AT_ONCE)  # first: what came on connections that rest is no answer
        due = [pool for pool in self._pools if pool.due <= now]
        for pool in due:
            pool.keep_time()
        ended: Ended = []
        for pool in concerned.union(due):
            self._collect(pool, ended, now)
        if self._sweep_at <= now:
            self._sweep(ended, now)
        return ended

    def wake_at(self) -> float:
        """When `act` has something to do although the descriptor is not readable; infinity: never."""
        due = min(pool.due for pool in self._pools)
        return min(due, self._sweep_at) if self._active else due

    def close(self) -> None:
        """Close every connection."""
        for transfer in self._active.values():
            transfer.pool.multi.remove_handle(transfer.curl)
        for pool in self._pools:
            pool.multi.close()
        for transfer in (*self._active.values(), *self._resting):
            transfer.curl.close()
        self._active.clear()
        self._resting.clear()
        self._sockets.epoll.close()

    def _enter(self, host: str) -> Pool:
        """Begin in the pool where a connection to this host rests; else always the same, up to so many of them."""
        pool = self._pool_of(host)
        pool.enter()
        return pool

    def _pool_of(self, host: str) -> Pool:
        places = self._hosts.get(host)
        if places is None:
            places = self._hosts[host] = _Places()
        places.taken += 1
        if places.left:
            return places.left.pop()
        return self._pools[(hash(host) + (places.taken - 1) // _ONE_POOL) % len(self._pools)]

    def _leave(self, host: str, pool: Pool) -> None:
        pool.leave()
        places = self._hosts[host]
        places.taken -= 1
        if places.taken:
            places.left.append(pool)
        else:
            del self._hosts[host]

    def _collect(self, pool: Pool, ended: Ended, now: float) -> None:
        multi, queued = pool.multi, 1
        while queued:
            queued, whole, broken = multi.info_read()
            for curl in whole:
                multi.remove_handle(curl)
                self._end(curl, 0, "", ended)
            for curl, code, message in broken:
                multi.remove_handle(curl)
                if self._active[curl].goes_on(code, message, now):
                    multi.add_handle(curl)
                else:
                    self._end(curl, code, message, ended)

    def _end(self, curl: pycurl.Curl, code: int, message: str, ended: Ended) -> None:
        """Tell what came of the exchange of a handle that was taken away."""
        transfer = self._active.pop(curl)
        if len(self._pools) > 1:
            self._leave(transfer.exchange.host, transfer.pool)
        ended.append((transfer.token, transfer.conclude(code, message)))
        transfer.release()
        self._resting.append(transfer)

    def _sweep(self, ended: Ended, now: float) -> None:
        """Break off what stalls. The first to begin stand first; those that just began are left alone."""
        self._sweep_at = now + _SWEEP_S
        overdue = []
        for transfer in self._active.values():
            if transfer.started > now - _SWEEP_S:
                break
            if transfer.overdue(now):
                overdue.append(transfer)
        for transfer in overdue:
            transfer.give_up_connection()
            transfer.pool.multi.remove_handle(transfer.curl)
            self._end(transfer.curl, pycurl.E_OPERATION_TIMEDOUT, "", ended)


def _pools(sockets: Sockets, conc: int) -> tuple[Pool, ...]:
    """One pool, or several where many exchanges at once may be with one host, if there are descriptors for it.

    What rests in one pool is of no use to the others; so that all of them are within the limit however the hosts fall,
    they keep together what `conc` connections in use leave of it.
    """
    room = max(conc, descriptors.exchanges(1))
    count = -(-conc // _ONE_POOL) if room >= 2 * conc else 1
    kept = min(conc // count, (room - conc) // count - SLACK) if count > 1 else _KEPT * conc
    return tuple(Pool(sockets, kept=kept, connections=room) for _ in range(count))
