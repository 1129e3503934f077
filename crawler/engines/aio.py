"""Exchanges by aiohttp, side by side on one event loop.

aiohttp's own comforts are off, one by one: cookies, redirects, decoding, time limits, the limit of
connections, its resend and its rewriting of URLs. What is needed of them is done here as for every engine.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import functools
import ipaddress
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import (
    ContentLengthError,
    HttpProcessingError,
    LineTooLong,
    TransferEncodingError,
)
from aiohttp.streams import StreamReader
from yarl import URL

from crawler import descriptors
from crawler.body import Verdict
from crawler.engines.http1 import (
    LINE_BYTES,
    MOST_FIELDS,
    MOST_INTERIM,
    TOO_MANY_INTERIM,
    Fault,
    authority_and_target,
    brief,
    broken_fault,
    connect_fault,
    is_refusal,
    late_fault,
    proxy_fault,
    refusal,
    tls_context,
)
from crawler.exchange import IDEMPOTENT, Exchange, Failure, Reply, Timings
from crawler.records import Headers
from crawler.shortage import MEMORY, lacks_descriptors, plain, shortage

NAME = "asyncio"
DRIVER = "tasks"

_ROOM_BYTES = 32 * 1024  # what is read from a connection at a time
_READ_BYTES = 16 * 1024  # aiohttp stops reading at twice as much: what a connection holds beside the budget
_CLOSING_TURNS = 4  # of the loop, in which a connection that was aborted is closed; uvloop takes two
_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_CUTS = (ContentLengthError, TransferEncodingError)
_NO_LIMITS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


def make(*, insecure: bool, conc: int) -> AioEngine:
    """The engine; call it inside a running loop."""
    return AioEngine(insecure=insecure, conc=conc)


def threads(conc: int) -> int:  # noqa: ARG001 - the siblings' signature
    """One: the loop's."""
    return 1


@dataclasses.dataclass(slots=True)
class _Trail:
    """What an exchange tells the connector's hooks, and what they find out for it.

    It holds neither request nor body: a connection keeps the context that it was opened in for all its life.
    `proxied` is whether the peer is a proxy, `tunnelled` whether that has made a tunnel.
    """

    addresses: tuple[str, ...]
    connect_s: float
    proxied: bool
    tunnelled: bool = False
    fresh: bool = False
    sent: bool = False
    ip: str | None = None
    connect_ms: float | None = None
    lacking: OSError | None = None


_TRAIL: ContextVar[_Trail] = ContextVar("_TRAIL")


class AioEngine:
    """An `AsyncEngine`. Idle connections to at most `conc` hosts are kept."""

    def __init__(self, *, insecure: bool, conc: int) -> None:
        self._connector = _Connector(insecure=insecure, idle_hosts=conc)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_NO_LIMITS,
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=_OURS,
            response_class=_Response,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=MOST_FIELDS,
            read_bufsize=_READ_BYTES,
        )
        # It resends what is idempotent, on fresh connections too: a page that hangs up would be hit twice.
        self._session._retry_connection = False

    async def exchange(self, exchange: Exchange) -> Reply | Failure:
        """Do one exchange. Cancelling it closes its connection."""
        trail = _Trail(exchange.addresses, exchange.connect_s, exchange.proxy is not None)
        _TRAIL.set(trail)
        run = _Run(exchange, trail)
        try:
            async with asyncio.timeout(exchange.time_s) as run.limit:
                await run.through(self._session)
        except (aiohttp.ClientError, HttpProcessingError, MemoryError, OSError, RuntimeError, ValueError) as error:
            if lacks_descriptors(trail.lacking):
                self._connector.drop_idle()
            return run.failure(error)
        finally:
            self._connector.forget_idle()
        return Reply(trail.ip, run.timings())

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


