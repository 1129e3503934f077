"""Chunking and routing: which worker fetches which entry, and when a chunk is worth sending.

A host belongs to the worker that its registrable domain hashes to (its home), so that limits, keep-alive and
caches are exact without a lock between processes. Where no limit needs a home, any worker with credit will do.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from crawler.burden import bare, weight, weight_of_fields
from crawler.config import CrawlConfig
from crawler.records import Chunk, FlowState
from crawler.urls import domain

WINDOW_ENTRIES = 50_000
WINDOW_BYTES = 64 * 1024**2
"""How far the parent reads ahead of its workers, so that a list sorted by host still finds work for everyone."""
_WINDOW_A_WORKER = 800  # so that chunks of a thousand machines' shards are not cut short
_CHUNK_BYTES = 2 * 1024**2


def needs_homes(config: CrawlConfig) -> bool:
    """Whether hosts must stay with one worker, because something is counted per host."""
    return bool(config.per_host or config.delay or config.robots)


def home_of(host: str, homes: int) -> int:
    """The worker that is home of `host`, from 0; the same in every process and every run."""
    if homes == 1:
        return 0  # the public suffix list need not be read for that
    return zlib.crc32(domain(host).encode("ascii", "replace")) % homes


class Router:
    """Entries that were read and not yet sent, by worker; bounded by the read-ahead window."""

    def __init__(self, workers: int, chunk_size: int, *, homes: bool) -> None:
        self._workers = workers
        self._chunk_size = chunk_size
        self._homes = homes
        self._queues: list[deque[FlowState]] = [deque() for _ in range(workers if homes else 1)]
        self._next_id = 1
        self._bytes = 0
        share = max(1.0, workers * _WINDOW_A_WORKER / WINDOW_ENTRIES)
        self._most, self._most_bytes = WINDOW_ENTRIES * share, WINDOW_BYTES * share
        self.waiting = 0

    @property
    def full(self) -> bool:
        """Whether the read-ahead window is used up."""
        return self.waiting >= self._most or self._bytes >= self._most_bytes

    def add(self, state: FlowState, *, first: bool = False) -> None:
        """Take in an entry; `first` for one that is already under way (a redirect from another worker)."""
        queue = self._queues[home_of(state.host, self._workers) if self._homes else 0]
        if state.hops and self._bytes >= self._most_bytes:
            state = msgspec.structs.replace(state, hops=tuple(map(bare, state.hops)))
        if first:
            queue.appendleft(state)
        else:
            queue.append(state)
        self.waiting += 1
        self._bytes += _weight(state)

    def chunks(self, credit: Callable[[int], int], *, paused: bool) -> Iterator[tuple[int, Chunk]]:
        """Chunks for workers with credit: full ones, and where the source is `paused` also parts of one.

        `credit(worker)` is asked again after each yield; whoever iterates sends the chunk before going on.
        """
        for worker in range(self._workers):
            queue = self._queues[worker if self._homes else 0]
            while queue and (paused or len(queue) >= self._chunk_size) and credit(worker) > 0:
                yield worker, self._cut(queue)

    def chunk_of(self, states: tuple[FlowState, ...]) -> Chunk:
        """A chunk of entries that are not from the queues."""
        self._next_id += 1
        return Chunk(self._next_id - 1, states)

    def _cut(self, queue: deque[FlowState]) -> Chunk:
        states: list[FlowState] = []
        size = 0
        while queue and len(states) < self._chunk_size and (not states or size < _CHUNK_BYTES):
            states.append(queue.popleft())
            size += _weight(states[-1])
        self.waiting -= len(states)
        self._bytes -= size
        chunk = Chunk(self._next_id, tuple(states))
        self._next_id += 1
        return chunk


def _weight(state: FlowState) -> int:
    """Roughly the bytes that a state costs."""
    if not (state.hops or state.headers or state.body or state.extra):  # nearly all are but a URL
        return 400 + len(state.url) + len(state.target)
    size = 400 + len(state.url) + len(state.target) + len(state.body) + weight_of_fields(state.headers)
    if state.extra is not None:
        size += len(msgspec.msgpack.encode(state.extra))
    return size + sum(map(weight, state.hops))
