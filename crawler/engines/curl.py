"""Exchanges by libcurl's multi interface, as many side by side as are begun, in one thread and without a callback.

libcurl says which sockets it waits for; they are watched by an epoll of their own. Its descriptor is readable when
there is something to do, so that any loop can wait for it as for one socket more.
"""

from __future__ import annotations

import contextlib
import math
import select
import time
from typing import Any

import pycurl

from crawler import descriptors
from crawler.engines.transfer import Base, Transfer
from crawler.exchange import Exchange, Failure, Reply

NAME = "curl"
DRIVER = "polls"

_EVENTS_AT_ONCE = 128  # then whoever drives it has a turn
_SWEEP_S = 0.5  # how often bodies that take their time are looked at
_IN = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR


def make(*, insecure: bool, conc: int, http2: bool = False) -> CurlEngine:
    """The engine."""
    return CurlEngine(insecure=insecure, conc=conc, http2=http2)


def threads(conc: int) -> int:  # noqa: ARG001 - the siblings' signature
    """One: the driver's."""
    return 1


class CurlEngine:
    """A `PolledEngine`. At most `conc` idle connections are kept."""

    def __init__(self, *, insecure: bool, conc: int, http2: bool) -> None:
        self._base = Base.make(insecure=insecure, http2=http2, opened=self._opened)
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}  # by descriptor: what the epoll looks for
        self._wanted: dict[int, int] = {}  # by descriptor: what libcurl waits for
        self._due = math.inf
        self._sweep_at = 0.0
        self._active: dict[pycurl.Curl, Transfer] = {}
        self._resting: list[Transfer] = []
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, conc)
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, max(conc, descriptors.exchanges(1)))
        self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, 1)  # more of them stall now and then: 8.22 and 8.23

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._epoll.fileno()

    def begin(self, exchange: Exchange, token: Any, now: float) -> None:
        """Begin an exchange, which the next `act` sends."""
        transfer = self._resting.pop() if self._resting else Transfer(self._base)
        transfer.start(exchange, token, now)
        if not self._active:
            self._sweep_at = now + _SWEEP_S
        self._active[transfer.curl] = transfer
        self._multi.add_handle(transfer.curl)

    def act(self, now: float) -> list[tuple[Any, Reply | Failure]]:
        """Do what can be done without waiting; what ended, by the tokens."""
        action = self._multi.socket_action
        if self._due <= now:
            self._due = math.inf
            action(pycurl.SOCKET_TIMEOUT, 0)
        for descriptor, happened in self._epoll.poll(0, _EVENTS_AT_ONCE):
            if not self._wanted.get(descriptor):
                self._unwatch(descriptor)
                continue
            readable = pycurl.CSELECT_IN if happened & _IN else 0
            action(descriptor, readable | (pycurl.CSELECT_OUT if happened & select.EPOLLOUT else 0))
        ended: list[tuple[Any, Reply | Failure]] = []
        self._collect(ended, now)
        if self._sweep_at <= now:
            self._sweep(ended, now)
        return ended

    def wake_at(self) -> float:
        """When `act` has something to do although the descriptor is not readable; infinity: never."""
        return min(self._due, self._sweep_at) if self._active else self._due

    def close(self) -> None:
        """Close every connection."""
        for curl in self._active:
            self._multi.remove_handle(curl)
        transfers = [*self._active.values(), *self._resting]
        self._active.clear()
        self._resting.clear()
        self._multi.close()
        for transfer in transfers:
            transfer.curl.close()
        self._epoll.close()

    def _collect(self, ended: list[tuple[Any, Reply | Failure]], now: float) -> None:
        queued = 1
        while queued:
            queued, whole, broken = self._multi.info_read()
            for curl in whole:
                self._end(curl, 0, "", ended)
            for curl, code, message in broken:
                self._multi.remove_handle(curl)
                if self._active[curl].goes_on(code, message, now):
                    self._multi.add_handle(curl)
                else:
                    self._end(curl, code, message, ended)

    def _end(self, curl: pycurl.Curl, code: int, message: str, ended: list[tuple[Any, Reply | Failure]]) -> None:
        transfer = self._active.pop(curl)
        if curl.multi() is not None:
            self._multi.remove_handle(curl)
        ended.append((transfer.token, transfer.conclude(code, message)))
        transfer.release()
        self._resting.append(transfer)

    def _sweep(self, ended: list[tuple[Any, Reply | Failure]], now: float) -> None:
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
            self._end(transfer.curl, pycurl.E_OPERATION_TIMEDOUT, "", ended)

    # What libcurl calls.

    def _opened(self, descriptor: int, _purpose: int) -> int:
        """A new socket has this number: what was known of its namesake, which the epoll has forgotten, is void."""
        self._watched.pop(descriptor, None)
        return 0  # SOCKOPT_OK

    def _watch(self, what: int, descriptor: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """Watch a socket. One that rests between two exchanges stays watched: that spares two system calls a page."""
        if what == pycurl.POLL_REMOVE:
            self._wanted.pop(descriptor, None)
            return
        wanted = (select.EPOLLIN if what & pycurl.POLL_IN else 0) | (select.EPOLLOUT if what & pycurl.POLL_OUT else 0)
        self._wanted[descriptor] = wanted
        watched = self._watched.get(descriptor)
        if watched == wanted:
            return
        self._watched[descriptor] = wanted
        if watched is None:
            self._epoll.register(descriptor, wanted)
        else:
            self._epoll.modify(descriptor, wanted)

    def _unwatch(self, descriptor: int) -> None:
        """The server closes a connection that rests, or says something that nobody asked for."""
        self._watched.pop(descriptor, None)
        with contextlib.suppress(OSError):  # libcurl closed it a moment ago
            self._epoll.unregister(descriptor)

    def _set_timer(self, milliseconds: int) -> None:
        if milliseconds <= 0:
            self._due = 0.0 if milliseconds == 0 else math.inf
        else:
            self._due = time.monotonic() + milliseconds / 1000
