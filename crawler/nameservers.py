"""Asks the name servers for the addresses of a host, by c-ares on the running event loop.

/etc/hosts comes first (as /etc/nsswitch.conf has it), then A and AAAA side by side, over TCP where the answer does not
fit into a datagram. The servers, search domains and their rules are those of /etc/resolv.conf, resolv.conf(5), unless
a server is named: that one is asked for the name as it stands. Names that are none of the DNS (`SPECIAL`) never leave
this machine, whoever the servers are.
"""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple

import pycares
from pycares import errno

TICK_S = 0.1
"""How often c-ares may look which of its queries are to be sent again; the least that it waits for is 0.25 s."""

NAMES_A_CHANNEL = 5_000
"""After so many names a fresh channel takes over: c-ares keeps all that it was told, 2 KB a name, for up to an hour."""

_TRIES = 6
"""The first is given 0.25 s where answers were fast, each further one twice the time: 15.75 s in all."""

SPECIAL = {
    "localhost": "this machine is not called that",  # RFC 6761 §6.3
    "invalid": "names in .invalid do not exist (RFC 6761)",  # §6.4
    "local": "names in .local are for multicast DNS alone (RFC 6762)",  # §22.1
    "onion": "names in .onion are for Tor alone (RFC 7686)",  # §2
    "alt": "names in .alt are not in the DNS (RFC 9476)",  # §2
}
"""Top-level names that no server is to be asked for, and why there is no address where /etc/hosts has none.

`test` and `example` (RFC 6761), `home.arpa` (RFC 8375 §4) and `internal` are the servers' to answer.
"""

_BUFFER_BYTES = 1 << 20
_FINAL = {
    errno.ARES_ENOTFOUND: "there is no such name",
    errno.ARES_ENODATA: "the name has no address",
    errno.ARES_EBADNAME: "the DNS has no such names",  # an empty label, or one of more than 63 bytes
}
_PASSING = {
    errno.ARES_ESERVFAIL: "the name server could not find it out (SERVFAIL)",
    errno.ARES_EREFUSED: "the name server refuses to answer",
    errno.ARES_ECONNREFUSED: "no name server can be reached",
    errno.ARES_ETIMEOUT: "no answer in time",
    errno.ARES_EBADRESP: "the name server's answer makes no sense",
}


class Found(NamedTuple):
    """The addresses of a name, in the order in which to try them (RFC 6724), good for `ttl_s` seconds."""

    addresses: tuple[str, ...]
    ttl_s: float


class NotFoundError(Exception):
    """A lookup without an address, and why; `final` where asking again would bring the same."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


class NameServers:
    """A lookup for a resolver, on one loop. `server` is `ADDRESS:PORT`; None means the system's."""

    def __init__(self, server: str | None = None, *, names_a_channel: int = NAMES_A_CHANNEL) -> None:
        self._servers = None if server is None else [server]
        self._names_a_channel = names_a_channel
        self._channels: list[_Channel] = []  # the last one is asked, the others wait for their answers
        self._inside: _Channel | None = None  # asks nobody

    async def __call__(self, host: str) -> Found:
        """The addresses of a host; raises NotFoundError, and MemoryError or OSError for what this machine lacks."""
        reason = _never_asked(host)
        if reason is not None:
            return await self._look_inside(host.removesuffix("."), reason)
        if not self._channels or self._channels[-1].asked >= self._names_a_channel:
            self._take_fresh()
        return await self._channels[-1].ask(host)

    def close(self) -> None:
        """End what is under way; on the same loop."""
        for channel in [*self._channels, *filter(None, [self._inside])]:
            channel.close()
        self._channels.clear()
        self._inside = None

    async def _look_inside(self, name: str, reason: str) -> Found:
        """What /etc/hosts has of a special name; `localhost` and what is in it is loopback without that, too."""
        self._inside = self._inside or _Channel([])
        try:
            return await self._inside.ask(name)
        except NotFoundError as error:
            raise NotFoundError(reason, final=True) from error

    def _take_fresh(self) -> None:
        fresh = _Channel(self._servers)
        if self._channels:
            self._channels[-1].retire()
        self._channels = [*(channel for channel in self._channels if not channel.closed), fresh]


