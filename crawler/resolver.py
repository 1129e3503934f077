"""From a host to its addresses: one lookup a name at a time, remembered for a while, a few at once.

The lookup itself is a function that is passed in (the system's by default): it gives the addresses of a name,
or raises OSError or UnicodeError. `Resolver` is for event loops, its sibling `BlockingResolver` for threads.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

from crawler import descriptors
from crawler.escape import printable
from crawler.exchange import Addresses, Failure
from crawler.shortage import THREADS, no_descriptor, shortage

Answer = Addresses | Failure
Lookup = Callable[[str], Awaitable[Iterable[str]]]
BlockingLookup = Callable[[str], Iterable[str]]

TTL_S = 60.0
NEGATIVE_TTL_S = 10.0
DEADLINE_S = 20.0
NAMES = 50_000
LOOKUPS = min(32, (os.cpu_count() or 1) + 4)
"""Lookups at once: as many as a loop's own executor has threads, so none spends its deadline in a queue."""

# getaddrinfo(3) has no word for a lack of descriptors: without one glibc 2.36 says EAI_SYSTEM with EMFILE or EBUSY, and
# where one of its files cannot be opened it goes on to the next source, and says EAI_NONAME or EAI_AGAIN.
_FEW_DESCRIPTORS = 3
_DESCRIPTORS_A_LOOKUP = 2  # a file and a socket
_RAISED = (MemoryError, OSError, UnicodeError)
_LONGEST_MESSAGE = 300  # characters


