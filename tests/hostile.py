"""A server for tests that wishes us harm: answers without end, bombs, lies, and doors to where nobody may go.

It listens on one free port of `DOOR`, which a list may reach, and of `INSIDE` and `::1`, which it may not.
`connections` counts those that came, by the address that they came in on; `requests` are their first lines and
fields, in order.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import socket
import socketserver
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import parse_qs, urlsplit

import brotli
from backports import zstd

DOOR, INSIDE = "127.0.0.2", "127.0.0.1"
ANSWERS: dict[str, Callable[[], Iterable[bytes]]] = {}
"""What comes of a path: pieces of the answer, and the end of the connection after the last one."""

_OK = b"HTTP/1.1 200 OK\r\n"
_ZEROS = bytes(65_000_000)
_PAGE = b"<p>" + b"a page, " * 500


def _serves(path: str, *pieces: bytes) -> None:
    ANSWERS[path] = lambda: pieces


def _floods(path: str, start: bytes, *again: bytes) -> None:
    block = b"".join(again)
    many = block * (65_536 // len(block) + 1)

    def pieces() -> Iterator[bytes]:
        yield start
        time.sleep(0.1)  # one stack says nothing of a head that comes in one piece with what is wrong
        yield from itertools.repeat(many)

    ANSWERS[path] = pieces


def _drips(path: str, start: bytes, again: bytes) -> None:
    def pieces() -> Iterator[bytes]:
        yield start
        while True:
            time.sleep(0.02)  # what this server is there for
            yield again

    ANSWERS[path] = pieces


def whole(body: bytes, *fields: bytes) -> bytes:
    """An answer whose length is right."""
    return b"\r\n".join([_OK + b"Content-Length: %d" % len(body), *fields, b"", b""]) + body


def _layers(data: bytes, count: int) -> bytes:
    for _ in range(count):
        data = gzip.compress(data, mtime=0)
    return data


def _coded(path: str, body: bytes, coding: bytes) -> None:
    _serves(path, whole(body, b"Content-Encoding: " + coding))


_floods("/1xx", b"", b"HTTP/1.1 100 Continue\r\n\r\n")
_floods("/1xx-fields", b"", b"HTTP/1.1 103 Early Hints\r\n", b"Link: </a.css>; rel=preload\r\n" * 50, b"\r\n")
_floods("/status-line", b"HTTP/1.1 200 ", b"a")
_floods("/fields", _OK, b"X-Field: value\r\n")
_floods("/field", _OK + b"X-Field: ", b"a")
_floods("/body", _OK + b"\r\n", b"a")
_floods("/chunks", _OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n")
_floods("/chunk-extension", _OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a")
_floods("/trailers", _OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"X-Field: value\r\n")
_drips("/drip-1xx", b"", b"HTTP/1.1 100 Continue\r\n\r\n")
_drips("/drip-head", _OK + b"X-Field: ", b"a")
_drips("/drip-body", _OK + b"Content-Length: 1000000\r\n\r\n", b"a")
_coded("/bomb/gzip", gzip.compress(_ZEROS), b"gzip")
_coded("/bomb/deflate", zlib.compress(_ZEROS), b"deflate")
_coded("/bomb/br", brotli.compress(_ZEROS, quality=9), b"br")
_coded("/bomb/zstd", zstd.compress(_ZEROS), b"zstd")
_coded("/bomb/gzip-gzip", _layers(_ZEROS, 2), b"gzip, gzip")
_coded("/gzip-2", _layers(_PAGE, 2), b"gzip, gzip")
_coded("/gzip-5", _layers(_PAGE, 5), b"gzip, gzip, gzip, gzip, gzip")
_coded("/gzip-6", _layers(_PAGE, 6), b", ".join([b"gzip"] * 6))
_coded("/gzip-cut", gzip.compress(_PAGE)[:-9], b"gzip")
_serves("/nul-body", whole(bytes(1000)))
_serves("/nul-field", whole(b"ok", b"X-Nul: a\0b"))
_serves("/bare-cr", whole(b"ok", b"X-Field: a\rSet-Cookie: b=c"))
_serves("/noindex", whole(b"ok", b"X-Robots-Tag: noindex", b"X-Robots-Tag: otherbot: none, unavailable_after: now"))
_serves("/blanks", whole(b"ok", b"X-Field:" + b" " * 60_000 + b"x"))
_serves("/blanks-cr", whole(b"ok", b"X-Field:" + b" " * 60_000 + b"\rx"))
_serves("/no-utf-8", whole(b"ok", b"X-Field: \xff\xfe\x80", b"Content-Type: text/\xff; charset=\xfe", b"ETag: \xff"))
_serves("/no-utf-8-reason", b"HTTP/1.1 200 \xff\xfe\x80\r\nContent-Length: 2\r\n\r\nok")
_serves("/escapes", whole(b"ok", b"Content-Type: \x1b[31mred", b"ETag: =cmd|'/C calc'!A0"))
_serves("/busy", b"HTTP/1.1 503 Busy\r\nRetry-After: 6\r\nContent-Length: 0\r\n\r\n")  # longer than a TTL of 0 lasts


class Hostile:
    """The running server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: Counter[str] = Counter()
        self.requests: list[tuple[str, dict[str, str]]] = []

    def url(self, path: str, host: str = DOOR) -> str:
        """The URL of a path; `host` in any spelling."""
        return f"http://{host}:{self.port}{path}"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        site: Hostile = self.server.site  # type: ignore[attr-defined]
        site.connections[self.connection.getsockname()[0]] += 1
        with contextlib.suppress(OSError):
            line = self.rfile.readline(65_536)
            fields = dict(iter(self._field, None))
            if line:
                site.requests.append((line.decode("latin-1").rstrip("\r\n"), fields))
                for piece in _answer(line.split(b" ")[1].decode("latin-1"), fields):
                    self.wfile.write(piece)

    def _field(self) -> tuple[str, str] | None:
        name, colon, value = self.rfile.readline(65_536).decode("latin-1").partition(":")
        return (name.lower(), value.strip()) if colon else None


def _answer(target: str, fields: dict[str, str]) -> Iterable[bytes]:
    """`/go?to=` leads there, byte for byte as Latin-1; `/echo` says as JSON what came; the rest stands in `ANSWERS`."""
    parts = urlsplit(target)
    if parts.path == "/go":
        (there,) = parse_qs(parts.query, encoding="latin-1")["to"]
        return [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % there.encode("latin-1")]
    if parts.path == "/echo":
        return [whole(json.dumps({"target": target, "headers": fields}).encode())]
    return ANSWERS[parts.path]() if parts.path in ANSWERS else [b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n"]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int, site: Hostile | None = None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)
        self.site = site or Hostile(self.server_address[1])


@contextlib.contextmanager
def running_hostile() -> Iterator[Hostile]:
    """The server for a block, on the same free port of each address."""
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(_servers())
        for server in servers:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        yield servers[0].site


@contextlib.contextmanager
def _servers() -> Iterator[list[_Server]]:
    others = [INSIDE, "::1"] if socket.has_ipv6 else [INSIDE]
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(_Server(DOOR, 0))
            try:
                rest = [stack.enter_context(_Server(address, first.site.port, first.site)) for address in others]
            except OSError:  # that number is somebody's on another address
                continue
            yield [first, *rest]
            return
