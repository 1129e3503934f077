"""The store that forgets: the contract of `Store` in memory, for tests and trials."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from crawler.records import OUTCOMES, Outcome, Result, Row
from crawler.store.group import Group
from crawler.store.selection import Selection


class MemoryStore:
    """`rows` by seq and `archive`, the bytes that they point into; a row's `warc_file` is "memory"."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.archive = bytearray()
        self.finished = False
        self.key = secrets.token_bytes(16)
        self.recorded = 0
        self.history: str | None = None
        self._retry: Selection | None = None
        self._pending: set[int] = set()
        self._mark = "null"
        self._group = Group()

    @property
    def mark(self) -> Any:
        """See `Store.mark`."""
        return json.loads(self._mark)

    def done(self) -> Iterator[int]:
        """See `Store.done`; here it is what was committed before this call."""
        return iter(sorted(self.rows))

    def retry(self, selection: Selection) -> int:
        """See `Store.retry`."""
        if not self._pending or self._retry != selection:
            self._retry = selection
            self._pending = {seq for seq, row in self.rows.items() if selection.matches(row)}
        return len(self._pending)

    def pending(self) -> Iterator[Row]:
        """See `Store.pending`; here it is what waits at this call."""
        return iter([self.rows[seq] for seq in sorted(self._pending)])

    def add(self, result: Result) -> None:
        """See `Store.add`."""
        self._group.add(result)

    def due(self, now: float) -> bool:
        """See `Store.due`."""
        return self._group.due(now)

    def commit(self, mark: Any = None, *, finished: bool = False, history: str | None = None) -> None:
        """See `Store.commit`."""
        for seq, result in self._group.take().items():
            if seq not in self.rows or seq in self._pending:
                self.rows[seq] = self._append(result)
                self._pending.discard(seq)
                self.recorded += 1
        if mark is not None:
            self._mark, self.finished = json.dumps(mark), finished
        self.history = history or self.history

    def counts(self) -> dict[Outcome, int]:
        """See `Store.counts`."""
        found = Counter(row.outcome for row in self.rows.values())
        return {outcome: found[outcome] for outcome in OUTCOMES}

    def close(self) -> None:
        """See `Store.close`."""
        self._group.take()

    def _append(self, result: Result) -> Row:
        if not result.payload:
            return result.row
        offset = len(self.archive) + result.record_at
        self.archive += result.payload
        return msgspec.structs.replace(
            result.row, warc_file="memory", warc_offset=offset, warc_length=result.record_length
        )
