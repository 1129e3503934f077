"""What a flow asks of the outside world, and what it is told back: frozen, typed, free of I/O.

A flow yields an action (`Resolve`, `Exchange`, `NeedRobots`, `Wait`) and is sent an event (`Addresses`, `Reply`,
`Rules`, `Detour`, `Failure`, or None after a wait). Engines and the resolver turn one into the other and never raise
for what a server did.
"""

from __future__ import annotations

import msgspec

from crawler.body import Body
from crawler.proxy import Proxy
from crawler.records import Detour, ErrorClass, Headers
from crawler.robots import Rules

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods whose request may be sent again when nobody knows whether it arrived (RFC 9110 §9.2.2)."""


class Resolve(msgspec.Struct, frozen=True):
    """Look up the addresses of `host` (a name or an IP literal, as the normalised URL has it)."""

    host: str


class Addresses(msgspec.Struct, frozen=True):
    """The addresses of a host, in the order in which to try them.

    `dns_ms` is what the lookup took, whoever it was made for; None where none was needed.
    """

    addresses: tuple[str, ...]
    dns_ms: float | None = None


class NeedRobots(msgspec.Struct, frozen=True):
    """What does the robots.txt of `origin` (`scheme://host[:port]`) say?

    Answered with its `Rules`, or a `Failure`; or with a `Detour`, which takes the flow's entry to another worker.
    """

    origin: str
    host: str
    trusted: bool = True


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do for `seconds`; holds neither a host slot nor a place in the pool."""

    seconds: float


class Exchange(msgspec.Struct, frozen=True):
    """Send one request and push the answer's bytes into `body`; follow nothing, retry nothing.

    `url` is normalised ASCII without credentials or fragment. `headers` is every field to send but Host,
    Content-Length and Connection, which the engine adds. `addresses` are checked: connect to these and no other.
    With a `proxy` they are its own, and the exchange goes through it: in a tunnel for https (CONNECT, RFC 9110 §9.3.6),
    with the absolute form of the target for http (RFC 9112 §3.2.2).
    `time_s` and `connect_s` bound the exchange and its connection, the tunnel included.
    """

    method: str
    url: str
    host: str
    headers: Headers
    content: bytes
    addresses: tuple[str, ...]
    time_s: float
    connect_s: float
    body: Body
    proxy: Proxy | None = None


class Timings(msgspec.Struct, frozen=True):
    """Milliseconds of each phase; None is what this engine cannot know, or what did not happen (reuse)."""

    connect_ms: float | None = None
    tls_ms: float | None = None
    ttfb_ms: float | None = None
    total_ms: float | None = None


NO_TIMINGS = Timings()


class Reply(msgspec.Struct, frozen=True):
    """The whole answer came, or all of it that `Exchange.body` wanted; the bytes are in the body.

    `ip` is the address that was connected; None behind a proxy, where nobody here knows it.
    """

    ip: str | None
    timings: Timings


class Failure(msgspec.Struct, frozen=True):
    """No answer, or not the whole one; what came of it is in the body.

    `sent` is False only where it is certain that no byte of the request left (then even a POST may go again); `final`
    where asking again would bring the same. `tries` are those that it stands for. `dns_ms` is as in
    `Addresses`.
    """

    error_class: ErrorClass
    message: str
    sent: bool = True
    ip: str | None = None
    timings: Timings = NO_TIMINGS
    final: bool = False
    tries: int = 1
    dns_ms: float | None = None


Action = Resolve | Exchange | NeedRobots | Wait
Event = Addresses | Reply | Rules | Detour | Failure | None
