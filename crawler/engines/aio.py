"""Exchanges by aiohttp, side by side on one event loop.

aiohttp's own comforts are off, one by one: cookies, redirects, decoding, time limits, the limit of
connections, its resend and its rewriting of URLs. What is needed of them is done here as for every engine.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from typing import Any, cast

import aiohttp
from aiohttp.http_exceptions import (
    ContentLengthError,
    HttpProcessingError,
    LineTooLong,
    TransferEncodingError,
)
from yarl import URL

from crawler.body import Verdict
from crawler.engines.connector import TRAIL, Connector, Trail
from crawler.engines.http1 import (
    FRAMINGS,
    LINE_BYTES,
    MOST_FIELDS,
    Fault,
    authority_and_target,
    brief,
    broken_fault,
    connect_fault,
    framing_problem,
    is_refusal,
    late_fault,
    proxy_fault,
    refusal,
)
from crawler.exchange import IDEMPOTENT, Exchange, Failure, Reply, Timings
from crawler.records import Headers
from crawler.shortage import MEMORY, lacks_descriptors

NAME = "asyncio"
DRIVER = "tasks"

_READ_BYTES = 16 * 1024  # aiohttp stops reading at twice as much: what a connection holds beside the budget
_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_CUTS = (ContentLengthError, TransferEncodingError)
_NO_LIMITS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


def make(*, insecure: bool, conc: int) -> AioEngine:
    """The engine; call it inside a running loop."""
    return AioEngine(insecure=insecure, conc=conc)


def threads(conc: int) -> int:  # noqa: ARG001 - the siblings' signature
    """One: the loop's."""
    return 1


class AioEngine:
    """An `AsyncEngine`. Idle connections to at most `conc` hosts are kept."""

    def __init__(self, *, insecure: bool, conc: int) -> None:
        self._connector = Connector(insecure=insecure, idle_hosts=conc)
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
        self._limits = _Limits()

    async def exchange(self, exchange: Exchange) -> Reply | Failure:
        """Do one exchange. Cancelling it closes its connection."""
        trail = Trail(exchange.addresses, exchange.connect_s, exchange.proxy is not None)
        TRAIL.set(trail)
        run = _Run(exchange, trail, self._limits)
        try:
            async with asyncio.timeout(None) as run.limit:
                self._limits.add(run)
                await run.through(self._session)
        except (aiohttp.ClientError, HttpProcessingError, MemoryError, OSError, RuntimeError, ValueError) as error:
            if lacks_descriptors(trail.lacking):
                self._connector.drop_idle()
            return run.failure(error)
        finally:
            self._limits.discard(run)
            self._connector.forget_idle()
        return Reply(trail.ip, run.timings())

    async def close(self) -> None:
        """Close every connection."""
        self._limits.close()
        await self._session.close()


class _Limits:
    """One timer for all exchanges of an engine: nearly all are over long before, and one each costs a tenth of them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._runs: set[_Run] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf

    def add(self, run: _Run) -> None:
        """An exchange begins."""
        self._runs.add(run)
        self.heed(run.due)

    def discard(self, run: _Run) -> None:
        """It is over."""
        self._runs.discard(run)

    def heed(self, due: float) -> None:
        """One of them is due then, on the monotonic clock."""
        if due < self._at:
            self.close()
            self._at = due
            self._timer = self._loop.call_later(max(due - time.monotonic(), 0.0), self._look)

    def close(self) -> None:
        """Look at nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._at, self._timer = math.inf, None

    def _look(self) -> None:
        """End those that are due, and come back when the next one is."""
        self._at, self._timer = math.inf, None
        now = time.monotonic()
        for run in self._runs:
            if run.due <= now:
                run.end()
        self.heed(min((run.due for run in self._runs if run.due > now), default=math.inf))


class _Run:
    """One exchange, from the request to the body's end."""

    def __init__(self, exchange: Exchange, trail: Trail, limits: _Limits) -> None:
        self._exchange = exchange
        self._trail = trail
        self._body = exchange.body
        self._started = time.monotonic()
        self._ttfb_ms: float | None = None
        self._limits = limits
        self._deadline = self.due = self._started + exchange.time_s
        self.limit: asyncio.Timeout

    def end(self) -> None:
        """Its time is up."""
        if not self.limit.expired():
            self.limit.reschedule(0.0)

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
        version, given = response.version, response.headers
        problem = framing_problem((name, value) for name in FRAMINGS for value in given.getall(name, ()))
        if problem is not None or response.status < 100:
            raise HttpProcessingError(message=problem or "a status that is none")
        return self._body.head(
            response.status,
            (response.reason or "").encode("utf-8", "surrogateescape").decode("latin-1"),
            f"{version.major}.{version.minor}" if version is not None else "1.1",
            tuple((_text(name), _text(value)) for name, value in response.raw_headers),
        )

    async def _take_body(self, response: _Response) -> bool:
        """Push the body's pieces; whether it came to its end, rather than being stopped."""
        content = response.content
        try:
            while not content.at_eof():
                data = content.read_nowait()
                if not data:
                    self._heed_speed()
                    data = await content.readany()
                if self._body.feed(data) is Verdict.STOP:
                    return False
                del data  # not to be held while we wait for the next piece
        except (aiohttp.ClientError, HttpProcessingError, OSError):
            # What came before the break is still in the reader, which shows only the break.
            content.set_exception(cast(BaseException, None))
            if self._body.feed(content.read_nowait()) is Verdict.STOP:
                return False
            raise
        return True

    def _heed_speed(self) -> None:
        """Set the limit anew, where what the body has brought changes it."""
        self.due = min(self._deadline, self._body.stalls_at(time.monotonic()))
        self._limits.heed(self.due)

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
            return late_fault(self._exchange, stalled=self.due < self._deadline)
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

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        trail = TRAIL.get()
        trail.sent = True
        if not trail.proxied:
            trail.ip = connection.protocol.peer
        return await super().start(connection)


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
