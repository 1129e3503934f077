"""From a host to its addresses: one lookup a name at a time, remembered for a while, a bounded number at once.

The lookup itself is passed in (`crawler/nameservers.py`). `Resolver` is for event loops; its sibling
`BlockingResolver` is the same one for threads, on a loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

import msgspec

from crawler import descriptors
from crawler.answers import NAMES, Answer, Answers
from crawler.escape import printable
from crawler.exchange import Addresses, Failure
from crawler.nameservers import Found, NotFoundError
from crawler.shortage import THREADS, no_descriptor, shortage

DEADLINE_S = 20.0
LOOKUPS = 100
"""Lookups at once: their answers, two a name, fit into a socket's default buffer of 208 KiB, socket(7), with ease."""

# c-ares says ECONNREFUSED where it can open no socket, and skips /etc/hosts where it cannot open that.
_FEW_DESCRIPTORS = 3
_RAISED = (MemoryError, NotFoundError, OSError)
_LONGEST_MESSAGE = 300  # characters


class Lookup(Protocol):
    """How a name is looked up, on one event loop."""

    async def __call__(self, host: str) -> Found:
        """The addresses; raises NotFoundError, and MemoryError or OSError for what this machine lacks."""

    def close(self) -> None:
        """Give back what it holds; on the same loop."""


class Resolver:
    """The resolver of one event loop. Times are in seconds, `names` are what it remembers at most."""

    def __init__(
        self,
        lookup: Lookup,
        *,
        deadline_s: float = DEADLINE_S,
        names: int = NAMES,
        lookups: int = LOOKUPS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._deadline_s = deadline_s
        self._clock = clock
        self._answers = Answers(names, clock)
        self._slots = asyncio.Semaphore(lookups)
        self._pending: dict[str, asyncio.Task[Answer]] = {}

    def cached(self, host: str) -> Answer | None:
        """The answer that needs no waiting (an IP literal, or remembered), or None. Any thread may ask."""
        return self._answers.get(host)

    async def resolve(self, host: str) -> Answer:
        """The addresses of a host, or why there are none. Cancelling it takes the lookup from nobody else."""
        answer = self._answers.get(host)
        if answer is not None:
            return answer
        task = self._pending.get(host)
        if task is None:
            task = self._pending[host] = asyncio.create_task(self._look_up(host))
            task.add_done_callback(lambda _: self._pending.pop(host))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End the lookups that are under way, and give back what they held."""
        for task in (tasks := list(self._pending.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lookup.close()

    async def _look_up(self, host: str) -> Answer:
        async with self._slots:
            started = self._clock()
            try:
                async with asyncio.timeout(self._deadline_s):
                    found = await self._lookup(host)
            except _RAISED as error:
                failure = msgspec.structs.replace(_failure(host, error), dns_ms=self._since(started))
                self._answers.failed(host, failure)
                return failure
            addresses = Addresses(tuple(dict.fromkeys(found.addresses)), self._since(started))
            self._answers.found(host, addresses, found.ttl_s)
            return addresses

    def _since(self, started: float) -> float:
        """Milliseconds since then."""
        return (self._clock() - started) * 1000


class BlockingResolver:
    """The resolver of a process's threads, safe to call from all of them; its own begins with the first lookup."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None

    def cached(self, host: str) -> Answer | None:
        """The answer that needs no waiting (an IP literal, or remembered), or None."""
        return self._resolver.cached(host)

    def ask(self, host: str) -> Future[Answer]:
        """The addresses of a host, or why there are none, as soon as that is known; cancelled by `close`.

        Whoever asks need not wait: then thousands of names of a dead server hold up no thread.
        """
        known: Future[Answer] = Future()
        answer = self._resolver.cached(host)
        if answer is None:
            try:
                self._start()
                return asyncio.run_coroutine_threadsafe(self._resolver.resolve(host), self._loop)
            except (MemoryError, RuntimeError) as error:  # RuntimeError: no more threads
                answer = Failure("local", shortage(error) or THREADS, sent=False)
        known.set_result(answer)
        return known

    def close(self) -> None:
        """End the lookups that are under way, and the thread; nobody may ask any more."""
        if self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._resolver.close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._loop.run_forever, name="dns", daemon=True)
                thread.start()
                self._thread = thread


def _failure(host: str, error: MemoryError | NotFoundError | OSError) -> Failure:
    """What a lookup raised, as what it means for the URL."""
    lacking = _lacking(error)
    if lacking is not None:
        return Failure("local", lacking, sent=False)
    if isinstance(error, NotFoundError):
        return _failed(host, str(error), final=error.final)
    return _failed(host, "no answer in time" if isinstance(error, TimeoutError) else str(error))


def _lacking(error: MemoryError | NotFoundError | OSError) -> str | None:
    """The limit of this machine that kept a lookup from its answer, in words; None where none did."""
    known = shortage(error)
    return no_descriptor() if known is None and descriptors.left() < _FEW_DESCRIPTORS else known


def _failed(host: str, reason: str, *, final: bool = False) -> Failure:
    return Failure("dns", printable(f"{host}: {reason}", _LONGEST_MESSAGE), sent=False, final=final)
