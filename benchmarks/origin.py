"""An origin server that is cheap enough never to be the limit: a child process that sends precomputed responses.

`python -m benchmarks.origin [--addresses 127.0.0.1,127.0.0.2] [--procs N] [--root DIR]` listens on a free port of
every address, prints one JSON line, `{"bases": ["http://127.0.0.1:PORT", …]}`, and serves until its standard input
ends. N processes share the ports by `SO_REUSEPORT`. It reads GET requests without a body, and no header field but
`Connection: close`.

| path | answer |
| --- | --- |
| `/page/N?size=BYTES` | `page(N, BYTES)`, an HTML page of that many bytes (8192) |
| `/wait/SECONDS/N?size=BYTES` | the same, so many seconds later |
| `/file/PATH` | a file below DIR, all of which is held in memory; a query is ignored |
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import mimetypes
import os
import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote_to_bytes

import uvloop

LOOPBACK = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
PAGE_BYTES = 8192

_PAGE = re.compile(rb"/(?:page|wait/(\d{1,4}(?:\.\d{1,6})?))/(\d{1,18})(?:\?size=(\d{1,8}))?")
_BACKLOG = 65_535


def page(number: int, size: int = PAGE_BYTES) -> bytes:
    """The page that `/page/NUMBER?size=SIZE` serves: `size` bytes, the same ones in every run."""
    opening = b"<!doctype html>\n<html><head><title>Page %d</title></head><body>\n" % number
    return (opening + _filler(size)[len(opening) :])[:size]


def served_files(root: Path) -> dict[str, Path]:
    """Every file below `root` by its path in a URL (`library/json.html`, percent-encoded); links are left out."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return {quote(os.fsencode(path.relative_to(root))): path for path in files}


@contextlib.contextmanager
def running_origin(
    addresses: Sequence[str] = LOOPBACK, *, procs: int = 1, root: Path | None = None
) -> Iterator[tuple[str, ...]]:
    """An origin as a child process, for as long as the block lasts; its base URLs, one an address.

    Raises RuntimeError where it does not start.
    """
    command = [sys.executable, "-P", __file__, "--addresses", ",".join(addresses), "--procs", str(procs)]
    command += ["--root", str(root)] if root is not None else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        announcement = child.stdout.readline()
        if not announcement:
            raise RuntimeError("The origin did not start; what it says of that stands above.")
        try:
            yield tuple(json.loads(announcement)["bases"])
        finally:
            child.stdin.close()


@functools.cache
def _words() -> list[str]:
    """A vocabulary, so that a page compresses about as well as text does."""
    chance = random.Random(1)
    return ["".join(chance.choices("etaoinshrdlucmfw", k=chance.randint(2, 9))) for _ in range(2000)]


@functools.lru_cache(maxsize=64)
def _filler(size: int) -> bytes:
    """What all pages of a size have in common."""
    chance, lines, length = random.Random(size), [], 0
    frequency = [1 / rank for rank in range(1, len(_words()) + 1)]
    while length < size:
        words = " ".join(chance.choices(_words(), frequency, k=chance.randint(20, 80)))
        lines.append(f'<p class="text"><a href="/page/{chance.randrange(10**6)}">link</a> {words}</p>\n')
        length += len(lines[-1])
    closing = "</body></html>\n"
    return ("".join(lines)[: max(size - len(closing), 0)] + closing).encode("ascii")


@functools.lru_cache(maxsize=64)
def _head(length: int, status: str = "200 OK", content_type: str = "text/html; charset=utf-8") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n".encode("ascii")


_NOT_FOUND = _head(0, "404 Not Found")
_NOT_ALLOWED = _head(0, "405 Method Not Allowed")


def _load(root: Path) -> dict[bytes, bytes]:
    """The response to each path. What is no key cannot be served, so no path leads out of `root`."""
    return {
        b"/file/" + unquote_to_bytes(path): _head(len(body), content_type=_media_type(file)) + body
        for path, file in served_files(root).items()
        for body in [file.read_bytes()]
    }


def _media_type(file: Path) -> str:
    guessed, coding = mimetypes.guess_type(file.name)
    if coding is not None:
        return f"application/{coding}"  # the file is what is asked for, not what is packed into it
    return guessed or "application/octet-stream"


def _answer(files: Mapping[bytes, bytes], head: bytes) -> tuple[float, bytes]:
    """The response to a request, and how many seconds to wait before it."""
    method, _, rest = head.partition(b" ")
    target = rest.partition(b" ")[0]
    if method != b"GET":
        return 0, _NOT_ALLOWED
    if match := _PAGE.fullmatch(target):
        size = int(match[3] or PAGE_BYTES)
        return float(match[1] or 0), _head(size) + page(int(match[2]), size)
    return 0, files.get(unquote_to_bytes(target.partition(b"?")[0]), _NOT_FOUND)


class _Connection(asyncio.Protocol):
    """One connection: requests in turn until the client has enough."""

    def __init__(self, files: Mapping[bytes, bytes]) -> None:
        self._files = files
        self._unread = b""
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the methods, not the type

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._serve()

    def _serve(self) -> None:
        while not self._waiting and b"\r\n\r\n" in self._unread:
            head, _, self._unread = self._unread.partition(b"\r\n\r\n")
            seconds, response = _answer(self._files, head)
            last = b"\r\nconnection: close" in head.lower()
            if seconds:
                self._waiting = True
                asyncio.get_running_loop().call_later(seconds, self._resume, response, last)
            else:
                self._send(response, last)

    def _resume(self, response: bytes, last: bool) -> None:
        self._waiting = False
        self._send(response, last)
        self._serve()

    def _send(self, response: bytes, last: bool) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)
            if last:
                self._transport.close()


def _listen(addresses: Sequence[str], procs: int) -> list[list[socket.socket]]:
    """For each process its own listening socket on every address, at the same port."""

    def server(address: str, port: int) -> socket.socket:
        return socket.create_server((address, port), backlog=_BACKLOG, reuse_port=True)

    first = [server(address, 0) for address in addresses]
    return [first, *([server(*sock.getsockname()) for sock in first] for _ in range(procs - 1))]


def _fork(procs: int) -> int:
    """Become `procs` processes, numbered from 0."""
    return next((number for number in range(1, procs) if os.fork() == 0), 0)


async def _serve_until_end(sockets: Sequence[socket.socket], files: Mapping[bytes, bytes]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait_for_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    for sock in sockets:
        await loop.create_server(lambda: _Connection(files), sock=sock, backlog=_BACKLOG)
    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, listen, announce, and only then fork: the processes share the memory, and no connection is refused."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.origin")
    parser.add_argument("--addresses", default=LOOPBACK[0], help="where to listen, separated by commas")
    parser.add_argument("--procs", type=int, default=1, help="processes that serve")
    parser.add_argument("--root", type=Path, help="the folder behind /file/")
    args = parser.parse_args(arguments)
    files = _load(args.root) if args.root is not None else {}
    sockets = _listen(args.addresses.split(","), args.procs)
    names = (sock.getsockname() for sock in sockets[0])
    print(json.dumps({"bases": [f"http://{address}:{port}" for address, port in names]}), flush=True)
    number = _fork(args.procs)
    for sock in (sock for others in sockets if others is not sockets[number] for sock in others):
        sock.close()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve_until_end(sockets[number], files))
    for _ in range(args.procs - 1 if number == 0 else 0):
        os.wait()


if __name__ == "__main__":
    main()
