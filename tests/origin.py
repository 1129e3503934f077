"""A real origin server for tests: a child process that replays exact bytes over raw sockets.

`python origin.py [--addresses 127.0.0.1,127.0.0.2] [--cert FILE --key FILE]` listens on one free port of
every address (and, given a certificate, on a second one with TLS), prints one JSON line with `port` and
`tls_port`, and serves until its standard input ends. The address `lo` is all of 127.0.0.0/8. Nothing in it
waits unless the path says so.

| path | answer |
| --- | --- |
| `/status/N` | status N, a short body where N allows one |
| `/bytes/N` | N bytes, `body_bytes(N)`; `?type=` sets the media type |
| `/page/N` | a small HTML page titled `Page N` |
| `/redirect/K` | K hops by 302, then 200 |
| `/redirect-to?url=&status=` | one redirect to `url` (302 unless said otherwise) |
| `/loop` | redirects to itself |
| `/cookie-wall` | sets a cookie and redirects to itself until it comes back |
| `/chunked` | `CHUNKS` as chunks, with an extension and a trailer |
| `/gzip` `/gzip-truncated` | `page(1)` in gzip; the same cut in half under a right Content-Length |
| `/slow-head?s=` `/slow-body?s=` | s seconds before the head; between the halves of the body |
| `/drip?s=` `/drip-header?s=` | a byte of body, of head, every s seconds (1), without end |
| `/hold/KEY` | nothing until `/release/KEY` is requested |
| `/unasked/KEY` | a page, and one more when `/release/KEY` is requested |
| `/close-before` `/reset` | the connection closed, reset, after the request |
| `/close-in-head` `/close-in-field` | closed after a whole header line, inside one |
| `/close-in-body` `/wrong-length` | 50 bytes and 10 bytes of 100 announced, then closed |
| `/close-in-chunk` `/close-in-trailer` | closed inside a chunk, inside a trailer |
| `/reset-in-body` `/abort-in-body` | reset, or closed without TLS's goodbye, after a part that only a close may end |
| `/no-length` | a body that the close ends |
| `/huge-headers?n=` `/many-headers?n=` | one field of n bytes (100,000); n fields (150) |
| `/heavy-head` | 8 fields of 60,000 bytes each |
| `/odd-reason` `/no-reason` | a reason phrase that is not ASCII; none |
| `/flaky/KEY/N` `/flaky-reset/KEY/N` | N times 503, reset; then 200 |
| `/retry-after/KEY` `/retry-after-date/KEY?s=` | 429 with `Retry-After: 0`, the date in s seconds, once; then 200 |
| `/edition/KEY?etag=&since=` | an edition with these validators, N for its number; 304 where one comes back; 0 is 404 |
| `/_edition/KEY?is=` | sets its number (1) |
| `/echo` | JSON: method, target, headers, body, number of the connection, address it came in on |
| `/head-only` | Content-Length 1000 to HEAD, 405 to all else |
| `/204` `/304` | no body by definition |
| `/early-hints` | 100, 103 and 103, then 200 |
| `/http10` | HTTP/1.0, ended by the close |
| `/switch` | 101 that nobody asked for |
| `/garbage` | not HTTP |
| `/two-lengths` `/two-different-lengths` | Content-Length twice: the same, another |
| `/length-and-chunked` `/negative-length` | two framings at once; one that cannot be |
| `/nul-header` `/colonless-header` `/spaced-header` `/folded-header` `/latin-header` | odd field lines |
| `/cr-in-head` `/status-zero` `/two-locations` | a blank line with two CR; status 000; two Location fields |
| `/odd-coding` `/two-codings` `/spaced-coding` | Transfer-Encoding: more than chunked, twice, with a space behind |
| `/empty-chunked` | no chunk, but a trailer |
| `/bad-chunk?s=` | a chunk, s seconds later a chunk size that is none |
| `/extra-bytes` `/204-with-body` | bytes after the end |
| `/text?is=&then=` | `is` as plain text, and as many bytes of filling |
| `/robots.txt` | 404, or what its address was told by `/_robots/ADDRESS?as=`: the answer of another path |
| `/_log/ADDRESS` | JSON: the time and the target of each request to an address |
| `/_hits` `/_stats` | JSON: requests by target; requests, in flight, most in flight, connections made and open |
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import email.utils
import gzip
import http.client
import itertools
import json
import resource
import socket
import ssl
import struct
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

CHUNKS = (b"first, ", b"second, ", b"x" * 5000, b" last")
Field = tuple[str, str]
_BACKLOG = 4096


def body_bytes(n: int) -> bytes:
    """The n bytes that `/bytes/n` serves: the same for each n, and no two near neighbours alike."""
    pattern = b"".join(i.to_bytes(4, "big") for i in range(1024))
    return (pattern * (n // len(pattern) + 1))[:n]


def page(n: int) -> bytes:
    """The page that `/page/n` serves."""
    text = " ".join(f"word{i}" for i in range(n % 50 + 20))
    return f"<!doctype html><html><head><title>Page {n}</title></head><body><p>{text}</p></body></html>".encode()


def gzipped(data: bytes) -> bytes:
    """The same gzip stream at each call."""
    return gzip.compress(data, mtime=0)


def message(status: int, body: bytes = b"", *fields: Field, reason: str | None = None) -> bytes:
    """One whole HTTP/1.1 message whose Content-Length is right."""
    if reason is None:
        reason = http.client.responses.get(status, "Whatever")
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}", *(f"{n}: {v}" for n, v in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def html(body: bytes) -> bytes:
    """A 200 with an HTML body."""
    return message(200, body, ("Content-Type", "text/html; charset=utf-8"))


class HangUpError(Exception):
    """The handler is done with this connection, or the client is."""


@dataclasses.dataclass
class Site:
    """What the origin remembers over its life."""

    hits: Counter[str] = dataclasses.field(default_factory=Counter)
    seen: Counter[str] = dataclasses.field(default_factory=Counter)
    robots: dict[str, str] = dataclasses.field(default_factory=dict)
    editions: defaultdict[str, int] = dataclasses.field(default_factory=lambda: defaultdict(lambda: 1))
    log: defaultdict[str, list[tuple[float, str]]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    gates: defaultdict[str, asyncio.Event] = dataclasses.field(default_factory=lambda: defaultdict(asyncio.Event))
    speakers: dict[str, asyncio.StreamWriter] = dataclasses.field(default_factory=dict)
    requests: int = 0
    connections: int = 0
    open: int = 0
    in_flight: int = 0
    most_in_flight: int = 0


@dataclasses.dataclass
class Call:
    """One request, and the means to answer it byte by byte."""

    site: Site
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int
    method: str
    target: str
    headers: list[Field]
    body: bytes

    @property
    def words(self) -> list[str]:
        """The segments of the path."""
        return urlsplit(self.target).path.strip("/").split("/")

    @property
    def address(self) -> str:
        """The address that it came in on."""
        return str(self.writer.get_extra_info("sockname")[0])

    def query(self, name: str, default: str) -> str:
        """The first value of a query parameter."""
        return parse_qs(urlsplit(self.target).query).get(name, [default])[0]

    def header(self, name: str) -> str:
        """The first value of a request header field, or nothing."""
        return next((v for n, v in self.headers if n.lower() == name), "")

    async def send(self, data: bytes) -> None:
        """Write these bytes and nothing else."""
        self.writer.write(data)
        await self.writer.drain()

    async def wait(self, what: Awaitable[object]) -> None:
        """Wait for something, but no longer than the client stays."""
        waiting = asyncio.ensure_future(what)
        gone = asyncio.ensure_future(self.reader.read(1))
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise HangUpError
            waiting.result()
        finally:
            for future in (waiting, gone):
                future.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await gone

    async def pause(self) -> None:
        """Wait `?s=` seconds (1)."""
        await self.wait(asyncio.sleep(float(self.query("s", "1"))))

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise HangUpError


Handler = Callable[[Call], Awaitable[None]]


def replay(data: bytes, *, close: bool = False) -> Handler:
    """A handler that sends always the same bytes."""

    async def handler(call: Call) -> None:
        await call.send(data)
        if close:
            raise HangUpError

    return handler


async def _status(call: Call) -> None:
    status = int(call.words[1])
    await call.send(_BODILESS.get(status) or message(status, f"status {status}".encode()))


async def _bytes(call: Call) -> None:
    await call.send(message(200, body_bytes(int(call.words[1])), ("Content-Type", call.query("type", "image/png"))))


async def _page(call: Call) -> None:
    await call.send(html(page(int(call.words[1]))))


async def _text(call: Call) -> None:
    await call.send(message(200, call.query("is", "").encode() + b"#" * int(call.query("then", "0"))))


async def _robots(call: Call) -> None:
    call.target = call.site.robots.get(call.address, "/nowhere")
    await _route(call)


async def _set_robots(call: Call) -> None:
    call.site.robots[call.words[1]] = call.query("as", "/nowhere")
    await call.send(message(200))


async def _edition(call: Call) -> None:
    number = call.site.editions[call.words[1]]
    etag, since = call.query("etag", "").replace("N", str(number)), call.query("since", "")
    given = [(name, value) for name, value in (("ETag", etag), ("Last-Modified", since)) if value]
    asked = call.header("if-none-match"), call.header("if-modified-since")
    if number == 0:
        await call.send(message(404, b"gone"))
    elif (etag and asked[0] == etag) or (since and asked[1] == since and not asked[0]):
        await call.send("\r\n".join(["HTTP/1.1 304 Not Modified", *(f"{n}: {v}" for n, v in given), "", ""]).encode())
    else:
        body = f"{call.words[1]}, edition {number}".encode()
        await call.send(message(200, body, ("Content-Type", "text/plain; charset=utf-8"), *given))


async def _set_edition(call: Call) -> None:
    call.site.editions[call.words[1]] = int(call.query("is", "1"))
    await call.send(message(200))


async def _log(call: Call) -> None:
    await call.send(message(200, json.dumps(call.site.log[call.words[1]]).encode()))


async def _redirect(call: Call) -> None:
    left = int(call.words[1])
    await call.send(message(302, b"", ("Location", f"/redirect/{left - 1}")) if left else html(page(0)))


async def _redirect_to(call: Call) -> None:
    await call.send(message(int(call.query("status", "302")), b"moved", ("Location", call.query("url", "/"))))


async def _cookie_wall(call: Call) -> None:
    if "seen=yes" in call.header("cookie"):
        await call.send(html(page(0)))
    else:
        await call.send(message(302, b"", ("Location", "/cookie-wall"), ("Set-Cookie", "seen=yes; Path=/")))


async def _slow_head(call: Call) -> None:
    await call.pause()
    await call.send(html(page(1)))


async def _slow_body(call: Call) -> None:
    data = html(page(1))
    await call.send(data[:-50])
    await call.pause()
    await call.send(data[-50:])


async def _drip(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    await call.wait(_drops(call))


async def _drip_header(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    await call.wait(_drops(call))


async def _drops(call: Call) -> None:
    while True:
        await call.send(b".")
        await asyncio.sleep(float(call.query("s", "1")))


async def _hold(call: Call) -> None:
    await call.wait(call.site.gates[call.words[1]].wait())
    await call.send(html(page(2)))


async def _unasked(call: Call) -> None:
    """Answers, and once it is released answers again."""
    await call.send(html(page(2)))
    call.site.speakers[call.words[1]] = call.writer


async def _release(call: Call) -> None:
    call.site.gates[call.words[1]].set()
    if (writer := call.site.speakers.get(call.words[1])) is not None:
        writer.write(html(b"nobody asked for this"))
        await writer.drain()
    await call.send(message(200))


async def _reset(call: Call) -> None:
    call.reset()


async def _reset_in_body(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
    await call.pause()
    call.reset()


async def _abort_in_body(call: Call) -> None:
    await call.send(_OK + b"\r\nhalf of it")
    call.writer.transport.abort()


async def _bad_chunk(call: Call) -> None:
    await call.send(_OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n")
    await call.pause()
    await call.send(b"xyz\r\nnot a chunk\r\n0\r\n\r\n")


async def _huge_headers(call: Call) -> None:
    await call.send(message(200, b"ok", ("X-Huge", "h" * int(call.query("n", "100000")))))


async def _many_headers(call: Call) -> None:
    await call.send(message(200, b"ok", *((f"X-{i}", "v") for i in range(int(call.query("n", "150")) - 1))))


def _fails_first(call: Call) -> bool:
    call.site.seen[call.target] += 1
    return call.site.seen[call.target] <= int(call.words[2])


async def _flaky(call: Call) -> None:
    await call.send(message(503, b"not yet") if _fails_first(call) else html(page(3)))


async def _flaky_reset(call: Call) -> None:
    if _fails_first(call):
        call.reset()
    await call.send(html(page(3)))


async def _retry_after(call: Call) -> None:
    await _later(call, "0")


async def _retry_after_date(call: Call) -> None:
    now = time.time()
    dates = (email.utils.formatdate(now + s, usegmt=True) for s in (float(call.query("s", "1")), 0.0))
    await _later(call, *dates)


async def _later(call: Call, when: str, date: str = "") -> None:
    call.site.seen[call.target] += 1
    first = call.site.seen[call.target] == 1
    fields = (("Retry-After", when), *((("Date", date),) if date else ()))
    await call.send(message(429, b"later", *fields) if first else html(page(3)))


async def _echo(call: Call) -> None:
    seen = {
        "method": call.method,
        "target": call.target,
        "headers": call.headers,
        "body": call.body.decode("latin-1"),
        "connection": call.connection,
        "address": call.address,
    }
    await call.send(message(200, json.dumps(seen).encode(), ("Content-Type", "application/json")))


async def _head_only(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" if call.method == "HEAD" else message(405))


async def _hits(call: Call) -> None:
    await call.send(message(200, json.dumps(call.site.hits).encode(), ("Content-Type", "application/json")))


async def _stats(call: Call) -> None:
    names = ("requests", "connections", "open", "in_flight", "most_in_flight")
    stats = {name: getattr(call.site, name) for name in names}
    await call.send(message(200, json.dumps(stats).encode(), ("Content-Type", "application/json")))


def _chunked() -> bytes:
    chunks = b"".join(b"%x;note=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in CHUNKS)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX-Trailer: t\r\n\r\n"


_OK = b"HTTP/1.1 200 OK\r\n"
_GZIP = gzipped(page(1))
_BODILESS = {n: f"HTTP/1.1 {n} Nothing\r\n\r\n".encode() for n in (204, 304)}
_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n"
_UNSEEN = frozenset({"_hits", "_stats", "_log", "_robots", "_edition", "release"})

ROUTES: dict[str, Handler] = {
    "status": _status,
    "bytes": _bytes,
    "page": _page,
    "text": _text,
    "robots.txt": _robots,
    "edition": _edition,
    "redirect": _redirect,
    "redirect-to": _redirect_to,
    "loop": replay(message(302, b"", ("Location", "/loop"))),
    "cookie-wall": _cookie_wall,
    "chunked": replay(_chunked()),
    "gzip": replay(message(200, _GZIP, ("Content-Encoding", "gzip"), ("Content-Type", "text/html"))),
    "gzip-truncated": replay(message(200, _GZIP[: len(_GZIP) // 2], ("Content-Encoding", "gzip"))),
    "slow-head": _slow_head,
    "slow-body": _slow_body,
    "drip": _drip,
    "drip-header": _drip_header,
    "hold": _hold,
    "release": _release,
    "close-before": replay(b"", close=True),
    "reset": _reset,
    "close-in-head": replay(_OK + b"Content-Type: text/html\r\n", close=True),
    "close-in-field": replay(_OK + b"Content-Ty", close=True),
    "close-in-body": replay(_OK + b"Content-Length: 100\r\n\r\n" + b"b" * 50, close=True),
    "wrong-length": replay(_OK + b"Content-Length: 100\r\n\r\n" + b"b" * 10, close=True),
    "close-in-chunk": replay(_OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n64\r\npart", close=True),
    "reset-in-body": _reset_in_body,
    "abort-in-body": _abort_in_body,
    "no-length": replay(_OK + b"Content-Type: text/html\r\n\r\n" + page(4), close=True),
    "huge-headers": _huge_headers,
    "many-headers": _many_headers,
    "heavy-head": replay(message(200, b"ok", *((f"X-{n}", "h" * 60_000) for n in range(8)))),
    "odd-reason": replay(message(200, b"ok", reason="Très bien")),
    "no-reason": replay(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    "flaky": _flaky,
    "flaky-reset": _flaky_reset,
    "retry-after": _retry_after,
    "retry-after-date": _retry_after_date,
    "echo": _echo,
    "head-only": _head_only,
    "204": replay(_BODILESS[204]),
    "304": replay(_BODILESS[304]),
    "early-hints": replay(b"HTTP/1.1 100 Continue\r\n\r\n" + _HINTS * 2 + html(page(5))),
    "http10": replay(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page(6), close=True),
    "switch": replay(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", close=True),
    "garbage": replay(b"SSH-2.0-OpenSSH_9.6\r\nnot HTTP at all\r\n", close=True),
    "two-lengths": replay(_OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    "two-different-lengths": replay(_OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", close=True),
    "length-and-chunked": replay(_OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "negative-length": replay(_OK + b"Content-Length: -2\r\n\r\nok", close=True),
    "nul-header": replay(_OK + b"X-Nul: a\0b\r\nContent-Length: 2\r\n\r\nok"),
    "colonless-header": replay(_OK + b"no colon here\r\nContent-Length: 2\r\n\r\nok"),
    "spaced-header": replay(_OK + b"X-Spaced : v\r\nContent-Length: 2\r\n\r\nok"),
    "folded-header": replay(_OK + b"X-Folded: one\r\n  two\r\nContent-Length: 2\r\n\r\nok"),
    "latin-header": replay(_OK + b"X-Latin: caf\xe9 \r\nContent-Length: 2\r\n\r\nok"),
    "bad-chunk": _bad_chunk,
    "extra-bytes": replay(_OK + b"Content-Length: 2\r\n\r\nok and more than that", close=True),
    "204-with-body": replay(b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", close=True),
    "cr-in-head": replay(_OK + b"Content-Length: 2\r\n\r\r\nok", close=True),
    "odd-coding": replay(_OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "two-codings": replay(_OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n2\r\nok\r\n0\r\n\r\n"),
    "two-locations": replay(_OK + b"Location: /a\r\nLocation: /b\r\nContent-Length: 2\r\n\r\nok"),
    "status-zero": replay(b"HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\nok"),
    "spaced-coding": replay(_OK + b"Transfer-Encoding: chunked \r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    "empty-chunked": replay(_OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 0\r\n\r\n"),
    "close-in-trailer": replay(_OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\nX-Su", close=True),
    "unasked": _unasked,
    "_robots": _set_robots,
    "_edition": _set_edition,
    "_log": _log,
    "_hits": _hits,
    "_stats": _stats,
}


async def _read_call(site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> Call:
    """The next request of a connection; raises HangUpError where there is none."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        raise HangUpError from None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    call = Call(site, reader, writer, number, method, target, headers, b"")
    call.body = await reader.readexactly(int(call.header("content-length") or 0))
    return call


