"""aiohttp's connector, so that a connection goes only where the exchange says, and what it reads is bounded."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import functools
import ipaddress
import socket
import time
from contextvars import ContextVar
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import StreamReader

from crawler import descriptors
from crawler.engines.http1 import HEAD_BYTES, MOST_INTERIM, TOO_MANY_INTERIM, tls_context
from crawler.shortage import plain, shortage

_ROOM_BYTES = 32 * 1024  # what is read from a connection at a time
_CLOSING_TURNS = 4  # of the loop, in which a connection that was aborted is closed; uvloop takes two


@dataclasses.dataclass(slots=True)
class Trail:
    """What an exchange tells the connector's hooks, and what they find out for it.

    It holds neither request nor body: a connection keeps the context that it was opened in for all its life.
    `proxied` is whether the peer is a proxy, `tunnelled` whether that has made a tunnel.
    """

    addresses: tuple[str, ...]
    connect_s: float
    proxied: bool
    tunnelled: bool = False
    fresh: bool = False
    sent: bool = False
    ip: str | None = None
    connect_ms: float | None = None
    lacking: OSError | None = None


TRAIL: ContextVar[Trail] = ContextVar("TRAIL")


class _Line(ResponseHandler):
    """aiohttp's end of a connection, but the reader of a body hears of every break.

    As it is, a reset ends a body that only a close can end as if it were whole (it is not: RFC 9112 §8), and
    a chunk size that is none leaves the reader waiting for ever.
    """

    peer: str | None = None
    """The address at the other end."""
    resting = False
    """Between two exchanges: whatever comes now is no answer."""
    _interim = 0
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        if data and self.resting:  # without data, aiohttp only takes up what it has
            self.abort()
            return
        in_head = self._payload is None or self._payload.is_eof()
        self._head_bytes = self._head_bytes + len(data) if in_head else 0
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES and not self._buffer:
            self.abort()
            self.set_exception(LineTooLong(b"", HEAD_BYTES))

    def begin(self) -> None:
        """It is taken for another exchange."""
        self.resting, self._head_bytes = False, 0

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a head and its body; of a flood of interim ones (1xx), which nobody reads as fast, no more."""
        self._interim = self._interim + 1 if 100 <= data[0].code < 200 else 0
        if self._interim <= MOST_INTERIM:
            super().feed_data(data, size)
        elif self._interim == MOST_INTERIM + 1:
            self.abort()
            self.set_exception(HttpProcessingError(message=TOO_MANY_INTERIM))

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None:
            self._tell_reader(exc)
        super().connection_lost(exc)

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        if isinstance(exc_cause, MemoryError):
            exc = exc_cause  # whatever the parser met, aiohttp calls the message malformed
        self._tell_reader(exc)
        super().set_exception(exc, exc_cause)

    def _tell_reader(self, error: BaseException) -> None:
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(error)


class _Intake(asyncio.BufferedProtocol):
    """Between the loop and a line: it takes what was read from the one small `room` of all lines of this loop.

    Else uvloop reads 256 KB of each connection that has them before anybody takes the first, and that a thousand times.
    """

    def __init__(self, line: ResponseHandler, room: memoryview) -> None:
        self._line = line
        self._room = room

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        self._line.data_received(bytes(self._room[:nbytes]))

    def eof_received(self) -> None:
        self._line.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.connection_lost(exc)

    def pause_writing(self) -> None:
        self._line.pause_writing()

    def resume_writing(self) -> None:
        self._line.resume_writing()


class Connector(aiohttp.TCPConnector):
    """Connects to the addresses of the exchange that asks, within its `connect_s`, and to no other."""

    def __init__(self, *, insecure: bool, idle_hosts: int) -> None:
        super().__init__(
            limit=0,
            ssl=tls_context(insecure=insecure),
            resolver=_PinnedResolver(),
            use_dns_cache=False,
            socket_factory=_socket_for,
        )
        self._factory = cast(Any, functools.partial(_Line, loop=self._loop))
        self._idle_hosts = idle_hosts
        self._room = memoryview(bytearray(_ROOM_BYTES))

    async def _create_connection(self, *args: Any) -> ResponseHandler:
        trail = TRAIL.get()
        trail.fresh = True
        await self._make_room()
        started = time.monotonic()
        async with asyncio.timeout(trail.connect_s):
            protocol = await super()._create_connection(*args)
        if protocol.transport is not None:
            protocol.transport.set_protocol(_Intake(protocol, self._room))
            cast(_Line, protocol).peer = protocol.transport.get_extra_info("peername")[0]
        trail.connect_ms = (time.monotonic() - started) * 1000
        return protocol

    async def _get(self, *args: Any) -> Any:
        connection: Any = await super()._get(*args)
        if connection is not None:
            connection.protocol.begin()
        return connection

    def _release(self, key: Any, protocol: Any, **kwargs: Any) -> None:
        protocol.resting = True
        super()._release(key, protocol, **kwargs)

    async def _start_tls_connection(self, *args: Any, **kwargs: Any) -> Any:
        """The proxy has made its tunnel: what fails from here on is not its doing."""
        TRAIL.get().tunnelled = True
        return await super()._start_tls_connection(*args, **kwargs)

    def forget_idle(self) -> None:
        """Close the idle connections of the hosts that were left first, beyond the number that is kept.

        aiohttp bounds them only by time: at a thousand hosts a second they would use up every descriptor.
        """
        while len(self._conns) > self._idle_hosts:
            for protocol, _ in self._conns.pop(next(iter(self._conns))):
                protocol.close()

    async def _make_room(self) -> None:
        """Close what is idle where few descriptors are left."""
        for _ in range(_CLOSING_TURNS):
            if not descriptors.few():
                return
            self.drop_idle()
            await asyncio.sleep(0)

    def drop_idle(self) -> None:
        """Close all idle connections, without TLS's goodbye: their descriptors are needed at once."""
        for connections in self._conns.values():
            for protocol, _ in connections:
                protocol.abort()
        self._conns.clear()


class _PinnedResolver(AbstractResolver):
    """Answers with the addresses of the exchange that asks. It is never asked for IP literals."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in TRAIL.get().addresses
        ]

    async def close(self) -> None:
        return


def _socket_for(info: AddrInfoType) -> socket.socket:
    """A socket for an address that the exchange may connect to: this sees IP literals too."""
    family, kind, protocol, _, place = info
    address = ipaddress.ip_address(place[0])
    if all(ipaddress.ip_address(allowed) != address for allowed in TRAIL.get().addresses):
        raise PermissionError(errno.EPERM, f"{address} is none of the addresses that were checked")
    try:
        return _Socket(family, kind, protocol)
    except OSError as error:
        _note(error)
        raise


class _Socket(socket.socket):
    """Notes what this machine lacks: of the errors of several addresses aiohttp passes on one, or their words."""

    def connect(self, address: Any) -> None:
        try:
            super().connect(address)
        except BlockingIOError:
            raise  # it is on its way
        except OSError as error:
            said = plain(error, address[0])
            _note(said)
            raise said from None


def _note(error: OSError) -> None:
    if shortage(error) is not None:
        TRAIL.get().lacking = OSError(error.errno, error.strerror)  # without the frames that raised it