class _Run:
    """One exchange, from the request to the body's end."""

    def __init__(self, exchange: Exchange, trail: _Trail) -> None:
        self._exchange = exchange
        self._trail = trail
        self._body = exchange.body
        self._started = time.monotonic()
        self._ttfb_ms: float | None = None
        self._deadline = self._due = self._started + exchange.time_s
        self.limit: asyncio.Timeout

    async def through(self, session: aiohttp.ClientSession) -> None:
        """Send, take the head, take the body; raises aiohttp's exceptions, and TimeoutError."""
        response = await self._send(session)
        try:
            self._ttfb_ms = self._elapsed_ms()
            if is_refusal(self._exchange, response.status):
                raise aiohttp.ClientHttpProxyError(response.request_info, (), status=response.status)  # noqa: TRY301
            if response.status == 101:
                raise HttpProcessingError(message="101 although no other protocol was asked for")  # noqa: TRY301
            if self._take_head(response) is Verdict.GO and await self._take_body(response):
                self._body.end()
                return
        except BaseException:
            response.close()
            raise
        response.close()

    async def _send(self, session: aiohttp.ClientSession) -> _Response:
        try:
            return await self._request(session)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # The server closed a connection that was idle, as we were about to use it (RFC 9112 §9.3.1).
            if self._trail.fresh or self._exchange.method not in IDEMPOTENT:
                raise
            return await self._request(session)

    async def _request(self, session: aiohttp.ClientSession) -> _Response:
        authority, target = authority_and_target(self._exchange.url)
        scheme = self._exchange.url.partition(":")[0]
        proxy, to_proxy = self._exchange.proxy, _credentials(self._exchange)
        response = await session.request(
            self._exchange.method,
            # The query goes as a part of the path: yarl would drop an empty one.
            URL.build(scheme=scheme, authority=authority, path=target, encoded=True),
            # aiohttp sends a proxy's fields to it only with CONNECT.
            headers=(("Host", authority), *(to_proxy if scheme == "http" else ()), *self._exchange.headers),
            data=self._exchange.content or None,
            allow_redirects=False,
            proxy=None if proxy is None else URL.build(scheme="http", authority=proxy.netloc),
            proxy_headers=dict(to_proxy),
        )
        return cast(_Response, response)

    def _take_head(self, response: _Response) -> Verdict:
        version = response.version
        verdict = self._body.head(
            response.status,
            (response.reason or "").encode("utf-8", "surrogateescape").decode("latin-1"),
            f"{version.major}.{version.minor}" if version is not None else "1.1",
            tuple((_text(name), _text(value)) for name, value in response.raw_headers),
        )
        self._heed_speed()
        return verdict

    async def _take_body(self, response: _Response) -> bool:
        """Push the body's pieces; whether it came to its end, rather than being stopped."""
        content = response.content
        try:
            while data := await content.readany():
                if self._body.feed(data) is Verdict.STOP:
                    return False
                del data  # not to be held while we wait for the next piece
                self._heed_speed()
        except (aiohttp.ClientError, HttpProcessingError, OSError):
            # What came before the break is still in the reader, which shows only the break.
            content.set_exception(cast(BaseException, None))
            if self._body.feed(content.read_nowait()) is Verdict.STOP:
                return False
            raise
        return True

    def _heed_speed(self) -> None:
        """Set the limit anew, where what the body has brought changes it."""
        now = time.monotonic()
        due = min(self._deadline, self._body.stalls_at(now))
        if due != self._due:
            self._due = due
            self.limit.reschedule(asyncio.get_running_loop().time() + due - now)

    def failure(self, error: Exception) -> Failure:
        """What the exception says, in our words."""
        error_class, message = self._fault(error)
        for cause in _causes(error):
            cause.__traceback__ = None  # its frames hold the body, in a ring with the reader that holds the exception
        if self._body.status is not None:
            self._body.cut("time" if error_class in ("timeout", "too_slow") else "disconnect")
        return Failure(error_class, brief(message), self._trail.sent, self._trail.ip, self.timings())

    def _fault(self, error: Exception) -> Fault:
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return refusal(error.status)
        trail = self._trail
        at_proxy = trail.proxied and trail.fresh and not (trail.tunnelled or trail.sent)
        return proxy_fault(self._plain_fault(error)) if at_proxy else self._plain_fault(error)

    def _plain_fault(self, error: Exception) -> Fault:
        if isinstance(error, aiohttp.ClientConnectorError):
            return connect_fault(self._trail.lacking or error.os_error, tls=self._exchange.url.startswith("https:"))
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return connect_fault(self._trail.lacking or TimeoutError(), tls=False)
        if self.limit.expired():
            return late_fault(self._exchange, stalled=self._due < self._deadline)
        causes = list(_causes(error))
        if any(isinstance(cause, MemoryError) for cause in causes):
            return "local", MEMORY
        if any(isinstance(cause, LineTooLong) or "Too many headers" in str(cause) for cause in causes):
            return "headers_too_large", f"a line of over {LINE_BYTES} bytes, or over {MOST_FIELDS} fields"
        for cause in causes:
            if isinstance(cause, HttpProcessingError) and not isinstance(cause, _CUTS):
                return "protocol", cause.message.partition("\n")[0].rstrip(":")
        if isinstance(error, ValueError):
            return "protocol", str(error)
        return broken_fault(error, in_body=self._body.status is not None)

    def timings(self) -> Timings:
        """What is known of the phases; connecting includes TLS here."""
        return Timings(self._trail.connect_ms, None, self._ttfb_ms, self._elapsed_ms())

    def _elapsed_ms(self) -> float:
        return (time.monotonic() - self._started) * 1000


class _Response(aiohttp.ClientResponse):
    """Notes the connection while there is one: a small body releases it before anybody can look."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        trail = _TRAIL.get()
        trail.sent = True
        if connection.transport is not None and not trail.proxied:
            trail.ip = connection.transport.get_extra_info("peername")[0]
        return await super().start(connection)


class _Line(ResponseHandler):
    """aiohttp's end of a connection, but the reader of a body hears of every break.

    As it is, a reset ends a body that only a close can end as if it were whole (it is not: RFC 9112 §8), and
    a chunk size that is none leaves the reader waiting for ever.
    """

    _interim = 0

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a head and its body; of a flood of interim ones (1xx), which nobody reads as fast, no more."""
        self._interim = self._interim + 1 if 100 <= data[0].code < 200 else 0
        if self._interim <= MOST_INTERIM:
            super().feed_data(data, size)
        elif self._interim == MOST_INTERIM + 1:
            self.abort()
            self.set_exception(HttpProcessingError(message=TOO_MANY_INTERIM))

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None:
            self._tell_reader(exc)
        super().connection_lost(exc)

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        if isinstance(exc_cause, MemoryError):
            exc = exc_cause  # whatever the parser met, aiohttp calls the message malformed
        self._tell_reader(exc)
        super().set_exception(exc, exc_cause)

    def _tell_reader(self, error: BaseException) -> None:
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(error)


