"""urllib3's connections for `blocking.py`: they go only where the exchange says, and read heads strictly.

http.client takes the end of the input for the end of the head, an early hint for the answer, and for a field line
whatever the email parser can make of it. Here a head is what RFC 9112 says, or an HTTPException.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from typing import IO, Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from crawler.engines.http1 import LINE_BYTES
from crawler.engines.watchdog import Leash, Watchdog

_FIELD_LINE = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:|[ \t])[^\0\r\n]*\r?\n|\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


class Line:
    """What one exchange tells its connection, and what that finds out for it.

    `phase` is `connect`, `tls`, `head` or `body`; times are in seconds on the clock of `time.monotonic`.
    """

    def __init__(self, addresses: tuple[str, ...], target: str, connect_until: float, watchdog: Watchdog) -> None:
        self.addresses = addresses
        self.target = target
        self.connect_until = connect_until
        self.watchdog = watchdog
        self.leash = Leash()
        self.phase = "connect"
        self.fresh = False
        self.sent = False
        self.ip: str | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None
        self.deadline = connect_until


class _Current(threading.local):
    line: Line


CURRENT = _Current()
"""The line of the exchange that this thread does: urllib3 has no way to hand it down to a connection."""


class MalformedError(http.client.HTTPException):
    """The answer breaks the grammar or the framing rules of RFC 9112."""


class _HeadReader:
    """The lines of a response's heads; a line that the end cuts off is none."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._in_fields = False

    def readline(self, limit: int) -> bytes:
        line = self._source.readline(limit)
        if not line.endswith(b"\n"):
            if len(line) < limit:
                raise http.client.RemoteDisconnected
            return line  # too long: http.client says so
        if self._in_fields and not _FIELD_LINE.fullmatch(line):
            raise MalformedError("a line that is no header field")
        self._in_fields = line not in (b"\r\n", b"\n")
        return line

    def close(self) -> None:
        self._source.close()


class _Response(http.client.HTTPResponse):
    def begin(self) -> None:
        """Read the final head; interim ones (RFC 9110 §15.2) are skipped."""
        source = self.fp
        self.fp = cast(Any, _HeadReader(source))
        try:
            super().begin()
            while 100 <= self.status < 200 and self.status != 101:
                self.headers = self.msg = cast(Any, None)
                super().begin()
        finally:
            if self.fp is not None:
                self.fp = source
        self._check_framing()

    def _check_framing(self) -> None:
        """Raise MalformedError where it is not one of RFC 9112 §6.3."""
        lengths = self.headers.get_all("content-length", [])
        codings = self.headers.get_all("transfer-encoding", [])
        if self.status == 101:
            raise MalformedError("101 although no other protocol was asked for")
        if len(lengths) + len(codings) > 1:
            raise MalformedError("more than one framing")
        if any(not re.fullmatch(r"[0-9]{1,18}[ \t]*", length) for length in lengths):
            raise MalformedError("a Content-Length that is no number")
        if codings and not self.chunked:
            raise MalformedError("a Transfer-Encoding other than chunked")

    def _read_next_chunk_size(self) -> int:
        line = self.fp.readline(LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < LINE_BYTES:
            raise http.client.IncompleteRead(b"")
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise MalformedError("a chunk size that is none")
        return int(match[1], 16)


class _Connection(HTTPConnection):
    """A connection to one of the current exchange's addresses; Host, SNI and certificate follow the URL."""

    response_class = _Response

    def _new_conn(self) -> socket.socket:
        line = CURRENT.line
        line.fresh = True
        started = time.monotonic()
        sock = _connected(line, self.port)
        line.watchdog.hold(line.leash, sock)
        line.connect_ms = (time.monotonic() - started) * 1000
        line.phase = "tls"
        return sock

    def putrequest(
        self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False
    ) -> None:
        line = CURRENT.line
        if not line.fresh:
            line.watchdog.hold(line.leash, self.sock)
        line.ip = self.sock.getpeername()[0]
        line.phase, line.sent = "head", True
        # The target as it stands in the URL: urllib3 would quote it its own way.
        super().putrequest(method, line.target, skip_host=skip_host, skip_accept_encoding=True)


class _TlsConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        line = CURRENT.line
        connected = (line.connect_ms or 0.0) / 1000
        line.tls_ms = connected


def _connected(line: Line, port: int) -> socket.socket:
    """A socket to the first address that answers; each gets its share of the time that is left."""
    failure: OSError = TimeoutError()
    for left, address in zip(range(len(line.addresses), 0, -1), line.addresses, strict=True):
        time_s = (line.connect_until - time.monotonic()) / left
        try:
            sock = socket.create_connection((address, port), max(time_s, 0.001))
        except OSError as error:
            failure = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)
        return sock
    raise failure