async def _route(call: Call) -> None:
    await ROUTES.get(call.words[0], replay(message(404, b"no such path")))(call)


async def _answer(call: Call) -> None:
    site, seen = call.site, call.words[0] not in _UNSEEN
    site.hits[call.target] += seen
    site.requests += seen
    if seen:
        site.log[call.address].append((time.monotonic(), call.target))
    site.in_flight += seen
    site.most_in_flight = max(site.most_in_flight, site.in_flight)
    try:
        await _route(call)
    finally:
        site.in_flight -= seen


async def _serve(
    site: Site, numbers: itertools.count[int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection: requests in turn until either side has enough."""
    number = next(numbers)
    site.connections += 1
    site.open += 1
    try:
        closing = False
        while not closing:
            call = await _read_call(site, reader, writer, number)
            await _answer(call)
            closing = call.header("connection").lower() == "close"
    except (HangUpError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass  # cancelled: the origin ends
    finally:
        site.open -= 1
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()


def _socket(address: str, port: int) -> socket.socket:
    """A socket that listens on an address."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address == "lo":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind(("" if address == "lo" else address, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _sockets(addresses: list[str]) -> list[socket.socket]:
    """Listening sockets on the same free port of every address."""
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            try:
                sockets = [stack.enter_context(_socket(addresses[0], 0))]
                port = sockets[0].getsockname()[1]
                sockets += [stack.enter_context(_socket(address, port)) for address in addresses[1:]]
            except OSError:
                continue  # the port was taken on one of the others
            stack.pop_all()
            return sockets
    raise OSError("no port is free on all of these addresses")


async def _listen(addresses: list[str], site: Site, numbers: itertools.count[int], tls: ssl.SSLContext | None) -> int:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(site, numbers, reader, writer)

    sockets = _sockets(addresses)
    for sock in sockets:
        await asyncio.start_server(serve, sock=sock, ssl=tls, limit=2**22, backlog=_BACKLOG)
    return int(sockets[0].getsockname()[1])


def _raise_limit() -> None:
    """As many connections as the hard limit of descriptors grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(addresses: list[str], cert: str | None, key: str | None) -> None:
    site, numbers = Site(), itertools.count(1)
    ports = {"port": await _listen(addresses, site, numbers, None)}
    if cert is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert, key)
        ports["tls_port"] = await _listen(addresses, site, numbers, tls)
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--addresses", default="127.0.0.1")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    options = parser.parse_args()
    _raise_limit()
    asyncio.run(_run(options.addresses.split(","), options.cert, options.key))
