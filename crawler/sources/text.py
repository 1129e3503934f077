"""A text file with one URL a line."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from crawler.errors import InputError
from crawler.escape import printable
from crawler.records import Entry
from crawler.sources.base import Mark
from crawler.sources.lines import Lines, refuse_utf16

BLOCK = 64 * 1024
"""Bytes that are read at a time."""


class TextSource:
    """The entries of a text file: UTF-8, one a line, `#` begins a comment. `block` is in bytes.

    The file may have any length; what is held of it is a block. Raises InputError where it cannot be read.
    """

    length: int | None = None

    def __init__(self, path: str | os.PathLike[str], *, first_seq: int = 1, block: int = BLOCK) -> None:
        self.name = os.fspath(path)
        self.first_seq = first_seq
        self._block = block
        self._lines = Lines(printable(self.name), first_seq)  # a file's name need not be UTF-8, a row's text must
        with open_list(self.name) as file:
            refuse_utf16(file.read(2), self.name)
            self.total_bytes: int | None = os.fstat(file.fileno()).st_size

    @property
    def position(self) -> int:
        """Bytes that were read."""
        return self._lines.position

    @property
    def next_seq(self) -> int:
        """The seq behind the last entry that was yielded."""
        return max(self.first_seq, self._lines.next_seq)

    def __iter__(self) -> Iterator[list[Entry]]:
        self._lines = lines = Lines(printable(self.name), self.first_seq)
        with open_list(self.name) as file:
            for block in blocks(file, self._block):
                if batch := lines.feed(block):
                    yield batch
        if batch := lines.finish():
            yield batch

    def mark(self) -> Mark:
        """The bytes of the lines that were yielded so far."""
        return self._lines.mark()

    def check(self, mark: Mark) -> None:
        """Raise InputError where the file does not begin with the marked lines; others may follow them."""
        with open_list(self.name) as file:
            check_prefix(file, mark, self.name)


class _Readable(Protocol):
    """Gives its next bytes, at most `count`, and none at its end."""

    def read(self, count: int, /) -> bytes: ...


def open_list(name: str) -> BinaryIO:
    """The file, unbuffered; raises InputError where it is none that can be read."""
    try:
        # Asked before it is opened: to open a named pipe is to wait for its writer.
        if not stat.S_ISREG(Path(name).stat().st_mode):
            what = "a folder" if Path(name).is_dir() else "no regular file"
            raise InputError(f"{name} is {what}; name a text file with one URL a line, or - to read from a pipe.")
        return Path(name).open("rb", buffering=0)
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; name a text file with one URL a line.") from error
    except PermissionError as error:
        raise InputError(f"{name} may not be read by this user; change its permissions (chmod).") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{name!r} cannot be opened ({_reason(error)}); name a text file.") from error


def blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """What is left of a file, `size` bytes at most at a time. Raises InputError where reading fails."""
    try:
        while block := file.read(size):
            yield block
    except OSError as error:
        raise InputError(f"{file.name} cannot be read on ({_reason(error)}); run the command again.") from error


def check_prefix(file: _Readable, mark: Mark, name: str) -> None:
    """Raise InputError where a file does not begin with what was marked, or its last line has grown since."""
    hashed = hashlib.blake2b()
    left = mark.offset
    last = b"\n"
    while left and (block := file.read(min(left, BLOCK))):
        hashed.update(block)
        left -= len(block)
        last = block[-1:]
    grown = last not in b"\r\n" and file.read(1) not in (b"", b"\r", b"\n")
    if left or grown or hashed.hexdigest() != mark.digest:
        raise InputError(
            f"{name} differs from what this crawl began with in its first {mark.offset:,} bytes; "
            "only add lines at its end, or begin a new crawl (--restart)."
        )


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
