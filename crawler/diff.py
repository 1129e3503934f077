"""What changed between two crawls: their rows side by side, by the normalised URL of each entry."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self, get_args

import msgspec

from crawler.store.byurl import entries, temporary
from crawler.store.database import OK, open_reading
from crawler.store.folder import CrawlFolder

Kind = Literal["new", "changed", "gone", "failed", "missing", "same"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_WANTED = "outcome NOT IN ('duplicate', 'invalid')"
_COLUMNS = ("url", OK, "status", "error_class", "body_digest")
_CREATE = "CREATE TABLE raw (print INTEGER, seq INTEGER, url TEXT, ok, status, error_class, body_digest)"
# Of entries with one URL the first counts; SQLite takes the other columns from the row of the least `seq`.
_SORTED = """INSERT INTO {name} SELECT print, min(seq), url, coalesce(ok, 0), status, error_class, body_digest
    FROM raw GROUP BY print ORDER BY print"""
_TABLE = "CREATE TABLE {name} (print INTEGER PRIMARY KEY, seq, url, ok, status, error_class, body_digest)"
_COMPARE = """
    CREATE TABLE changes AS
    SELECT now.url AS url, CASE
            WHEN now.ok AND NOT coalesce(was.ok, 0) THEN 'new'
            WHEN now.ok AND now.body_digest IS was.body_digest THEN 'same'
            WHEN now.ok THEN 'changed'
            WHEN NOT coalesce(was.ok, 0) THEN NULL
            WHEN now.status IN (404, 410) THEN 'gone'
            ELSE 'failed' END AS kind,
        was.status AS was_status, was.error_class AS was_error_class,
        now.status AS status, now.error_class AS error_class, 0 AS absent, now.seq AS seq
    FROM now LEFT JOIN was USING (print)
    UNION ALL
    SELECT url, iif(ok, 'missing', NULL), status, error_class, NULL, NULL, 1, seq
    FROM was WHERE print NOT IN (SELECT print FROM now)"""
_CHANGES = """SELECT kind, url, was_status, was_error_class, status, error_class
    FROM changes WHERE kind <> 'same' ORDER BY absent, seq"""


class Change(msgspec.Struct, frozen=True):
    """One page that is not what it was: HTTP statuses and error classes of both crawls, None where there is none."""

    kind: Kind
    url: str
    was_status: int | None
    was_error_class: str | None
    status: int | None
    error_class: str | None


class Diff:
    """What became of the pages of the crawl at `before` in the one at `after`; raises FolderError. A context manager.

    A page is what was fetched with a 2xx status, or a 304 said to be unchanged. `new`: a page now and none before;
    `changed`, `same`: by the decoded body; `gone`: now a 404 or 410; `failed`: no page now, for whatever other reason;
    `missing`: the second list does not have it. The rows are compared in a temporary file, not in memory.
    """

    def __init__(self, before: Path, after: Path) -> None:
        self._tables = temporary()
        try:
            key = secrets.token_bytes(16)
            _fill(self._tables, "was", before, key)
            _fill(self._tables, "now", after, key)
            self._tables.execute(_COMPARE)
        except BaseException:
            self._tables.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.close()

    @property
    def counts(self) -> dict[Kind, int]:
        """How many pages of each kind; URLs that are a page in neither are not counted."""
        query = "SELECT kind, count(*) FROM changes WHERE kind IS NOT NULL GROUP BY kind"
        return dict.fromkeys(KINDS, 0) | dict(self._tables.execute(query))

    def changes(self) -> Iterator[Change]:
        """All but what is the same, in the second list's order; then what is missing there, in the first one's."""
        return (Change(*values) for values in self._tables.execute(_CHANGES))


def _fill(tables: sqlite3.Connection, name: Literal["was", "now"], path: Path, key: bytes) -> None:
    """Make a table of the rows of one crawl."""
    with contextlib.closing(open_reading(CrawlFolder(path).database)) as pages:
        tables.execute("BEGIN")
        tables.execute(_CREATE)
        tables.execute(_TABLE.format(name=name))
        tables.executemany("INSERT INTO raw VALUES (?, ?, ?, ?, ?, ?, ?)", entries(pages, key, _WANTED, *_COLUMNS))
        tables.execute(_SORTED.format(name=name))
        tables.execute("DROP TABLE raw")
        tables.execute("COMMIT")
