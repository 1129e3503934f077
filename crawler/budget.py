"""What all bodies of one worker may hold in memory, and the file that takes what is more.

The file has no name (open(2), O_TMPFILE): whatever ends the worker, its space is given back. Bodies do not wait for
room: their servers would give up meanwhile, and those that have room might wait for those that have none.
"""

from __future__ import annotations

import io
import os
import threading
import weakref
from collections.abc import Sequence

from crawler.escape import printable

MEMORY_BYTES = 64 * 1024**2
"""What the bodies of a worker hold in memory, whatever its `conc`: four of the largest that are kept by default."""

BLOCK_BYTES = 16 * 1024
"""What is written to the file at once; a body that finds no room keeps less than this in memory all the same."""


class _Spool:
    """A file of blocks in `folder` (None: the temporary folder), made when the first one comes."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._lock = threading.RLock()  # a body may be collected, and free its blocks, while this thread has it
        self._descriptor: int | None = None
        self._free: list[int] = []
        self._blocks = 0

    def put(self, data: memoryview) -> int:
        """Write one block; returns its number. Raises OSError."""
        with self._lock:
            if self._descriptor is None:
                self._descriptor = self._open()
            if not self._free:
                self._free.append(self._blocks)
                self._blocks += 1
            block = self._free.pop()
        at = block * BLOCK_BYTES
        try:
            while data:
                written = os.pwrite(self._descriptor, data, at)
                data, at = data[written:], at + written
        except OSError:
            self.free((block,))
            raise
        return block

    def get(self, block: int) -> bytes:
        """Read a block. Raises OSError."""
        assert self._descriptor is not None
        return os.pread(self._descriptor, BLOCK_BYTES, block * BLOCK_BYTES)

    def free(self, blocks: Sequence[int]) -> None:
        """Let others have these blocks; with the last one the disk gets its space back."""
        with self._lock:
            self._free += blocks
            if len(self._free) == self._blocks and self._descriptor is not None:
                self._free, self._blocks = [], 0
                os.ftruncate(self._descriptor, 0)

    def _open(self) -> int:
        import tempfile  # most workers never need it

        with tempfile.TemporaryFile(prefix="crawler-", dir=self._folder, buffering=0) as file:
            descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, descriptor).atexit = False  # bodies may go after that
        return descriptor


class Budget:
    """The bytes that bodies hold: at most `most_bytes` in memory, the others in a file in `folder`.

    `held_bytes` are in memory now; `spooled_bytes` went to the file since the start; `place` is where that is, for
    messages. Safe to use from several threads.
    """

    def __init__(self, most_bytes: int = MEMORY_BYTES, folder: str | None = None) -> None:
        self.held_bytes = 0
        self.spooled_bytes = 0
        self.place = printable(folder) if folder else "the temporary folder (TMPDIR)"
        self._most_bytes = most_bytes
        self._lock = threading.RLock()
        self._spool = _Spool(folder)

    def grant(self, count: int) -> bool:
        """Whether so many more bytes may be held; then they count until they are given back."""
        with self._lock:
            granted = self.held_bytes + count <= self._most_bytes
            self.held_bytes += count if granted else 0
        return granted

    def put(self, data: memoryview) -> int:
        """Write a block of `BLOCK_BYTES` to the file; returns its number. Raises OSError."""
        block = self._spool.put(data)
        with self._lock:
            self.spooled_bytes += BLOCK_BYTES
        return block

    def get(self, block: int) -> bytes:
        """Read a block. Raises OSError."""
        return self._spool.get(block)

    def give_back(self, count: int, blocks: Sequence[int]) -> None:
        """Free so many bytes of memory, and these blocks of the file."""
        with self._lock:
            self.held_bytes -= count
        if blocks:
            self._spool.free(blocks)


class Buffer:
    """Bytes that come in pieces: in memory while the budget grants it, from then on in its file.

    What it takes is given back when it goes, whoever let it go.
    """

    __slots__ = ("_blocks", "_budget", "_granted", "_memory", "_spools", "_tail")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._granted = 0
        self._memory = io.BytesIO()
        self._spools = False
        self._blocks: list[int] = []
        self._tail = b""

    def __del__(self) -> None:
        self._budget.give_back(self._granted, self._blocks)

    def add(self, data: bytes) -> None:
        """Take the next piece, or nothing of it where this raises OSError: then the file takes no more."""
        if not self._spools and self._budget.grant(len(data)):
            self._granted += len(data)
            self._memory.write(data)
        else:
            self._spools = True
            self._spool(data)

    def value(self) -> bytes:
        """All of it, for which memory is taken beyond the budget where a part is in the file. May raise OSError."""
        if not self._spools:
            return self._memory.getvalue()
        whole = io.BytesIO()  # joining pieces would hold them twice
        whole.write(self._memory.getbuffer())
        for block in self._blocks:
            whole.write(self._budget.get(block))
        whole.write(self._tail)
        return whole.getvalue()

    def _spool(self, data: bytes) -> None:
        rest, blocks = memoryview(self._tail + data), list[int]()
        try:
            while len(rest) >= BLOCK_BYTES:
                blocks.append(self._budget.put(rest[:BLOCK_BYTES]))
                rest = rest[BLOCK_BYTES:]
            self._tail = bytes(rest)
        except BaseException:
            self._budget.give_back(0, blocks)
            raise
        self._blocks += blocks
