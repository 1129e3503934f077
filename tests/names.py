"""A DNS server on loopback for tests: UDP and TCP on one free port, in a thread of its own.

What it says of a name is a function in `zone`, from the query and its transport to the datagrams that go back. A name
that is not there does not exist; its SOA says that for five minutes. `asked` is every query, in the order of arrival.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Literal

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Transport = Literal["udp", "tcp"]
Script = Callable[[dns.message.Message, Transport], list[bytes]]

SOA = "ns.test. root.test. 1 3600 600 86400"


def holds(*records: str) -> Script:
    """The records whose type is asked for, and every CNAME: `NAME TTL TYPE VALUE` each; none is NODATA."""

    def script(query: dns.message.Message, transport: Transport) -> list[bytes]:
        return [_reply(query, records).to_wire(max_size=65_535)]

    return script


def says(code: dns.rcode.Rcode, minimum: int = 300) -> Script:
    """A bare response code; with NXDOMAIN a SOA whose minimum, in seconds, is how long it stands (RFC 2308 §5)."""

    def script(query: dns.message.Message, transport: Transport) -> list[bytes]:
        reply = dns.message.make_response(query, recursion_available=True)
        reply.set_rcode(code)
        if code == dns.rcode.NXDOMAIN:
            reply.authority.append(dns.rrset.from_text("test.", 3600, "IN", "SOA", f"{SOA} {minimum}"))
        return [reply.to_wire()]

    return script


def silent(query: dns.message.Message, transport: Transport) -> list[bytes]:
    """No answer at all."""
    return []


def first(script: Script, times: int, then: Script) -> Script:
    """One script for the first queries of each type, another one for those that follow."""
    seen = collections.Counter[int]()

    def chosen(query: dns.message.Message, transport: Transport) -> list[bytes]:
        seen[query.question[0].rdtype] += 1
        return (script if seen[query.question[0].rdtype] <= times else then)(query, transport)

    return chosen


def by_type(a: Script, aaaa: Script) -> Script:
    """One script for A, one for AAAA."""

    def chosen(query: dns.message.Message, transport: Transport) -> list[bytes]:
        return (a if query.question[0].rdtype == dns.rdatatype.A else aaaa)(query, transport)

    return chosen


def over_tcp_only(script: Script) -> Script:
    """A datagram that says no more than that the answer did not fit (TC, RFC 1035 §4.1.1); all of it over TCP."""

    def chosen(query: dns.message.Message, transport: Transport) -> list[bytes]:
        if transport == "tcp":
            return script(query, transport)
        reply = dns.message.make_response(query, recursion_available=True)
        reply.flags |= dns.flags.TC
        return [reply.to_wire()]

    return chosen


def after_lies(lie: Script, truth: Script) -> Script:
    """First what somebody might send who has not seen the query, with a wrong id, then the answer."""

    def chosen(query: dns.message.Message, transport: Transport) -> list[bytes]:
        guesses = [struct.pack("!H", query.id ^ guess) + lie(query, transport)[0][2:] for guess in (1, 2, 0x8000)]
        return [*guesses, *truth(query, transport)]

    return chosen


class NameServer:
    """The running server; `address` is `127.0.0.1:PORT`."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.zone: dict[str, Script] = {}
        self.asked: list[tuple[str, str, Transport]] = []

    def answer(self, wire: bytes, transport: Transport) -> list[bytes]:
        """The datagrams that go back."""
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, dns.rdatatype.to_text(query.question[0].rdtype), transport))
        return self.zone.get(name, says(dns.rcode.NXDOMAIN))(query, transport)

    def count(self, name: str) -> int:
        """How many queries there were for a name, of both types together."""
        return sum(asked == name for asked, _, _ in self.asked)


@contextlib.contextmanager
def running_name_server() -> Iterator[NameServer]:
    """A server for a block."""
    loop = asyncio.new_event_loop()
    udp, tcp = _sockets()
    server = NameServer(udp.getsockname()[1])
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stop = asyncio.run_coroutine_threadsafe(_serve(server, udp, tcp), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _reply(query: dns.message.Message, records: tuple[str, ...]) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    wanted = query.question[0].rdtype
    for name, ttl, kind, value in map(str.split, records):
        if kind in ("CNAME", dns.rdatatype.to_text(wanted)):
            reply.answer.append(dns.rrset.from_text(f"{name}.", int(ttl), "IN", kind, value))
    if not any(rrset.rdtype == wanted for rrset in reply.answer):
        reply.authority.append(dns.rrset.from_text("test.", 3600, "IN", "SOA", f"{SOA} 300"))
    return reply


def _sockets() -> tuple[socket.socket, socket.socket]:
    """A datagram socket and one that listens, on the same number."""
    while True:
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
        except OSError:  # that number is somebody's
            udp.close()
            tcp.close()
            continue
        return udp, tcp


async def _serve(server: NameServer, udp: socket.socket, tcp: socket.socket) -> Callable[[], object]:
    loop = asyncio.get_running_loop()
    datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(server), sock=udp)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                for wire in server.answer(await reader.readexactly(length), "tcp"):
                    writer.write(struct.pack("!H", len(wire)) + wire)

    streams = await asyncio.start_server(converse, sock=tcp)

    async def stop() -> None:
        datagrams.close()
        streams.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    return stop


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for wire in self._server.answer(data, "udp"):
            self._transport.sendto(wire, addr)  # type: ignore[attr-defined]
