"""Entries out of the crawl itself: the rows whose entries a retry fetches again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator

from crawler.records import Entry, Request, Row
from crawler.sources.base import Mark

_BATCH = 1_000


class RecordedSource:
    """The entries of `length` rows, which come by seq: each under the seq, and with the attempts, that it has.

    `position` counts entries. There is no mark: nothing of the crawl's input is read.
    """

    total_bytes: int | None = None

    def __init__(self, name: str, rows: Iterable[Row], length: int) -> None:
        self.name = name
        self.length: int | None = length
        self.first_seq = self.next_seq = 1
        self.position = 0
        self._rows = iter(rows)

    def __iter__(self) -> Iterator[list[Entry]]:
        while batch := [_entry(row) for row in itertools.islice(self._rows, _BATCH)]:
            self.position += len(batch)
            self.next_seq = batch[-1].seq + 1
            yield batch

    def mark(self) -> Mark | None:
        """None: how far the input was read stays what it was."""
        return None

    def check(self, mark: Mark) -> bool:  # noqa: ARG002 - one signature for all sources
        """No: rows do not change behind the back of the run that has locked their folder, and are yet to be fetched."""
        return False


def _entry(row: Row) -> Entry:
    extra = None if row.extra is None else json.loads(row.extra)
    return Entry(row.seq, row.source, row.source_line, Request(row.url, extra=extra), attempts=row.attempts)
