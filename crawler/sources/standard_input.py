"""Standard input as a list in any format of text, spooled into the crawl's folder so that the crawl can be resumed."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

from crawler.errors import InputError
from crawler.records import Entry
from crawler.sources.base import Mark
from crawler.sources.cutter import Cutter, Layout
from crawler.sources.formats import make_parser
from crawler.sources.packed import BLOCK
from crawler.sources.spool import Spool, SpoolReader
from crawler.sources.text import check_prefix


class StandardInput:
    """The entries of a stream, as they come. What is yielded stands in the file `spool`, synced.

    A resumed crawl reads the spool first, then the stream: what repeats the spool is skipped, what differs
    raises InputError, and a stream that ends sooner (an empty one too) is fine. The format is that of the `layout`,
    or text. `fd` is another stream than standard input: a named pipe, for example;
    None is one that has ended.
    """

    length: int | None = None
    total_bytes: int | None = None

    def __init__(
        self,
        spool: Path,
        *,
        first_seq: int = 1,
        fd: int | None = 0,
        name: str = "-",
        layout: Layout = Layout(),  # noqa: B008 - it is frozen
    ) -> None:
        self.name = name
        self.first_seq = first_seq
        self._spool = spool
        self._fd = fd
        self._layout = layout
        self._form = layout.format or "txt"
        if self._form == "parquet":
            raise InputError("Parquet is read from its end, which a pipe does not allow; name a file instead.")
        self._parser = self._begin()
        self._ended = False  # whether the stream came as far as its spool before it ended
        try:
            if fd is not None:
                os.fstat(fd)
        except OSError as error:
            raise InputError("Standard input is closed; name a file, or send the list through a pipe.") from error

    @property
    def position(self) -> int:
        """Bytes that were read, the spool's included."""
        return self._parser.position

    @property
    def next_seq(self) -> int:
        """The seq behind the last entry that was yielded."""
        return max(self.first_seq, self._parser.next_seq)

    def __iter__(self) -> Iterator[list[Entry]]:
        self._parser = parser = self._begin()
        with Spool(self._spool) as spool:
            for block in spool.blocks():
                if batch := parser.feed(block):
                    yield batch
            for block in self._unread(spool.reader(), parser.position):
                spool.append(block)
                if batch := parser.feed(block):
                    yield batch
        # Where the stream ended sooner, what stands behind the last line end is a line that was cut.
        if self._ended and (batch := parser.finish()):
            yield batch

    def mark(self) -> Mark:
        """The bytes of the lines that were yielded so far."""
        return self._parser.mark()

    def check(self, mark: Mark) -> bool:
        """No: the stream may have more. Raises InputError where the spool does not begin with the marked lines."""
        with Spool(self._spool) as spool:
            check_prefix(spool.reader(), mark, str(self._spool), self._form)
        return False

    def _begin(self) -> Cutter:
        return make_parser(self._form, self.name, self.first_seq, self._layout)

    def _unread(self, before: SpoolReader, known: int) -> Iterator[bytes]:
        """What the stream brings behind the `known` bytes that were spooled `before`.

        Where the stream ends, its last line ends: a line end goes to the spool for it. A line without one at
        the spool's end is therefore a line that was cut when the crawl was interrupted, and no entry.
        """
        compared = 0
        last = b"\n"
        while block := self._read():
            expected = _exactly(before, min(len(block), known - compared))
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
        self._ended = compared == known

    def _read(self) -> bytes:
        """What the stream has, as soon as it has something; nothing at its end."""
        if self._fd is None:
            return b""
        try:
            while True:
                try:
                    return os.read(self._fd, BLOCK)
                except BlockingIOError:  # whoever shares the stream made it non-blocking
                    select.select([self._fd], [], [])
        except OSError as error:
            raise InputError(f"Standard input cannot be read ({error.strerror}); name a file instead.") from error


def _exactly(reader: SpoolReader, count: int) -> bytes:
    """So many bytes, which are known to be there."""
    parts: list[bytes] = []
    while count and (part := reader.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
