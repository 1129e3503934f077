"""The file that keeps standard input, so that a crawl of it can be resumed: what a pipe brought, it brings only once.

A file of blocks, each behind its length and checksum: after a power loss anything may stand behind what was synced
(nothing, a part of it, zeros), and it must not be taken for a list.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from crawler.durable import sync_folder
from crawler.errors import StoreError
from crawler.sources.packed import BLOCK

_HEAD = struct.Struct("<II")


class SpoolReader:
    """The bytes of a spool, from its beginning to the first block that is not whole; `end` is where that begins."""

    def __init__(self, file: BinaryIO) -> None:
        self.end = 0
        self._file = file
        self._block = b""

    def read(self, count: int) -> bytes:
        """The next bytes, at most `count`; none at the end."""
        if not self._block:
            self._block = self._next()
        taken, self._block = self._block[:count], self._block[count:]
        return taken

    def _next(self) -> bytes:
        head = self._file.read(_HEAD.size)
        length, checksum = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
        block = self._file.read(length) if 0 < length <= BLOCK else b""
        if not block or len(block) < length or zlib.crc32(block) != checksum:
            return b""
        self.end += _HEAD.size + length
        return block


class Spool:
    """A spool to read and to write on, made where there is none; a context manager. May raise StoreError."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("a+b", buffering=0)
            sync_folder(path.parent)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened ({error.strerror}); make its folder writable.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def reader(self) -> SpoolReader:
        """What the spool holds, from its beginning."""
        self._file.seek(0)
        return SpoolReader(self._file)

    def blocks(self) -> Iterator[bytes]:
        """The same in blocks, on the disk before the first is given; behind the last one all is cut off."""
        with self._writing():
            os.fdatasync(self._file.fileno())
        reader = self.reader()
        while block := reader.read(BLOCK):
            yield block
        with self._writing():
            self._file.truncate(reader.end)

    def append(self, block: bytes) -> None:
        """Write a block of at most BLOCK bytes and sync it: a committed row must not outlive its line."""
        view = memoryview(_HEAD.pack(len(block), zlib.crc32(block)) + block)
        with self._writing():
            while view:
                view = view[self._file.write(view) :]
            os.fdatasync(self._file.fileno())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror
            raise StoreError(f"{self._file.name} cannot be written ({why}); free some space and go on.") from error
