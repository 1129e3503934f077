"""Time limits for threads that block: a socket's own starts anew with each byte, so a drip evades it."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time

from crawler.engines.http1 import Fault


class Leash:
    """One exchange's hold on its connection: by when to shut it down, and as what that counts.

    `fault` is None until it was shut down (or its time came while there was no connection yet).
    """

    def __init__(self) -> None:
        self.until = math.inf
        self.verdict: Fault = ("timeout", "")
        self.fault: Fault | None = None
        self.sock: socket.socket | None = None


class Watchdog:
    """A thread that shuts down the connection of each exchange whose time is up.

    It holds duplicates of the descriptors: one that its owner has closed may be another connection's by then,
    and a TLS handshake takes the socket away from whoever began it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._leashes: set[Leash] = set()
        self._wakes_at = math.inf
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def allow(self, leash: Leash, until: float, verdict: Fault) -> None:
        """Let an exchange run until this time (`time.monotonic`), then end it as `verdict`."""
        if (until, verdict) == (leash.until, leash.verdict):
            return
        with self._changed:
            leash.until, leash.verdict = until, verdict
            self._leashes.add(leash)
            if until < self._wakes_at:
                self._changed.notify()

    def hold(self, leash: Leash, sock: socket.socket) -> None:
        """Shut this socket when the time has come; raises TimeoutError where it has."""
        with self._changed:
            if leash.fault is not None:
                raise TimeoutError
            self._drop(leash)
            leash.sock = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))

    def release(self, leash: Leash) -> None:
        """The exchange is over."""
        with self._changed:
            self._leashes.discard(leash)
            self._drop(leash)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _drop(self, leash: Leash) -> None:
        if leash.sock is not None:
            leash.sock.close()
            leash.sock = None

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for leash in [leash for leash in self._leashes if leash.until <= now]:
                    self._shut(leash)
                self._wakes_at = min((leash.until for leash in self._leashes), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)

    def _shut(self, leash: Leash) -> None:
        self._leashes.discard(leash)
        leash.fault = leash.verdict
        if leash.sock is not None:
            with contextlib.suppress(OSError):  # the server was faster
                leash.sock.shutdown(socket.SHUT_RDWR)
