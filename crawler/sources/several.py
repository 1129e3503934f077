"""Several files as one list, one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from crawler.errors import InputError
from crawler.records import Entry
from crawler.sources.base import Mark, Source


class FileSource(Source, Protocol):
    """A source that can be read as often as one likes."""

    def whole(self) -> Mark:
        """The mark behind its last entry."""

    def verify(self) -> None:
        """Raise InputError for what can be found wrong with all of it, without an entry being made."""


class Several:
    """The entries of several files, in their order; one of them is open at a time. `open_one` makes a file's source.

    Files may be added at the end, and lines to the last one that was begun; what is before that must stay as it is.
    Raises InputError for a file that cannot be read.
    """

    length: int | None = None

    def __init__(self, paths: Sequence[str], open_one: Callable[[str], FileSource], *, first_seq: int = 1) -> None:
        self.name = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1:,} more"
        self.first_seq = self.next_seq = first_seq
        self._paths = paths
        self._open_one = open_one
        self._source: FileSource | None = None
        self._files = 0
        self._before = ""
        self._plain = True
        self._behind = 0  # bytes of the files that were read
        self.total_bytes: int | None = sum(map(_size, paths))

    @property
    def position(self) -> int:
        """Bytes that were read of the files."""
        return self._behind + (self._source.position if self._source is not None else 0)

    def probe(self) -> bool:
        """Whether there is an entry.

        Raises InputError for what is wrong with the beginning of any file, and anywhere in a compressed one.
        """
        found = False
        for path in self._paths:
            source = self._open_one(path)
            source.verify()
            found |= next(iter(source), None) is not None
        return found

    def __iter__(self) -> Iterator[list[Entry]]:
        self._files, self._before, self._plain, self._behind, self._source = 0, "", True, 0, None
        self.next_seq = self.first_seq
        for path in self._paths:
            source = self._begin(path)
            for batch in source:
                self.next_seq = source.next_seq
                yield batch

    def mark(self) -> Mark | None:
        """See `Mark`: the last file that was begun, and all that are before it."""
        mark = None if self._source is None else self._source.mark()
        return mark and Mark(mark.offset, mark.digest, self._plain and mark.plain, self._files, self._before)

    def check(self, mark: Mark) -> bool:
        """Whether what was marked is all; raises InputError where these files do not begin with it."""
        before = ""
        for path in self._paths[: mark.files - 1]:
            before = _folded(before, self._open_one(path).whole())
        if len(self._paths) < mark.files or before != mark.before:
            raise InputError(
                f"One of the first {mark.files:,} files differs from what this crawl began with; only add files at the "
                "end, and lines to the last one, or begin a new crawl (--restart)."
            )
        return self._open_one(self._paths[mark.files - 1]).check(mark) and len(self._paths) == mark.files

    def _begin(self, path: str) -> FileSource:
        """Go on to the next file."""
        if self._source is not None and (mark := self._source.mark()) is not None:
            self._before = _folded(self._before, mark)
            self._plain &= mark.plain
            self._behind += self._source.total_bytes or 0
        source = self._open_one(path)
        source.first_seq = self.next_seq
        self._source, self._files = source, self._files + 1
        return source


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):  # to open it will say what is wrong
        return 0


def _folded(before: str, mark: Mark) -> str:
    """The digest of the files up to and including one with this mark at its end."""
    return hashlib.blake2b(f"{before} {mark.offset} {mark.digest}".encode(), digest_size=32).hexdigest()
