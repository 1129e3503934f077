"""Exchanges by requests, each of which blocks its thread; `serial.py` and `threads.py` run them."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import ClosedPoolError, HTTPError
from urllib3.util import SKIP_HEADER

from crawler.body import Verdict
from crawler.engines.http1 import (
    LINE_BYTES,
    Fault,
    authority_and_target,
    brief,
    broken_fault,
    connect_fault,
    is_refusal,
    proxy_fault,
    refusal,
    tls_context,
)
from crawler.engines.pinned import CURRENT, Line, PinnedAdapter, ProxyRefusedError
from crawler.engines.watchdog import Watchdog
from crawler.exchange import IDEMPOTENT, Exchange, Failure, Reply
from crawler.shortage import MEMORY, lacks_descriptors

_PIECE_BYTES = 64 * 1024
_MOST_FIELDS = 99  # http.client's


class RequestsEngine:
    """A `BlockingEngine` for `conc` threads. Idle connections to at most `conc` hosts are kept."""

    def __init__(self, *, insecure: bool, conc: int) -> None:
        self._watchdog = Watchdog()
        self._insecure = insecure
        self._session = _Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._adapter = PinnedAdapter(tls_context(insecure=insecure), conc)
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)

    def exchange(self, exchange: Exchange) -> Reply | Failure:
        """Do one exchange; safe to call from several threads at once."""
        CURRENT.line = line = Line(exchange, self._watchdog, self._adapter.make_room)
        try:
            response = self._send(line)
            try:
                _take(line, response)
            finally:
                response.close()
        except (
            requests.RequestException,
            HTTPError,
            http.client.HTTPException,
            MemoryError,
            OSError,
            ValueError,
        ) as error:
            if lacks_descriptors(_native(error)):
                self._adapter.drop_idle()
            return _failure(line, error)
        finally:
            self._watchdog.release(line.leash)
            del CURRENT.line
        return Reply(line.ip, line.timings())

    def close(self) -> None:
        """Close every connection."""
        self._session.close()
        self._watchdog.close()

    def _send(self, line: Line) -> requests.Response:
        """Send the request and take the head."""
        try:
            return self._request(line.exchange)
        except requests.ConnectionError as error:
            if line.leash.fault is not None or not _may_go_again(line, error):
                raise
            return self._request(line.exchange)

    def _request(self, exchange: Exchange) -> requests.Response:
        request = requests.PreparedRequest()  # as it stands: preparing it would quote the URL anew
        request.method, request.url = exchange.method, exchange.url
        request.body = exchange.content or None
        request.headers = CaseInsensitiveDict(
            (("Host", authority_and_target(exchange.url)[0]), ("User-Agent", SKIP_HEADER), *exchange.headers)
        )
        if exchange.content:
            request.headers["Content-Length"] = str(len(exchange.content))
        return self._session.send(request, stream=True, allow_redirects=False, proxies={}, verify=not self._insecure)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - requests' signature
        """Nowhere: to prepare a redirect that it will not follow, requests would swallow the body."""
        return None


def _may_go_again(line: Line, error: requests.ConnectionError) -> bool:
    """Whether the request met a connection, or a pool of them, that was closed as it was about to be used."""
    if any(isinstance(cause, ClosedPoolError) for cause in _causes(error)):
        return True  # another thread put the pool out: nothing was sent
    stale = not line.fresh and isinstance(_native(error), ConnectionError)
    return stale and line.exchange.method in IDEMPOTENT  # RFC 9112 §9.3.1


def _take(line: Line, response: requests.Response) -> None:
    """Push the head and the body, to the end or until the body wants no more."""
    body, head = line.exchange.body, line.head
    assert head is not None
    if is_refusal(line.exchange, head.status):
        raise ProxyRefusedError(head.status)
    line.ttfb_ms = line.elapsed_ms()
    if body.head(head.status, head.reason, f"{head.version / 10:.1f}", head.fields) is Verdict.STOP:
        return
    line.heed_speed()
    while data := response.raw.read1(_PIECE_BYTES, decode_content=False):
        if body.feed(data) is Verdict.STOP:
            return
        line.heed_speed()
    if line.leash.fault is not None:  # what looks like the end was the watchdog
        raise TimeoutError
    body.end()


def _failure(line: Line, error: Exception) -> Failure:
    error_class, message = _fault(line, error)
    for cause in _causes(error):
        cause.__traceback__ = None  # its frames hold the body, in a ring with what holds the exception
    body = line.exchange.body
    if body.status is not None:
        body.cut("time" if error_class in ("timeout", "too_slow") else "disconnect")
    return Failure(error_class, brief(message), line.phase == "sent", line.ip, line.timings())


def _fault(line: Line, error: Exception) -> Fault:
    cause = _native(error)
    if isinstance(cause, ProxyRefusedError):
        return refusal(cause.status)
    at_proxy = line.exchange.proxy is not None and line.phase == "connect"
    return proxy_fault(_plain_fault(line, cause)) if at_proxy else _plain_fault(line, cause)


def _plain_fault(line: Line, cause: BaseException) -> Fault:
    if line.leash.fault is not None:
        return line.leash.fault
    if isinstance(cause, MemoryError):
        return "local", MEMORY
    if line.phase != "sent" and isinstance(cause, OSError):
        return connect_fault(cause, tls=line.phase == "tls")
    if isinstance(cause, http.client.LineTooLong) or "got more than" in str(cause):
        return "headers_too_large", f"a line of over {LINE_BYTES} bytes, or over {_MOST_FIELDS} fields"
    cut = isinstance(cause, OSError | http.client.IncompleteRead)
    if not cut and isinstance(cause, http.client.HTTPException | ValueError):
        return "protocol", str(cause) or type(cause).__name__
    return broken_fault(cause, in_body=line.exchange.body.status is not None)


def _native(error: BaseException) -> BaseException:
    """What the standard library raised under the wrappings of urllib3 and requests."""
    return next((cause for cause in _causes(error) if _is_native(cause)), error)


def _is_native(error: BaseException) -> bool:
    wrapped = isinstance(error, requests.RequestException | HTTPError)
    return not wrapped and isinstance(error, OSError | MemoryError | http.client.HTTPException)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
