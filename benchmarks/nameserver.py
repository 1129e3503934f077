"""A DNS server that is cheap enough never to be the limit: a child process on loopback, over UDP.

`python -m benchmarks.nameserver [--delay SECONDS] [--address IPV4]` listens on a free port of 127.0.0.1, prints
`127.0.0.1:PORT`, and serves until its standard input ends; then it prints one JSON line, how many `queries` there were
and how many `distinct` ones, of a name and a type. Every name has an A record of `--address` for five minutes, and no
other one; names that begin with `silent` are never answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import cast

import uvloop

_HEADER = 12  # bytes, RFC 1035 §4.1.1
_A = 1
_ANSWER_FLAGS = 0x8180  # a response, recursion desired and available
_RECORD = struct.Struct("!HHHIH4s")  # a pointer to the question's name, type, class, time to live, length, address
_BUFFER_BYTES = 8 << 20


@dataclasses.dataclass(slots=True)
class Served:
    """What a server was asked, known when its block is left."""

    address: str
    queries: int = 0
    distinct: int = 0


@contextlib.contextmanager
def running_name_server(*, delay_s: float = 0, address: str = "127.0.0.1") -> Iterator[Served]:
    """A server as a child process, for as long as the block lasts, that answers so many seconds later."""
    command = [sys.executable, "-P", __file__, "--delay", str(delay_s), "--address", address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        served = Served(child.stdout.readline().strip())
        try:
            yield served
        finally:
            child.stdin.close()
            counts = json.loads(child.stdout.readline())
            served.queries, served.distinct = counts["queries"], counts["distinct"]


class _Server(asyncio.DatagramProtocol):
    def __init__(self, delay_s: float, address: str) -> None:
        self._delay_s = delay_s
        self._address = ipaddress.IPv4Address(address).packed
        self.queries = 0
        self.seen: set[bytes] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's have the methods, not the type

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(0, _HEADER) + 5  # no label holds a NUL
        question = data[_HEADER:end]
        self.queries += 1
        self.seen.add(question.lower())
        if question[1:7] == b"silent":
            return
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._answer, data[:2], question, addr)
        else:
            self._answer(data[:2], question, addr)

    def _answer(self, number: bytes, question: bytes, addr: tuple[str, int]) -> None:
        found = question[-4:-2] == _A.to_bytes(2, "big")
        record = _RECORD.pack(0xC000 | _HEADER, _A, 1, 300, 4, self._address) if found else b""
        head = number + struct.pack("!HHHHH", _ANSWER_FLAGS, 1, int(found), 0, 0)
        self._transport.sendto(head + question + record, addr)


async def _serve_until_end(delay_s: float, address: str) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait_for_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    server = _Server(delay_s, address)
    await loop.create_datagram_endpoint(lambda: server, sock=sock)
    print(f"127.0.0.1:{sock.getsockname()[1]}", flush=True)
    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()
    print(json.dumps({"queries": server.queries, "distinct": len(server.seen)}), flush=True)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nameserver", description="A DNS server on loopback.")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS", help="answer so much later (default 0)")
    parser.add_argument("--address", default="127.0.0.1", metavar="IPV4", help="of every name (default 127.0.0.1)")
    args = parser.parse_args()
    uvloop.run(_serve_until_end(args.delay, args.address))


if __name__ == "__main__":
    main()
