"""Which rows of a crawl a retry fetches again."""

from __future__ import annotations

import msgspec

from crawler.records import ErrorClass, Row


class Selection(msgspec.Struct, frozen=True):
    """Rows whose `error_class` is one of `errors`, or whose status lies in one of the ranges `statuses` (both ends in).

    Without either, all that failed. A duplicate, and what is no URL, are never among them: they have nothing to fetch.
    """

    errors: frozenset[ErrorClass] = frozenset()
    statuses: frozenset[tuple[int, int]] = frozenset()

    @property
    def text(self) -> str:
        """The selection as JSON, the same for equal ones."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @property
    def everything(self) -> bool:
        """Whether all that failed is meant."""
        return not self.errors and not self.statuses

    def matches(self, row: Row) -> bool:
        """Whether a row is one of them."""
        if row.outcome in ("duplicate", "invalid"):
            return False
        if self.everything:
            return row.outcome == "failed"
        status = row.status
        return row.error_class in self.errors or (
            status is not None and any(low <= status <= high for low, high in self.statuses)
        )
