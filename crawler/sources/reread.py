"""The entries of rows, read again from the lists that they stand in: a row does not hold all of a request."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import msgspec

from crawler.errors import InputError
from crawler.escape import printable
from crawler.records import Entry, Row
from crawler.sources.base import Mark, Source

_BATCH = 1_000


class RereadSource:
    """The entries of `length` rows, which come by seq, each with the method, the fields and the body of its list.

    `open_one` makes the source of a list's name. A list may have changed where no row looks; raises InputError where a
    line has another URL than its row. There is no mark: how far the input was read stays what it was.
    """

    total_bytes: int | None = None

    def __init__(self, name: str, rows: Iterable[Row], length: int, open_one: Callable[[str], Source]) -> None:
        self.name = name
        self.length: int | None = length
        self.first_seq = self.next_seq = 1
        self.position = 0
        self._rows = rows
        self._open_one = open_one

    def __iter__(self) -> Iterator[list[Entry]]:
        for name, rows in itertools.groupby(self._rows, key=lambda row: row.source):
            entries = self._entries_of(name, rows)
            while batch := list(itertools.islice(entries, _BATCH)):
                self.position += len(batch)
                self.next_seq = batch[-1].seq + 1
                yield batch

    def _entries_of(self, name: str, rows: Iterable[Row]) -> Iterator[Entry]:
        """The entries of a list's rows, whose lines ascend as those of the list do."""
        entries = itertools.chain.from_iterable(self._open_one(name))
        for row in rows:
            entry = next((entry for entry in entries if entry.source_line >= row.source_line), None)
            if entry is None or (entry.source_line, entry.request.url) != (row.source_line, row.url):
                raise InputError(
                    f"{name} has another URL in line {row.source_line:,} than {printable(row.url)}; give it back what "
                    "the crawl was begun with."
                )
            yield msgspec.structs.replace(entry, seq=row.seq, attempts=row.attempts)

    def mark(self) -> Mark | None:
        """None."""
        return None

    def check(self, mark: Mark) -> bool:  # noqa: ARG002 - one signature for all sources
        """No: see `RecordedSource.check`."""
        return False
