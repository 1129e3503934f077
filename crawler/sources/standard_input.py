"""Standard input as a list of URLs, spooled into the crawl's folder so that the crawl can be resumed."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from crawler.durable import sync_folder
from crawler.errors import InputError, StoreError
from crawler.records import Entry
from crawler.sources.base import Mark
from crawler.sources.lines import Lines
from crawler.sources.text import BLOCK, blocks, check_prefix


class StandardInput:
    """The entries of a stream, as they come. What is yielded stands in the file `spool`, synced.

    A resumed crawl reads the spool first, then the stream: what repeats the spool is skipped, what differs
    raises InputError, and a stream that ends sooner (an empty one too) is fine. `fd` is another stream than
    standard input: a named pipe, for example.
    """

    length: int | None = None
    total_bytes: int | None = None

    def __init__(self, spool: Path, *, first_seq: int = 1, fd: int = 0, name: str = "-") -> None:
        self.name = name
        self.first_seq = first_seq
        self._spool = spool
        self._fd = fd
        self._lines = Lines(name, first_seq)
        try:
            os.fstat(fd)
        except OSError as error:
            raise InputError("Standard input is closed; name a file, or send the list through a pipe.") from error

    @property
    def position(self) -> int:
        """Bytes that were read, the spool's included."""
        return self._lines.position

    @property
    def next_seq(self) -> int:
        """The seq behind the last entry that was yielded."""
        return max(self.first_seq, self._lines.next_seq)

    def __iter__(self) -> Iterator[list[Entry]]:
        self._lines = lines = Lines(self.name, self.first_seq)
        with _open_spool(self._spool) as spool:
            for block in blocks(spool, BLOCK):
                if batch := lines.feed(block):
                    yield batch
            for block in self._unread(lines.position):
                _append(spool, block)
                if batch := lines.feed(block):
                    yield batch

    def mark(self) -> Mark:
        """The bytes of the lines that were yielded so far."""
        return self._lines.mark()

    def check(self, mark: Mark) -> None:
        """Raise InputError where the spool does not begin with the marked lines."""
        with _open_spool(self._spool) as spool:
            check_prefix(spool, mark, str(self._spool))

    def _unread(self, known: int) -> Iterator[bytes]:
        """What the stream brings behind the `known` bytes that the spool has already.

        Where the stream ends, its last line ends: a line end goes to the spool for it. A line without one at
        the spool's end is therefore a line that was cut when the crawl was interrupted, and no entry.
        """
        compared = 0
        last = b"\n"
        with self._spool.open("rb") as before:
            while block := self._read():
                expected = before.read(min(len(block), known - compared))
                if not block.startswith(expected):
                    raise InputError(
                        "Standard input differs from what this crawl began with; send the same list, or "
                        "nothing to finish what was read, or begin a new crawl (--restart)."
                    )
                compared += len(expected)
                last = block[-1:]
                if len(block) > len(expected):
                    yield block[len(expected) :]
        if compared == known and last != b"\n":
            yield b"\n"

    def _read(self) -> bytes:
        """What the stream has, as soon as it has something; nothing at its end."""
        try:
            while True:
                try:
                    return os.read(self._fd, BLOCK)
                except BlockingIOError:  # whoever shares the stream made it non-blocking
                    select.select([self._fd], [], [])
        except OSError as error:
            raise InputError(f"Standard input cannot be read ({error.strerror}); name a file instead.") from error


def _open_spool(path: Path) -> BinaryIO:
    try:
        spool = path.open("a+b", buffering=0)
        sync_folder(path.parent)
        spool.seek(0)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened ({error.strerror}); make its folder writable.") from error
    return spool


def _append(spool: BinaryIO, block: bytes) -> None:
    """Write a block and sync it: a committed row must not outlive the line that it came from."""
    try:
        view = memoryview(block)
        while view:
            view = view[spool.write(view) :]
        os.fdatasync(spool.fileno())
    except OSError as error:
        raise StoreError(f"{spool.name} cannot be written ({error.strerror}); free some space and go on.") from error