def _affordable() -> int:
    """As many lookups at once as the descriptors that are kept free for them allow."""
    return max(1, min(LOOKUPS, descriptors.reserve() // _DESCRIPTORS_A_LOOKUP))


async def system_lookup(host: str) -> list[str]:
    """The system's answer (getaddrinfo), IPv6 and IPv4 in the order it gives them (RFC 6724)."""
    loop = asyncio.get_running_loop()
    return _numbers(await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def blocking_system_lookup(host: str) -> list[str]:
    """The same for a thread."""
    return _numbers(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def _numbers(found: Iterable[tuple[Any, ...]]) -> list[str]:
    return [str(sockaddr[0]) for *_, sockaddr in found]


class _Known(NamedTuple):
    until: float
    answer: Answer


class _Names:
    """Answers that are still good, the least recently used dropped first. `clock` is in seconds."""

    def __init__(self, ttl_s: float, negative_ttl_s: float, names: int, clock: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._negative_ttl_s = negative_ttl_s
        self._names = names
        self._clock = clock
        self._known: dict[str, _Known] = {}  # in the order of use

    def get(self, host: str) -> Answer | None:
        """The answer for a host without a lookup, or None."""
        known = self._known.pop(host, None)
        if known is None:
            return _literal(host)
        if known.until <= self._clock():
            return None
        self._known[host] = known
        return known.answer

    def put(self, host: str, answer: Answer) -> None:
        """Remember what a lookup gave; a limit of this machine says nothing about the name: forget it."""
        if isinstance(answer, Addresses):
            self._known[host] = _Known(self._clock() + self._ttl_s, Addresses(answer.addresses))
        elif answer.error_class == "dns":
            self._known[host] = _Known(self._clock() + self._negative_ttl_s, answer)
        while len(self._known) > self._names:
            del self._known[next(iter(self._known))]


def _literal(host: str) -> Addresses | None:
    # A name of the DNS has no colon, and its last label is no number (WHATWG URL Standard, §3.5).
    if ":" not in host and not host[-1:].isdigit():
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return Addresses((host,))


def _answer(host: str, found: Iterable[str], dns_ms: float) -> Answer:
    addresses = tuple(dict.fromkeys(found))
    return Addresses(addresses, dns_ms) if addresses else _failed(host, "the name has no address")


def _failure(host: str, error: MemoryError | OSError | UnicodeError) -> Failure:
    """What a lookup raised, as what it means for the URL."""
    lacking = _lacking(error)
    if lacking is not None:
        return Failure("local", lacking, sent=False)
    if isinstance(error, TimeoutError):
        return _failed(host, "no answer in time")
    if isinstance(error, OSError):
        return _failed(host, error.strerror or str(error))
    return _failed(host, "the DNS has no such names")  # an empty label, or one of more than 63 bytes


def _lacking(error: MemoryError | OSError | UnicodeError) -> str | None:
    """The limit of this machine that kept a lookup from its answer, in words; None where none did."""
    known = shortage(error)
    if known is None and isinstance(error, OSError):
        without = error.errno == errno.EBUSY or descriptors.left() < _FEW_DESCRIPTORS
        return no_descriptor() if without else None
    return known


def _failed(host: str, reason: str) -> Failure:
    return Failure("dns", printable(f"{host}: {reason}", _LONGEST_MESSAGE), sent=False)


class Resolver:
    """The resolver of one event loop. Times are in seconds, `names` are what it remembers at most."""

    def __init__(
        self,
        lookup: Lookup = system_lookup,
        *,
        ttl_s: float = TTL_S,
        negative_ttl_s: float = NEGATIVE_TTL_S,
        deadline_s: float = DEADLINE_S,
        names: int = NAMES,
        lookups: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._deadline_s = deadline_s
        self._clock = clock
        self._names = _Names(ttl_s, negative_ttl_s, names, clock)
        self._slots = asyncio.Semaphore(lookups or _affordable())
        self._pending: dict[str, asyncio.Task[Answer]] = {}

    def cached(self, host: str) -> Answer | None:
        """The answer that needs no waiting (an IP literal, or remembered), or None."""
        return self._names.get(host)

    async def resolve(self, host: str) -> Answer:
        """The addresses of a host, or why there are none. Cancelling it takes the lookup from nobody else."""
        answer = self._names.get(host)
        if answer is not None:
            return answer
        task = self._pending.get(host)
        if task is None:
            task = self._pending[host] = asyncio.create_task(self._look_up(host))
            task.add_done_callback(lambda _: self._pending.pop(host))
        return await asyncio.shield(task)

    async def _look_up(self, host: str) -> Answer:
        async with self._slots:
            started = self._clock()
            try:
                async with asyncio.timeout(self._deadline_s):
                    found = await self._lookup(host)
                answer = _answer(host, found, (self._clock() - started) * 1000)
            except _RAISED as error:
                answer = _failure(host, error)
        self._names.put(host, answer)
        return answer


class BlockingResolver:
    """The resolver of a process's threads, safe to call from all of them; its lookups run in daemon threads.

    A thread cannot be stopped: one that misses the deadline is left behind, and keeps its slot until it ends.
    """

    def __init__(
        self,
        lookup: BlockingLookup = blocking_system_lookup,
        *,
        ttl_s: float = TTL_S,
        negative_ttl_s: float = NEGATIVE_TTL_S,
        deadline_s: float = DEADLINE_S,
        names: int = NAMES,
        lookups: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._deadline_s = deadline_s
        self._clock = clock
        self._names = _Names(ttl_s, negative_ttl_s, names, clock)
        self._slots = threading.Semaphore(lookups or _affordable())
        self._lock = threading.Lock()
        self._pending: dict[str, Future[Answer]] = {}

    def cached(self, host: str) -> Answer | None:
        """The answer that needs no waiting (an IP literal, or remembered), or None."""
        with self._lock:
            return self._names.get(host)

    def resolve(self, host: str) -> Answer:
        """The addresses of a host, or why there are none."""
        with self._lock:
            answer = self._names.get(host)
            if answer is not None:
                return answer
            pending = self._pending.get(host)
            if pending is None:
                mine = self._pending[host] = Future()
        if pending is not None:
            return pending.result()  # who began the lookup keeps its deadline
        return self._begin(host, mine)

    def _begin(self, host: str, pending: Future[Answer]) -> Answer:
        self._slots.acquire()
        try:
            threading.Thread(target=self._look_up, args=(host, pending), name="dns", daemon=True).start()
        except (MemoryError, RuntimeError):  # no more threads
            self._slots.release()
            return self._settle(host, pending, Failure("local", THREADS, sent=False))
        try:
            return pending.result(self._deadline_s)
        except TimeoutError as error:
            return self._settle(host, pending, _failure(host, error))

    def _look_up(self, host: str, pending: Future[Answer]) -> None:
        started = self._clock()
        try:
            found = self._lookup(host)
            answer = _answer(host, found, (self._clock() - started) * 1000)
        except _RAISED as error:
            answer = _failure(host, error)
        finally:
            self._slots.release()
        self._settle(host, pending, answer)

    def _settle(self, host: str, pending: Future[Answer], answer: Answer) -> Answer:
        """Give everyone the first of the two: what the lookup brought, or that it was late."""
        with self._lock:
            if not pending.done():
                del self._pending[host]
                self._names.put(host, answer)
                pending.set_result(answer)
        return pending.result()
