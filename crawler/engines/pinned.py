"""urllib3's connections for `blocking.py`: they go only where the exchange says, and read heads strictly.

http.client takes the end of the input for the end of the head, an early hint for the answer, and for a field
line whatever the email parser can make of it. Here a head is what RFC 9112 says, or an HTTPException.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import IO, Any, cast

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from crawler import descriptors
from crawler.engines.http1 import (
    HEAD_BYTES,
    LINE_BYTES,
    MOST_INTERIM,
    MOST_TRAILERS,
    TOO_MANY_INTERIM,
    authority_and_target,
    framing_problem,
    late_fault,
)
from crawler.engines.watchdog import Leash, Watchdog
from crawler.exchange import Exchange, Timings
from crawler.proxy import Proxy
from crawler.records import Headers
from crawler.shortage import plain, shortage

_HTTPS_PORT = 443
_FIELD_LINE = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:|[ \t])[^\0\r\n]*\r?\n|\r?\n")
_LINE_ENDS = {ord("\r"): None, ord("\n"): None}
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


class Line:
    """What one exchange tells its connection, and what that finds out for it.

    `phase` is `connect` (until a proxy's tunnel stands, where one is needed), `tls` or `sent`; `head` the final one,
    once it came; `make_room` is called before a connection is made.
    """

    def __init__(self, exchange: Exchange, watchdog: Watchdog, make_room: Callable[[], None]) -> None:
        self.exchange = exchange
        self.watchdog = watchdog
        self.make_room = make_room
        self.leash = Leash()
        self.started = time.monotonic()
        self.deadline = self.started + exchange.time_s
        self.connect_until = self.started + min(exchange.time_s, exchange.connect_s)
        self.phase = "connect"
        self.fresh = False
        self.ip: str | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None
        self.ttfb_ms: float | None = None
        self.head: _Response | None = None
        watchdog.allow(self.leash, self.connect_until, ("timeout", "connect timed out"))

    def heed_speed(self) -> None:
        """Set the limit anew, by what the body has brought."""
        stalls_at = self.exchange.body.stalls_at(time.monotonic())
        verdict = late_fault(self.exchange, stalled=stalls_at < self.deadline)
        self.watchdog.allow(self.leash, min(stalls_at, self.deadline), verdict)

    def elapsed_ms(self) -> float:
        """Milliseconds since the exchange began."""
        return (time.monotonic() - self.started) * 1000

    def timings(self) -> Timings:
        """What is known of the phases so far."""
        return Timings(self.connect_ms, self.tls_ms, self.ttfb_ms, self.elapsed_ms())


class _Current(threading.local):
    line: Line


CURRENT = _Current()
"""The line of the exchange that this thread does: urllib3 has no way to hand it down to a connection."""


class MalformedError(http.client.HTTPException):
    """The answer breaks the grammar or the framing rules of RFC 9112."""


class ProxyRefusedError(http.client.HTTPException):
    """The proxy answered with a `status` that says no."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _HeadReader:
    """The lines of a response's heads; a line that the end cuts off is none."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._in_fields = False
        self._heads = 0
        self._bytes = 0

    def readline(self, limit: int) -> bytes:
        line = self._source.readline(limit)
        self._bytes += len(line)
        if self._bytes > HEAD_BYTES:
            raise http.client.LineTooLong("head")
        if not line.endswith(b"\n"):
            if len(line) < limit:
                raise http.client.RemoteDisconnected("closed in the head")
            return line  # too long: http.client says so
        if self._in_fields and not _FIELD_LINE.fullmatch(line):
            raise MalformedError("a line that is no header field")
        self._heads += not self._in_fields
        if self._heads > MOST_INTERIM + 1:  # bytes that are always there already give no greenlet a turn, nor a clock
            raise MalformedError(TOO_MANY_INTERIM)
        self._in_fields = line not in (b"\r\n", b"\n")
        return line

    def close(self) -> None:
        self._source.close()


class _Response(http.client.HTTPResponse):
    fields: Headers
    """The header fields, in the order of the wire."""

    def begin(self) -> None:
        """Read the final head, and judge it."""
        self.read_head()
        # Noted here: urllib3 joins folded lines its own way (RFC 9112 §5.2 leaves it open; this is llhttp's).
        self.fields = tuple((name, value.translate(_LINE_ENDS).strip(" \t")) for name, value in self.headers.items())
        self._check_framing()
        CURRENT.line.head = self

    def read_head(self) -> None:
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

    def _check_framing(self) -> None:
        """Raise MalformedError where it is not one of RFC 9112 §6.3."""
        if self.status == 101:
            raise MalformedError("101 although no other protocol was asked for")
        problem = framing_problem(tuple((name.lower(), value) for name, value in self.fields))
        if problem is not None:
            raise MalformedError(problem)
        if "transfer-encoding" in self.headers and not self.chunked:  # http.client minds white space behind it
            self.chunked, self.chunk_left, self.length = True, None, None

    def _read_next_chunk_size(self) -> int:
        line = self.fp.readline(LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < LINE_BYTES:
            raise http.client.IncompleteRead(b"")
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise MalformedError("a chunk size that is none")
        return int(match[1], 16)

    def _read_and_discard_trailer(self) -> None:
        for _ in range(MOST_TRAILERS):
            line = self.fp.readline(LINE_BYTES + 1)
            if len(line) > LINE_BYTES:
                raise http.client.LineTooLong("trailer line")
            if not line.endswith(b"\n"):
                raise http.client.IncompleteRead(b"")
            if line in (b"\r\n", b"\n"):
                return
        raise http.client.HTTPException(f"got more than {MOST_TRAILERS} trailers")


class _Connection(HTTPConnection):
    """A connection to one of the current exchange's addresses; Host, SNI and certificate follow the URL.

    Through a proxy it is one to the proxy, and urllib3 does not know: it would send and read what it likes.
    """

    response_class = _Response

    peer: str | None = None
    _forwarded = True
    """Whether a proxy reads the request, rather than passing on a tunnel's bytes."""

    def _new_conn(self) -> socket.socket:
        line = CURRENT.line
        proxy = line.exchange.proxy
        line.fresh, line.phase = True, "connect"
        line.make_room()
        started = time.monotonic()
        sock, address = _connected(line, self.port if proxy is None else proxy.port)
        try:
            line.watchdog.hold(line.leash, sock)
            if proxy is not None and not self._forwarded:
                _make_tunnel(sock, proxy, authority_and_target(line.exchange.url)[0], self.port)
        except BaseException:
            sock.close()
            raise
        line.connect_ms = (time.monotonic() - started) * 1000
        line.ip = self.peer = address if proxy is None else None
        line.phase = "tls"
        return sock

    def putrequest(self, method: str, *_url: Any, skip_host: bool = False, **_more: Any) -> None:
        """Begin a request, with the target as it stands in the URL: urllib3 would quote it its own way."""
        line = CURRENT.line
        line.ip = self.peer
        if not line.fresh:
            line.watchdog.hold(line.leash, self.sock)
        line.phase = "sent"
        line.watchdog.allow(line.leash, line.deadline, late_fault(line.exchange, stalled=False))
        proxy, url = line.exchange.proxy if self._forwarded else None, line.exchange.url
        target = authority_and_target(url)[1] if proxy is None else url
        super().putrequest(method, target, skip_host=skip_host, skip_accept_encoding=True)
        if proxy is not None and proxy.authorization is not None:
            self.putheader("Proxy-Authorization", proxy.authorization)


class _TlsConnection(_Connection, HTTPSConnection):
    _forwarded = False

    def connect(self) -> None:
        started = time.monotonic()
        super().connect()
        cast(Any, self.sock).suppress_ragged_eofs = False  # else what cuts the connection ends a body (RFC 9112 §9.8)
        line = CURRENT.line
        line.tls_ms = (time.monotonic() - started) * 1000 - (line.connect_ms or 0.0)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def drop_idle(self) -> None:
        """Close the connections that nobody uses now; the pool goes on."""
        with contextlib.suppress(queue.Empty, AttributeError):  # all are taken; or it was put out, with all it had
            while True:
                connection = cast(Any, self.pool).get(block=False)
                if connection is not None:
                    connection.close()

    def _validate_conn(self, conn: Any) -> None:
        """Connect, before anything is sent; urllib3 would warn of each certificate that is not checked."""
        if conn.is_closed:
            conn.connect()


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class PinnedAdapter(HTTPAdapter):
    """requests' adapter over these connections: `conc` in flight, idle ones to `conc` hosts at most."""

    def __init__(self, context: ssl.SSLContext, conc: int) -> None:
        self._context = context
        super().__init__(pool_connections=conc, pool_maxsize=conc)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools; the TLS settings are one context for all of them."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        # urllib3 leaves a pool that is put out to the garbage collector, and its connections open until then.
        self.poolmanager.pools.dispose_func = HTTPConnectionPool.close

    def make_room(self) -> None:
        """Close what is idle where few descriptors are left."""
        if descriptors.few():
            self.drop_idle()

    def drop_idle(self) -> None:
        """Close all idle connections."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 - a copy, while other threads change it
            pool = pools.get(key)
            if isinstance(pool, _Pool):
                pool.drop_idle()

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave the context as it is: requests would load its own roots anew for each connection."""


def _make_tunnel(sock: socket.socket, proxy: Proxy, authority: str, port: int) -> None:
    """Have the proxy connect to a URL's authority and pass bytes on from then on (RFC 9110 §9.3.6)."""
    place = f"{authority}:{port}" if port == _HTTPS_PORT else authority  # a normalised URL leaves that one out
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    sock.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii"))
    answer = _Response(sock, method="CONNECT")
    try:
        answer.read_head()
    finally:
        answer.close()
    if answer.status != 200:  # any 2xx would do by the RFC; aiohttp takes this one alone, so that is the rule here
        raise ProxyRefusedError(answer.status)


def _connected(line: Line, port: int) -> tuple[socket.socket, str]:
    """A socket to the first address that answers, and which; each gets its share of the time that is left."""
    addresses = line.exchange.addresses
    failure: OSError = TimeoutError()
    lacking: OSError | None = None
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        time_s = (line.connect_until - time.monotonic()) / left
        try:
            sock = _connected_to(address, port, max(time_s, 0.001))
        except OSError as error:
            failure = plain(error, address)
            lacking = failure if shortage(failure) is not None else lacking
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)
        return sock, address
    raise lacking or failure


def _connected_to(address: str, port: int, time_s: float) -> socket.socket:
    """As `socket.create_connection`, which would look an address up first."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(time_s)
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock
