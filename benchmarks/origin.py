"""An origin server that is cheap enough never to be the limit: a child process that sends precomputed responses.

`python -m benchmarks.origin [--addresses 127.0.0.1,127.0.0.2 | --everywhere] [--procs N] [--root DIR]
[--tls PEM [--http2]]` listens on a free port of every address, prints one JSON line,
`{"bases": ["http://127.0.0.1:PORT", …]}`, and serves until its standard input ends. N processes share the ports by
`SO_REUSEPORT`. It reads GET requests without a body, and no header field but `Connection: close`; `site.py` says what
it answers. `--everywhere` is every address of 127.0.0.0/8 at one port, and nothing that comes from another machine.
PEM holds a private key and its certificates; no TLS session is resumed, so each connection is a whole handshake. With
`--http2` it speaks that over TLS, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.site import Answer, Site

LOOPBACK = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
EVERYWHERE = ("0.0.0.0",)

_BACKLOG = 65_535


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """A running origin: its base URLs, one an address, and the process that it began as."""

    bases: tuple[str, ...]
    pid: int

    @property
    def port(self) -> int:
        """The port of the first base."""
        return int(self.bases[0].rpartition(":")[2])


@contextlib.contextmanager
def started_origin(
    addresses: Sequence[str] = LOOPBACK,
    *,
    procs: int = 1,
    root: Path | None = None,
    tls: Path | None = None,
    http2: bool = False,
) -> Iterator[Origin]:
    """An origin as a child process, for as long as the block lasts.

    Raises RuntimeError where it does not start.
    """
    command = [sys.executable, "-m", "benchmarks.origin", "--procs", str(procs)]
    command += ["--everywhere"] if addresses == EVERYWHERE else ["--addresses", ",".join(addresses)]
    command += ["--root", str(root.absolute())] if root is not None else []
    command += ["--tls", str(tls.absolute())] if tls is not None else []
    command += ["--http2"] if http2 else []
    checkout = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=checkout) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        announcement = child.stdout.readline()
        if not announcement:
            raise RuntimeError("The origin did not start; what it says of that stands above.")
        try:
            yield Origin(tuple(json.loads(announcement)["bases"]), child.pid)
        finally:
            child.stdin.close()


@contextlib.contextmanager
def running_origin(
    addresses: Sequence[str] = LOOPBACK, *, procs: int = 1, root: Path | None = None
) -> Iterator[tuple[str, ...]]:
    """The base URLs of an origin that runs for as long as the block lasts; raises as `started_origin`."""
    with started_origin(addresses, procs=procs, root=root) as origin:
        yield origin.bases


class _Connection(asyncio.Protocol):
    """One connection: requests in turn until the client has enough."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._unread = b""
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the methods, not the type
        if not str(transport.get_extra_info("peername")[0]).startswith("127."):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._serve()

    def _serve(self) -> None:
        while not self._waiting and b"\r\n\r\n" in self._unread:
            head, _, self._unread = self._unread.partition(b"\r\n\r\n")
            answer = self._site.answer(head)
            if answer.seconds:
                self._waiting = True
                asyncio.get_running_loop().call_later(answer.seconds, self._resume, answer)
            else:
                self._send(answer)

    def _resume(self, answer: Answer) -> None:
        self._waiting = False
        self._send(answer)
        self._serve()

    def _send(self, answer: Answer) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer.payload)
            if answer.last:
                self._transport.close()


def _listen(addresses: Sequence[str], procs: int) -> list[list[socket.socket]]:
    """For each process its own listening socket on every address, at the same port."""
    first = [_server(address, 0) for address in addresses]
    return [first, *([_server(*sock.getsockname()) for sock in first] for _ in range(procs - 1))]


def _server(address: str, port: int) -> socket.socket:
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if (address,) == EVERYWHERE:  # no other machine's packets come from this device
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        sock.bind((address, port))
        sock.listen(_BACKLOG)
        stack.pop_all()
    return sock


def _context(pem: Path | None, *, http2: bool) -> ssl.SSLContext | None:
    if pem is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.load_cert_chain(pem)
    if http2:
        context.set_alpn_protocols(["h2"])
    return context


def _protocol(site: Site, *, http2: bool) -> Callable[[], asyncio.Protocol]:
    if not http2:
        return lambda: _Connection(site)
    from benchmarks.http2origin import Http2Connection

    return lambda: Http2Connection(site)


def _fork(procs: int) -> int:
    """Become `procs` processes, numbered from 0."""
    return next((number for number in range(1, procs) if os.fork() == 0), 0)


async def _serve_until_end(
    sockets: Sequence[socket.socket], protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None
) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait_for_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    for sock in sockets:
        await loop.create_server(protocol, sock=sock, backlog=_BACKLOG, ssl=context)
    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, listen, announce, and only then fork: the processes share the memory, and no connection is refused."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.origin")
    parser.add_argument("--addresses", default=LOOPBACK[0], help="where to listen, separated by commas")
    parser.add_argument("--everywhere", action="store_true", help="listen on all of 127.0.0.0/8 instead")
    parser.add_argument("--procs", type=int, default=1, help="processes that serve")
    parser.add_argument("--root", type=Path, help="the folder behind /file/")
    parser.add_argument("--tls", type=Path, metavar="PEM", help="speak TLS, with this key and certificate")
    parser.add_argument("--http2", action="store_true", help="speak HTTP/2 and nothing else; needs --tls")
    args = parser.parse_args(arguments)
    context, protocol = _context(args.tls, http2=args.http2), _protocol(Site(args.root), http2=args.http2)
    sockets = _listen(EVERYWHERE if args.everywhere else args.addresses.split(","), args.procs)
    print(json.dumps({"bases": [_base(sock, secure=context is not None) for sock in sockets[0]]}), flush=True)
    number = _fork(args.procs)
    for sock in (sock for others in sockets if others is not sockets[number] for sock in others):
        sock.close()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve_until_end(sockets[number], protocol, context))
    for _ in range(args.procs - 1 if number == 0 else 0):
        os.wait()


def _base(sock: socket.socket, *, secure: bool) -> str:
    address, port = sock.getsockname()
    shown = LOOPBACK[0] if (address,) == EVERYWHERE else address
    return f"{'https' if secure else 'http'}://{shown}:{port}"


if __name__ == "__main__":
    main()