class _Intake(asyncio.BufferedProtocol):
    """Between the loop and a line: it takes what was read from the one small `room` of all lines of this loop.

    Else uvloop reads 256 KB of each connection that has them before anybody takes the first, and that a thousand times.
    """

    def __init__(self, line: ResponseHandler, room: memoryview) -> None:
        self._line = line
        self._room = room

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        self._line.data_received(bytes(self._room[:nbytes]))

    def eof_received(self) -> None:
        self._line.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.connection_lost(exc)

    def pause_writing(self) -> None:
        self._line.pause_writing()

    def resume_writing(self) -> None:
        self._line.resume_writing()


class _Connector(aiohttp.TCPConnector):
    """Connects to the addresses of the exchange that asks, within its `connect_s`, and to no other."""

    def __init__(self, *, insecure: bool, idle_hosts: int) -> None:
        super().__init__(
            limit=0,
            ssl=tls_context(insecure=insecure),
            resolver=_PinnedResolver(),
            use_dns_cache=False,
            socket_factory=_socket_for,
        )
        self._factory = cast(Any, functools.partial(_Line, loop=self._loop))
        self._idle_hosts = idle_hosts
        self._room = memoryview(bytearray(_ROOM_BYTES))

    async def _create_connection(self, *args: Any) -> ResponseHandler:
        trail = _TRAIL.get()
        trail.fresh = True
        await self._make_room()
        started = time.monotonic()
        async with asyncio.timeout(trail.connect_s):
            protocol = await super()._create_connection(*args)
        if protocol.transport is not None:
            protocol.transport.set_protocol(_Intake(protocol, self._room))
        trail.connect_ms = (time.monotonic() - started) * 1000
        return protocol

    async def _start_tls_connection(self, *args: Any, **kwargs: Any) -> Any:
        """The proxy has made its tunnel: what fails from here on is not its doing."""
        _TRAIL.get().tunnelled = True
        return await super()._start_tls_connection(*args, **kwargs)

    def forget_idle(self) -> None:
        """Close the idle connections of the hosts that were left first, beyond the number that is kept.

        aiohttp bounds them only by time: at a thousand hosts a second they would use up every descriptor.
        """
        while len(self._conns) > self._idle_hosts:
            for protocol, _ in self._conns.pop(next(iter(self._conns))):
                protocol.close()

    async def _make_room(self) -> None:
        """Close what is idle where few descriptors are left."""
        for _ in range(_CLOSING_TURNS):
            if not descriptors.few():
                return
            self.drop_idle()
            await asyncio.sleep(0)

    def drop_idle(self) -> None:
        """Close all idle connections, without TLS's goodbye: their descriptors are needed at once."""
        for connections in self._conns.values():
            for protocol, _ in connections:
                protocol.abort()
        self._conns.clear()


class _PinnedResolver(AbstractResolver):
    """Answers with the addresses of the exchange that asks. It is never asked for IP literals."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in _TRAIL.get().addresses
        ]

    async def close(self) -> None:
        return


def _socket_for(info: AddrInfoType) -> socket.socket:
    """A socket for an address that the exchange may connect to: this sees IP literals too."""
    family, kind, protocol, _, place = info
    address = ipaddress.ip_address(place[0])
    if all(ipaddress.ip_address(allowed) != address for allowed in _TRAIL.get().addresses):
        raise PermissionError(errno.EPERM, f"{address} is none of the addresses that were checked")
    try:
        return _Socket(family, kind, protocol)
    except OSError as error:
        _note(error)
        raise


class _Socket(socket.socket):
    """Notes what this machine lacks: of the errors of several addresses aiohttp passes on one, or their words."""

    def connect(self, address: Any) -> None:
        try:
            super().connect(address)
        except BlockingIOError:
            raise  # it is on its way
        except OSError as error:
            said = plain(error, address[0])
            _note(said)
            raise said from None


def _note(error: OSError) -> None:
    if shortage(error) is not None:
        _TRAIL.get().lacking = OSError(error.errno, error.strerror)  # without the frames that raised it


def _credentials(exchange: Exchange) -> Headers:
    """The fields that are for the proxy alone."""
    if exchange.proxy is None or exchange.proxy.authorization is None:
        return ()
    return (("Proxy-Authorization", exchange.proxy.authorization),)


def _text(data: bytes) -> str:
    return data.decode("latin-1").strip(" \t")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
