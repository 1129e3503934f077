"""What the HTTP/1.1 engines share: the parts of a request, TLS, and the words for what went wrong."""

from __future__ import annotations

import errno
import http
import os
import re
import ssl
from collections.abc import Iterable

import certifi

from crawler.escape import printable
from crawler.exchange import Exchange
from crawler.records import ErrorClass
from crawler.shortage import shortage

LINE_BYTES = 64 * 1024
"""What one line of a response's head may measure."""

HEAD_BYTES = 300 * 1024
"""What a response's heads, interim ones included, may measure together: libcurl's own limit, for all engines."""

FRAMINGS = ("content-length", "transfer-encoding")
"""The fields that say where a message ends."""

MOST_INTERIM = 100
"""How many interim answers (1xx, RFC 9110 §15.2) may come before the final one: a flood of them has no end."""

TOO_MANY_INTERIM = f"more than {MOST_INTERIM} interim answers"

MOST_FIELDS = 256
"""How many fields a head may have, where the library leaves that to us."""

MOST_TRAILERS = 100
"""How many fields may follow a chunked body: as many as http.client takes in a head."""

_LENGTH = re.compile(r"[0-9]{1,18}")
_MESSAGE_CHARACTERS = 200

Fault = tuple[ErrorClass, str]


def authority_and_target(url: str) -> tuple[str, str]:
    """The `Host` field and the request target (RFC 9112 §3.2.1) of a normalised URL, byte for byte."""
    authority, _, rest = url.partition("://")[2].partition("/")
    return authority, f"/{rest}"


def trusted_roots() -> tuple[str | None, str | None]:
    """The file and the folder of the system's trusted roots; certifi's file where it has neither (a slim container)."""
    paths = ssl.get_default_verify_paths()
    return (paths.cafile, paths.capath) if paths.cafile or paths.capath else (certifi.where(), None)


def tls_context(*, insecure: bool) -> ssl.SSLContext:
    """The TLS settings of all connections of an engine that uses Python's own TLS."""
    paths = ssl.get_default_verify_paths()
    rootless = not (paths.cafile or paths.capath)
    context = ssl.create_default_context(cafile=trusted_roots()[0] if rootless else None)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python 3.11.2 sets it: a cut would be an end (RFC 9112 §9.8)
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def framing_problem(fields: Iterable[tuple[str, str]]) -> str | None:
    """What is wrong with how a head frames its message (RFC 9112 §6.3), in a few words; None where nothing is."""
    framings = [(name, value) for name, value in fields if name in FRAMINGS]
    if len(framings) > 1:
        return "more than one framing"
    for name, value in framings:
        if name == "content-length" and not _LENGTH.fullmatch(value):
            return "a Content-Length that is no number"
        if name == "transfer-encoding" and value.lower() != "chunked":
            return "a Transfer-Encoding other than chunked"
    return None


def brief(text: str) -> str:
    """A message on one line of printable ASCII, at most 200 characters, whatever a server put into it."""
    return printable(text.encode("ascii", "backslashreplace").decode("ascii"))[:_MESSAGE_CHARACTERS]


def connect_fault(error: OSError, *, tls: bool) -> Fault:
    """Why there is no connection; `tls`: it may have failed in the handshake.

    EADDRNOTAVAIL is taken for a lack of ports: `shortage.plain` has made sure of that.
    """
    if isinstance(error, ssl.SSLError):
        verdict = getattr(error, "verify_message", None)
        return "tls", f"certificate refused: {verdict}" if verdict else f"handshake failed: {_reason(error)}"
    lacking = shortage(error)
    if lacking is not None:
        return "local", lacking
    if isinstance(error, TimeoutError):
        return "timeout", "connect timed out"
    if tls and (error.errno is None or isinstance(error, ConnectionResetError | BrokenPipeError)):
        return "tls", "handshake failed: connection closed"
    return "connect", error.strerror or (os.strerror(error.errno) if error.errno else str(error))


def broken_fault(error: BaseException, *, in_body: bool) -> Fault:
    """Why a connection that stood gave no whole answer; `in_body`: the head had come."""
    lacking = shortage(error) if not isinstance(error, ssl.SSLError) else None
    if lacking is not None:
        return "local", lacking
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    if number == errno.ETIMEDOUT:
        return "timeout", os.strerror(number)
    how = os.strerror(number) if number else "connection closed"
    return ("incomplete", f"{how} in the body") if in_body else ("reset", f"{how} before a whole head")


def late_fault(exchange: Exchange, *, stalled: bool) -> Fault:
    """Whose time is up: the body's, which stalled, or the whole exchange's."""
    if stalled:
        return "too_slow", "the body came too slowly"
    return "timeout", f"no whole answer within {exchange.time_s:.3g} s"


def proxy_fault(fault: Fault) -> Fault:
    """What went wrong before the proxy had passed anything on: its own fault, or this machine's."""
    error_class, message = fault
    return fault if error_class == "local" else ("proxy", f"the proxy: {message}")


def refusal(status: int) -> Fault:
    """A proxy's answer that says no. Its reason phrase is left out: it may repeat what we sent."""
    phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""
    return "proxy", f"the proxy refused: {status} {phrase}".rstrip()


def is_refusal(exchange: Exchange, status: int) -> bool:
    """Whether an answer to the request itself is the proxy's: 407 (RFC 9110 §15.5.8), outside of a tunnel."""
    return status == 407 and exchange.proxy is not None and exchange.url.startswith("http:")


def _reason(error: ssl.SSLError) -> str:
    return (getattr(error, "reason", None) or str(error)).lower().replace("_", " ")
