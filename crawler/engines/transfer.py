"""One exchange on one of libcurl's easy handles, which serves one after the other.

A handle has *base* options that never change. What differs from one plain GET to the next is always set (the URL), or
set where it is another than the last (address, fields, times). Everything else makes a *special* exchange, after which
the handle is reset, so that nothing of it can reach the next one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pycurl

from crawler.body import Verdict
from crawler.engines.heads import MalformedError, check_trailers, read_head
from crawler.engines.http1 import Fault, brief, broken_fault, is_refusal, late_fault, refusal, trusted_roots
from crawler.engines.libcurl import Breakage
from crawler.engines.pools import Pool
from crawler.exchange import IDEMPOTENT, Exchange, Failure, Reply, Timings
from crawler.proxy import Proxy
from crawler.records import Headers
from crawler.shortage import MEMORY

_BUFFER_BYTES = 64 * 1024
_HTTP2_GRACE_S = 5.0
_STOP = -1  # to libcurl: no more of this
_SUPPRESS_CONNECT_HEADERS = 265  # CURLOPT_…, which pycurl has no name for
_PROTOCOLS = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # whose requests say so also where they have none (RFC 9110 §8.6)


@dataclasses.dataclass(frozen=True, slots=True)
class Base:
    """What all exchanges of an engine have in common. `opened` is told the descriptor of each new socket."""

    insecure: bool
    http2: bool
    roots: tuple[str | None, str | None]
    opened: Callable[[int, int], int]

    @property
    def grace_s(self) -> float:
        """How much later than due libcurl ends an exchange by itself."""
        return _HTTP2_GRACE_S if self.http2 else 0.0

    @classmethod
    def make(cls, *, insecure: bool, http2: bool, opened: Callable[[int, int], int]) -> Base:
        """With the roots that this machine trusts."""
        return cls(insecure, http2, trusted_roots(), opened)


class Transfer:
    """An easy handle and the exchange that it does now, in the multi handle of a `pool`.

    `curl` is the handle, `started` on the monotonic clock.
    """

    __slots__ = (
        "_address",
        "_base",
        "_before_s",
        "_fault",
        "_fresh",
        "_headed",
        "_headers",
        "_held",
        "_lines",
        "_pinned",
        "_raised",
        "_sent",
        "_special",
        "_stopped",
        "_times",
        "curl",
        "exchange",
        "pool",
        "started",
        "token",
    )

    def __init__(self, base: Base) -> None:
        self._base = base
        self._lines: list[bytes] = []
        self.curl = pycurl.Curl()
        self.exchange: Exchange
        self.pool: Pool
        self.token: Any = None
        self.started = 0.0
        self._headers: Headers | None
        self._pinned: str | None
        self._fault: Fault | None
        self._raised: BaseException | None
        self._forget()
        self._prepare()

    def start(self, exchange: Exchange, token: Any, now: float) -> None:
        """Get ready for an exchange; then the handle goes to the multi handle."""
        self.exchange, self.token, self.started = exchange, token, now
        self._address, self._before_s = 0, 0.0
        self._fault = None
        self._raised = None
        self._headed = self._stopped = self._sent = self._held = self._fresh = False
        self._lines.clear()
        self.curl.setopt(pycurl.URL, exchange.url)
        if exchange.method != "GET" or exchange.content or exchange.proxy is not None:
            self._specialise(exchange)
        if exchange.headers != self._headers:
            self._headers = exchange.headers
            self.curl.setopt(pycurl.HTTPHEADER, _lines_of(exchange.headers, content=bool(exchange.content)))
        self._aim()

    def goes_on(self, code: int, message: str, now: float) -> bool:
        """Whether there is another address to try, or a fresh connection; then it is ready for that."""
        exchange = self.exchange
        if code == pycurl.E_ABORTED_BY_CALLBACK and self._held and not self._fresh:
            self._fresh = self._special = True
            self.curl.setopt(pycurl.FRESH_CONNECT, 1)
        elif self._address + 1 < len(exchange.addresses) and self._may_pass_elsewhere(code, message, now):
            self._address += 1
        else:
            return False
        self._before_s = now - self.started
        self._aim()
        return True

    def _may_pass_elsewhere(self, code: int, message: str, now: float) -> bool:
        exchange = self.exchange
        in_time = now - self.started < min(exchange.time_s, exchange.connect_s)
        return in_time and Breakage.of(self.curl, exchange, code, message).may_pass_elsewhere

    def overdue(self, now: float) -> bool:
        """Whether the body stalls, or over HTTP/2 its time is up: then the exchange is to be broken off.

        When libcurl breaks one off, it keeps its HTTP/2 connection for others. Where a network swallows all that is
        sent, the next try would hang on it, too.
        """
        if not self._headed and self._lines:
            self._take_head()
        if self._fault is None and not self._stopped:
            if self._headed and self.exchange.body.stalls_at(now) <= now:
                self._fault = late_fault(self.exchange, stalled=True)
            elif self._base.http2 and now - self.started >= self.exchange.time_s:
                self._fault = late_fault(self.exchange, stalled=False)
        return self._fault is not None or self._stopped

    def give_up_connection(self) -> None:
        """Have the connection closed when the handle is taken away."""
        self.curl.setopt(pycurl.FORBID_REUSE, 1)
        self._special = True

    def conclude(self, code: int, message: str) -> Reply | Failure:
        """What came of the exchange; `code` is 0 where libcurl has nothing to complain of."""
        if self._raised is not None:
            raise self._raised
        body = self.exchange.body
        self._close_head()
        if self._fault is None and (self._stopped or (self._headed and not code)):
            if not self._stopped:
                body.end()
            ip = None if self.exchange.proxy is not None else self.exchange.addresses[self._address]
            return Reply(ip, self._timings())
        return self._failure(Breakage.of(self.curl, self.exchange, code, message))

    def release(self) -> None:
        """Let go of the exchange; the handle is as good as new."""
        del self.exchange
        self.token = self._fault = self._raised = None
        self._lines.clear()
        if self._special:
            self.curl.reset()
            self._forget()
            self._prepare()

    # What libcurl calls.

    def _before_request(self, *_ends: object) -> int:
        """Let the request go; but not again by libcurl's own doing.

        Where a kept connection breaks, libcurl sends the request on the next kept one, five times more. A server that
        breaks each of them would be asked six times in one try; so it goes once more, on a fresh one (RFC 9112 §9.3.1).
        """
        if self._sent and not self._fresh:
            self._held = True
            return int(pycurl.PREREQFUNC_ABORT)
        self._sent = True
        return int(pycurl.PREREQFUNC_OK)

    def _take(self, data: bytes) -> int | None:
        """Push the next piece of the body; nothing may be raised into libcurl."""
        try:
            if (self._headed or self._take_head()) and self.exchange.body.feed(data) is Verdict.GO:
                return None
            if self._headed:
                self._stopped = True
            elif self._fault is None:
                self._fault = ("protocol", "a body before the end of its head")
        except MemoryError:
            self._fault = ("local", MEMORY)
        except BaseException as error:
            self._raised = error
        return _STOP

    # The head.

    def _take_head(self) -> bool:
        """Push the head, where it is whole; whether the body is wanted."""
        try:
            found = read_head(self._lines)
        except MalformedError as error:
            self._fault = (error.error_class, str(error))
            return False
        if found is None:
            return False
        head, lines = found
        del self._lines[:lines]
        if is_refusal(self.exchange, head.status):
            self._fault = refusal(head.status)
            return False
        self._headed = True
        self._stopped = self.exchange.body.head(head.status, head.reason, head.version, head.fields) is Verdict.STOP
        return not self._stopped

    def _close_head(self) -> None:
        """The exchange is over: take the head of one without a body, or look at what followed the body."""
        if self._fault is not None:
            return
        if not (self._headed or self._take_head()):
            return
        try:
            check_trailers(self._lines)
        except MalformedError as error:
            self._fault = (error.error_class, str(error))

    # Options.

    def _forget(self) -> None:
        """No option is known to be set."""
        self._headers = self._pinned = None
        self._times: tuple[float, float] | None = None
        self._special = False

    def _prepare(self) -> None:
        """Set the base options."""
        setopt, base = self.curl.setopt, self._base
        setopt(pycurl.NOSIGNAL, 1)
        setopt(pycurl.PROTOCOLS, _PROTOCOLS)
        setopt(pycurl.PATH_AS_IS, 1)
        setopt(pycurl.USERAGENT, "")
        setopt(pycurl.PROXY, "")  # else the environment's
        setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
        setopt(pycurl.DNS_CACHE_TIMEOUT, 0)  # it is scanned at each exchange
        setopt(pycurl.BUFFERSIZE, _BUFFER_BYTES)
        setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS if base.http2 else pycurl.CURL_HTTP_VERSION_1_1)
        setopt(pycurl.HEADERFUNCTION, self._lines.append)
        setopt(pycurl.WRITEFUNCTION, self._take)
        setopt(pycurl.SOCKOPTFUNCTION, base.opened)
        setopt(pycurl.PREREQFUNCTION, self._before_request)
        file, folder = base.roots
        if file is not None:
            setopt(pycurl.CAINFO, file)  # as a file: libcurl keeps what it has read of it
        else:
            self.curl.unsetopt(pycurl.CAINFO)
            setopt(pycurl.CAPATH, folder)
        if base.insecure:
            setopt(pycurl.SSL_VERIFYPEER, 0)
            setopt(pycurl.SSL_VERIFYHOST, 0)

    def _aim(self) -> None:
        """Set the address of this attempt, and its times: its share of what is left to connect."""
        exchange, setopt = self.exchange, self.curl.setopt
        address = exchange.addresses[self._address]
        if exchange.proxy is not None:
            setopt(pycurl.PROXY, f"http://{_bracketed(address)}:{exchange.proxy.port}")
        elif address != self._pinned:
            self._pinned = address
            # For any host and port of a URL, to this address at the same port.
            setopt(pycurl.CONNECT_TO, [f"::{_bracketed(address)}:"])
        left = len(exchange.addresses) - self._address
        times = exchange.time_s - self._before_s, (exchange.connect_s - self._before_s) / left
        if times != self._times:
            self._times = times
            setopt(pycurl.TIMEOUT_MS, _milliseconds(times[0] + self._base.grace_s))
            setopt(pycurl.CONNECTTIMEOUT_MS, _milliseconds(times[1]))

    def _specialise(self, exchange: Exchange) -> None:
        """Set what a plain GET has not; a reset undoes it."""
        setopt, method = self.curl.setopt, exchange.method
        self._special = True
        if method == "HEAD":
            setopt(pycurl.NOBODY, 1)
        if exchange.content or method in _WITH_BODY:
            setopt(pycurl.POSTFIELDS, exchange.content)
        if method != "GET" or exchange.content:
            setopt(pycurl.CUSTOMREQUEST, method)
        if method not in IDEMPOTENT:
            setopt(pycurl.FRESH_CONNECT, 1)  # on a kept one that breaks, libcurl would send it again
        if exchange.proxy is not None:
            if exchange.url.startswith("https:"):
                setopt(pycurl.HTTPPROXYTUNNEL, 1)
            else:
                setopt(pycurl.REQUEST_TARGET, exchange.url)  # byte for byte: an empty query would be left out
            setopt(_SUPPRESS_CONNECT_HEADERS, 1)
            setopt(pycurl.HEADEROPT, pycurl.HEADER_SEPARATE)
            setopt(pycurl.PROXYHEADER, _proxy_lines(exchange.proxy))

    # What came of it.

    def _timings(self) -> Timings:
        getinfo, before_us = self.curl.getinfo, self._before_s * 1e6
        connect_ms = tls_ms = None
        if getinfo(pycurl.NUM_CONNECTS):
            connected, met = getinfo(pycurl.CONNECT_TIME_T), getinfo(pycurl.APPCONNECT_TIME_T)
            if met and self.exchange.proxy is not None:
                connected, met = met, 0  # nobody says how long the tunnel took
            connect_ms = connected / 1000 if connected else None
            tls_ms = (met - connected) / 1000 if met else None
        first, total = getinfo(pycurl.STARTTRANSFER_TIME_T), getinfo(pycurl.TOTAL_TIME_T)
        return Timings(connect_ms, tls_ms, (before_us + first) / 1000 if first else None, (before_us + total) / 1000)

    def _failure(self, breakage: Breakage) -> Failure:
        exchange, body = self.exchange, self.exchange.body
        address = exchange.addresses[self._address]
        if self._fault is not None:
            error_class, text = self._fault
        elif breakage.code:
            error_class, text = breakage.fault(exchange, address, in_body=self._headed)
        else:  # libcurl takes the end of the input for the end of the head
            error_class, text = broken_fault(OSError(), in_body=self._headed)
        if self._headed:
            body.cut("time" if error_class in ("timeout", "too_slow") else "disconnect")
        known = exchange.proxy is None and (breakage.sent or breakage.connected)
        timings = msgspec.structs.replace(self._timings(), total_ms=(time.monotonic() - self.started) * 1000)
        return Failure(error_class, brief(text), breakage.sent, address if known else None, timings)


@functools.lru_cache(maxsize=256)
def _lines_of(headers: Headers, *, content: bool) -> list[str]:
    """The fields as libcurl takes them, and what keeps it from adding its own."""
    given = {name.lower() for name, _ in headers}
    unwanted = ["accept", *(["content-type", "expect"] if content else [])]
    return [
        *(f"{name}: {value}" if value.strip() else f"{name};" for name, value in headers),
        *(f"{name}:" for name in unwanted if name not in given),
    ]


def _proxy_lines(proxy: Proxy) -> list[str]:
    credentials = [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization is not None else []
    return [*credentials, "Proxy-Connection:"]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _milliseconds(seconds: float) -> int:
    """At least one: 0 is no limit to libcurl."""
    return max(1, math.ceil(seconds * 1000))