class _Channel:
    """A channel of c-ares, its sockets watched by the running loop; `servers` None are the system's."""

    def __init__(self, servers: list[str] | None) -> None:
        self.asked = 0
        self._under_way = 0
        self._retired = self.closed = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._watched: set[int] = set()
        try:
            self._cares = pycares.Channel(
                flags=_flags(servers),
                tries=_TRIES,
                socket_receive_buffer_size=_BUFFER_BYTES,
                sock_state_cb=self._watch,
            )
            if servers is not None:
                self._cares.servers = servers  # its argument takes none at all for the system's
        except pycares.AresError as error:
            raise OSError("the resolver could not be set up") from error

    def ask(self, host: str) -> asyncio.Future[Found]:
        """Look a name up; what comes of it is NotFoundError or MemoryError where there is nothing."""
        answer: asyncio.Future[Found] = self._loop.create_future()

        def told(found: pycares.AddrInfoResult | None, error: int | None) -> None:
            self._under_way -= 1
            _settle(answer, found, error)

        self.asked += 1
        self._under_way += 1
        self._cares.getaddrinfo(host, None, type=socket.SOCK_STREAM, callback=told)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)
        return answer

    def retire(self) -> None:
        """Close as soon as nothing is under way."""
        self._retired = True
        if self._timer is None:
            self.close()

    def close(self) -> None:
        """Cancel what is under way, here: pycares would do it in a thread of its own, when the loop may be gone."""
        if self.closed:
            return
        self._cares.cancel()
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for descriptor in self._watched:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
        self._watched.clear()
        self._cares.close()

    def _tick(self) -> None:
        """Let c-ares see that time has passed; the tick after the last answer finds its sockets closed."""
        self._cares.process_fd(pycares.ARES_SOCKET_BAD, pycares.ARES_SOCKET_BAD)
        self._timer = self._loop.call_later(TICK_S, self._tick) if self._under_way else None
        if self._timer is None and self._retired:
            self.close()

    def _watch(self, descriptor: int, readable: bool, writable: bool) -> None:
        """c-ares says what it waits for on one of its sockets; nothing, right before it closes it."""
        if self.closed:
            return  # said by the thread that ends channels, of sockets that are not watched any more
        if readable:
            self._loop.add_reader(descriptor, self._cares.process_read_fd, descriptor)
        else:
            self._loop.remove_reader(descriptor)
        if writable:
            self._loop.add_writer(descriptor, self._cares.process_write_fd, descriptor)
        else:
            self._loop.remove_writer(descriptor)
        (self._watched.add if readable or writable else self._watched.discard)(descriptor)


def _never_asked(host: str) -> str | None:
    """Why no server is asked for a host; None where one is. A single label may be in one of the search domains."""
    name = host.removesuffix(".")
    return SPECIAL.get(name.rpartition(".")[2]) if "." in host or name == "localhost" else None


def _flags(servers: list[str] | None) -> int:
    """How c-ares is to ask.

    It takes SERVFAIL and REFUSED for the server's own trouble and asks all of them again, six times without a pause:
    where there is one alone, its word is taken, and a later try is the flow's.
    """
    named = pycares.ARES_FLAG_NOSEARCH if servers is not None else 0
    alone = pycares.ARES_FLAG_NOCHECKRESP if servers is not None or _system_servers() == 1 else 0
    return int(pycares.ARES_FLAG_EDNS | named | alone)


def _system_servers() -> int:
    probe = pycares.Channel(sock_state_cb=lambda *_: None)
    count = len(probe.servers)
    probe.close()
    return count


def _settle(answer: asyncio.Future[Found], found: pycares.AddrInfoResult | None, error: int | None) -> None:
    if answer.done():
        return  # who asked has given up
    if found is None:
        answer.set_exception(_not_found(error))
    else:
        times = [node.ttl for node in found.nodes] + [alias.ttl for alias in found.cnames]
        answer.set_result(Found(tuple(node.addr[0].decode() for node in found.nodes), min(times, default=0)))


def _not_found(error: int | None) -> Exception:
    assert error is not None
    if error == errno.ARES_ENOMEM:
        return MemoryError()
    if error in _FINAL:
        return NotFoundError(_FINAL[error], final=True)
    return NotFoundError(_PASSING.get(error) or str(errno.strerror(error)), final=False)
