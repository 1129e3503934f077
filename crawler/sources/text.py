"""A text file: one URL a line, a table, or JSON; plain or compressed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from crawler.errors import InputError
from crawler.escape import printable
from crawler.records import Entry
from crawler.sources.base import Mark
from crawler.sources.cutter import HEAD_BYTES, Cutter, Layout, begin_hash, refuse_binary
from crawler.sources.formats import format_of, make_parser
from crawler.sources.packed import BLOCK, Damage, Packing, Unpacked, packing_of


class Readable(Protocol):
    """Gives its next bytes, at most `count`, and none at its end."""

    def read(self, count: int, /) -> bytes: ...


class TextSource:
    """The entries of a text file in UTF-8, in the format of its `layout` or else of its name. `block` is in bytes.

    The file may have any length; what is held of it is a block, and of one record as much as its parser says. A file
    that is compressed is unpacked as a stream: `position` and `total_bytes` are those of the file, marks are those of
    the text. Raises InputError where it cannot be read, and behind the last whole line where it is damaged.
    """

    length: int | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        first_seq: int = 1,
        block: int = BLOCK,
        layout: Layout = Layout(),  # noqa: B008 - it is frozen
    ) -> None:
        self.name = os.fspath(path)
        self.first_seq = first_seq
        self.position = 0
        self._block = block
        self._layout = layout
        self._form = layout.format or format_of(self.name) or "txt"
        self._parser = self._begin()
        with open_list(self.name) as file:
            head = file.read(HEAD_BYTES)
            self._packing: Packing | None = packing_of(self.name, head)
            if self._packing is None:
                refuse_binary(head, self.name)
            self.total_bytes: int | None = os.fstat(file.fileno()).st_size

    @property
    def next_seq(self) -> int:
        """The seq behind the last entry that was yielded."""
        return max(self.first_seq, self._parser.next_seq)

    def __iter__(self) -> Iterator[list[Entry]]:
        self._parser = parser = self._begin()
        with self._opened(lambda: parser.line) as (file, text):
            while block := text.read(self._block):
                self.position = file.tell()
                if batch := parser.feed(block):
                    yield batch
            self.position = file.tell()
            if batch := parser.finish():
                yield batch

    def mark(self) -> Mark:
        """The bytes of the lines that were yielded so far."""
        return self._parser.mark()

    def check(self, mark: Mark) -> bool:
        """Whether the marked lines are all; raises InputError where the file does not begin with them."""
        with self._opened() as (_, text):
            return check_prefix(text, mark, self.name, self._form)

    def whole(self) -> Mark:
        """The mark behind its last line; no line is parsed for it."""
        hashed, length = begin_hash(self._form), 0
        with self._opened() as (_, text):
            while block := text.read(BLOCK):
                hashed.update(block)
                length += len(block)
        return Mark(length, hashed.hexdigest())

    def verify(self) -> None:
        """Read a compressed file to its end; raises InputError where it is damaged.

        Its checksum stands there. Before that one cannot tell a damaged URL from a good one, and would fetch it.
        """
        lines = 0
        if self._packing is not None:
            with self._opened(lambda: lines) as (_, text):
                while block := text.read(BLOCK):
                    lines += block.count(b"\n")

    def _begin(self) -> Cutter:
        # A file's name need not be UTF-8, a row's text must.
        return make_parser(self._form, printable(self.name), self.first_seq, self._layout)

    @contextlib.contextmanager
    def _opened(self, line: Callable[[], int] = int) -> Iterator[tuple[BinaryIO, Readable]]:
        """The file and its text; what is wrong with it in the middle is an InputError that names the last good line."""
        try:
            with open_list(self.name) as file:
                yield file, (file if self._packing is None else Unpacked(file, self._packing))
        except OSError as error:
            raise InputError(f"{self.name} cannot be read on ({reason_of(error)}); run the command again.") from error
        except Damage as error:
            where = f" behind line {line():,}" if line() else ""
            raise InputError(
                f"{self.name} is damaged{where}: {error}; mend it and run the same command again."
            ) from error


def open_list(name: str) -> BinaryIO:
    """The file, unbuffered; raises InputError where it is none that can be read."""
    try:
        # Asked before it is opened: to open a named pipe is to wait for its writer.
        if not stat.S_ISREG(Path(name).stat().st_mode):
            what = "a folder" if Path(name).is_dir() else "no regular file"
            raise InputError(f"{name} is {what}; name a file with a list of URLs, or - to read from a pipe.")
        return Path(name).open("rb", buffering=0)
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; name a file with a list of URLs.") from error
    except PermissionError as error:
        raise InputError(f"{name} may not be read by this user; change its permissions (chmod).") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{name!r} cannot be opened ({reason_of(error)}); name a file with a list of URLs.") from error


def check_prefix(file: Readable, mark: Mark, name: str, form: str = "txt") -> bool:
    """Whether what was marked is all of a file.

    Raises InputError where it does not begin with that, or its last line has grown since.
    """
    hashed = begin_hash(form)
    left = mark.offset
    last = b"\n"
    while left and (block := file.read(min(left, BLOCK))):
        hashed.update(block)
        left -= len(block)
        last = block[-1:]
    behind = file.read(1) if not left else b""
    grown = last not in b"\r\n" and behind not in (b"", b"\r", b"\n")
    if left or grown or hashed.hexdigest() != mark.digest:
        raise InputError(
            f"{name} differs from what this crawl began with in its first {mark.offset:,} bytes; "
            "only add lines at its end, or begin a new crawl (--restart)."
        )
    return not behind


def reason_of(error: Exception) -> str:
    """What the system, or whoever, says is wrong."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
