"""libcurl's multi handles, each with its own connections, and the sockets of all of them in one epoll."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time

import pycurl

SLACK = 32
"""How many connections more a pool may keep than it should: its limit is set anew only every so often."""

_TLS_RECORDS = frozenset(bytes([kind]) for kind in range(20, 25))  # what one begins with (RFC 8446 §5.1)
_IN = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR


class Sockets:
    """What libcurl waits for. Its epoll's descriptor is readable when there is something to do.

    Over `http2` a server may say something at any time, and says what it belongs to.
    """

    def __init__(self, *, http2: bool = False) -> None:
        self.epoll = select.epoll()
        self._http2 = http2
        self.watched: dict[int, int] = {}
        """By descriptor: what the epoll looks for."""
        self.owners: dict[int, Pool] = {}
        """By descriptor: who waits for it now."""

    def opened(self, descriptor: int, _purpose: int) -> int:
        """A new socket has this number: what was known of its namesake, which the epoll has forgotten, is void."""
        self.watched.pop(descriptor, None)
        return 0  # SOCKOPT_OK

    def act(self, most: int) -> set[Pool]:
        """Have libcurl do what the sockets are ready for, `most` of them; the pools that were concerned."""
        concerned = set()
        for descriptor, happened in self.epoll.poll(0, most):
            owner = self.owners.get(descriptor)
            if owner is None:
                self._heed(descriptor, readable=bool(happened & _IN))
                continue
            concerned.add(owner)
            readable = pycurl.CSELECT_IN if happened & _IN else 0
            owner.multi.socket_action(descriptor, readable | (pycurl.CSELECT_OUT if happened & select.EPOLLOUT else 0))
        return concerned

    def _heed(self, descriptor: int, *, readable: bool) -> None:
        """Something happens on a connection that rests: the server closes it, or says something nobody asked for.

        libcurl would take that for the answer to its next request there, unless a second has passed: so none can leave.
        """
        with contextlib.suppress(OSError):  # libcurl closed it a moment ago
            if not readable:  # as ever: only what comes is of interest now
                self.watched[descriptor] = select.EPOLLIN
                self.epoll.modify(descriptor, select.EPOLLIN)
                return
            self.watched.pop(descriptor, None)
            self.epoll.unregister(descriptor)
            with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as connection:
                if not (self._http2 and connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) in _TLS_RECORDS):
                    connection.shutdown(socket.SHUT_RDWR)


class Pool:
    """One multi handle, which keeps `kept` connections; where exchanges `enter` and `leave`, beside those in use.

    `due` is when it wants to be called without a socket, on the monotonic clock.
    """

    def __init__(self, sockets: Sockets, *, kept: int, connections: int) -> None:
        self._sockets = sockets
        self.due = math.inf
        self._kept = kept
        self._taken = self._fitted = 0
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self.multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, connections)
        self.multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, 1)  # more of them stall now and then: 8.22 and 8.23
        self.multi.setopt(pycurl.M_MAXCONNECTS, kept)

    def enter(self) -> None:
        """An exchange begins here."""
        self._taken += 1
        if self._taken > self._fitted:
            self._fit()

    def leave(self) -> None:
        """An exchange has ended here."""
        self._taken -= 1
        if self._taken < self._fitted - SLACK:
            self._fit()

    def _fit(self) -> None:
        """Set libcurl's limit, which is one for connections in use and those that rest.

        Were it fixed, a pool with more in use than others would put out each connection as soon as it rests.
        """
        self._fitted = self._taken + SLACK // 2
        self.multi.setopt(pycurl.M_MAXCONNECTS, self._fitted + self._kept)

    def keep_time(self) -> None:
        """Have libcurl do what is due."""
        self.due = math.inf
        self.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _watch(self, what: int, descriptor: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """Watch a socket. One that rests between two exchanges stays watched: that spares two system calls a page."""
        sockets = self._sockets
        if what == pycurl.POLL_REMOVE:
            sockets.owners.pop(descriptor, None)
            return
        sockets.owners[descriptor] = self
        wanted = (select.EPOLLIN if what & pycurl.POLL_IN else 0) | (select.EPOLLOUT if what & pycurl.POLL_OUT else 0)
        watched = sockets.watched.get(descriptor)
        if watched == wanted:
            return
        sockets.watched[descriptor] = wanted
        if watched is None:
            sockets.epoll.register(descriptor, wanted)
        else:
            sockets.epoll.modify(descriptor, wanted)

    def _set_timer(self, milliseconds: int) -> None:
        if milliseconds <= 0:
            self.due = 0.0 if milliseconds == 0 else math.inf
        else:
            self.due = time.monotonic() + milliseconds / 1000
