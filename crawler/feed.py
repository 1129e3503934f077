"""The list, read in a thread of its own, so that one that waits (a pipe, a generator) never holds up the crawl."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import msgspec

from crawler import forks
from crawler.errors import WorkerError
from crawler.records import Entry, Request
from crawler.sources.base import Mark, Source
from crawler.sources.iterable import AsyncSource

_AHEAD = 4_000  # entries between the reader and the crawl; the router's window is the one that matters
_AHEAD_BYTES = 8 * 1024**2  # the same for entries that have much to say
_TAKE = 2_000


class Feed:
    """Batches of entries from a source, bounded. `wake` is called when there is something new to take."""

    def __init__(self, source: Source, wake: Callable[[], None]) -> None:
        self._source = source
        self._wake = wake
        self._lock = threading.Condition()
        self._batches: deque[tuple[list[Entry], int]] = deque()  # each with its bytes
        self._waiting = 0
        self._bytes = 0
        self._ended = False
        self._closed = False
        self._fault: BaseException | None = None
        self.mark: Mark | None = None
        """The source's own mark after the last batch that was read."""
        self._thread = threading.Thread(target=self._read, name="list", daemon=True)
        self._thread.start()
        forks.heed(self)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take just now."""
        return not self._batches

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to read; what was read may still wait to be taken."""
        return self._ended

    @property
    def ended(self) -> bool:
        """Whether everything was read and taken. Raises what the source raised."""
        with self._lock:
            if self._ended and not self._batches and self._fault is not None:
                raise self._fault
            return self._ended and not self._batches

    def take(self) -> list[Entry]:
        """What was read and not taken yet, some thousands of entries at most; never waits."""
        taken: list[Entry] = []
        with self._lock:
            while self._batches and len(taken) < _TAKE:
                batch, size = self._batches.popleft()
                taken += batch
                self._bytes -= size
            self._waiting -= len(taken)
            self._lock.notify_all()
        return taken

    def close(self) -> None:
        """Read no further. A source that is waiting for its next entry, and cannot be told, ends with the process."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._lock.notify_all()
        if isinstance(self._source, AsyncSource):
            self._source.close()

    def forked(self) -> None:
        """In a process that is forked off nobody reads: what was read here is the other one's to crawl."""
        self._lock = threading.Condition()
        self._batches.clear()
        self._ended = self._closed = True
        self._fault = WorkerError(forks.INHERITED)

    @property
    def _has_room(self) -> bool:
        return self._waiting < _AHEAD and self._bytes < _AHEAD_BYTES

    def _read(self) -> None:
        try:
            for batch in self._source:
                size = sum(_bytes_of(entry.request) for entry in batch)
                with self._lock:
                    self._lock.wait_for(lambda: self._has_room or self._closed)
                    if self._closed:
                        return
                    was_empty = not self._batches
                    self._batches.append((batch, size))
                    self._waiting += len(batch)
                    self._bytes += size
                    self.mark = self._source.mark()
                if was_empty:
                    self._wake()
        except BaseException as fault:
            self._fault = fault
        finally:
            with self._lock:
                self._ended = True
            self._wake()


def _bytes_of(request: Request) -> int:
    extra = len(msgspec.msgpack.encode(request.extra)) if request.extra is not None else 0
    return len(request.url) + len(request.body) + extra
