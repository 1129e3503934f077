"""Reading a crawl back: its numbers, its pages, and SQL over its rows, also while it still runs."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crawler import urls
from crawler.config import CrawlConfig
from crawler.errors import ConfigError, NotRecordedError
from crawler.page import Page
from crawler.records import ErrorClass, Outcome, Row
from crawler.stats import Stats, read_stats
from crawler.store.database import COLUMNS, URL_INDEXES, Database, encodable, open_reading, read_meta
from crawler.store.folder import CrawlFolder
from crawler.store.query import Answer, Guard, Parameters
from crawler.store.record import read_answer

_BATCH_ROWS = 1000
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM pages"  # noqa: S608 - the names of a struct's fields
_BY_URL = f"""{_SELECT} WHERE url IN (:text, :href) OR final_url IN (:text, :href)
    ORDER BY url = :text DESC, url = :href DESC, outcome = 'duplicate', seq LIMIT 1"""
# Of every other row that names a URL, `final_url` is what its entry was normalised to.
_REDIRECTED = "SELECT seq, url FROM pages WHERE redirects IS NOT NULL OR final_url IS NULL ORDER BY seq"


def open_crawl(path: str | os.PathLike[str]) -> Results:
    """The crawl in the folder at `path`, to read; raises FolderError where there is none."""
    return Results(path)


class Results:
    """A crawl, read-only. A context manager; what is not closed is closed with the last reference."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = CrawlFolder(Path(path))
        self._connection = open_reading(self._folder.database)
        self._guard = Guard(self._folder.database)
        self._close = weakref.finalize(self, _close, self._connection, self._guard)
        identity = json.loads(read_meta(self._connection)["identity"])
        self._max_body = int(identity.get("max_body", CrawlConfig().max_body))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; pages that were handed out still load their bodies."""
        self._close()

    def stats(self) -> Stats:
        """The crawl in numbers, all of the same moment."""
        return read_stats(self._connection)

    def pages(
        self,
        outcome: Outcome | None = None,
        status: int | str | None = None,
        error_class: ErrorClass | None = None,
        host: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Page]:
        """The pages that match all that is given, by seq, at most `limit` of them.

        `status` is a number, or a class such as "5xx" (else ConfigError). Rows are read as they are asked
        for, a body when it is touched; so this also runs over millions.
        """
        low, high = _status_range(status)
        given = {"outcome": outcome, "error_class": error_class, "host": host}
        tests = [f"{name} = :{name}" for name, value in given.items() if value is not None]
        if status is not None:
            tests.append("status BETWEEN :low AND :high")
        return self._walk(tests, {**given, "low": low, "high": high}, limit)

    def get(self, url: str) -> Page:
        """The page of a URL: its text in the input, or its normalised form, or where it was redirected to.

        A duplicate gives the page that it is a duplicate of. The first call builds an index where the folder
        can be written and no run is writing to it. Raises NotRecordedError.
        """
        self._index()
        try:
            href = urls.parse(url).href
        except urls.UrlError:
            href = url
        row = self._row(_BY_URL, {"text": encodable(url), "href": encodable(href)}) or self._entry_of(href)
        if row is not None and row.outcome == "duplicate" and row.duplicate_of is not None:
            row = self._row(f"{_SELECT} WHERE seq = ?", (row.duplicate_of,)) or row
        if row is None:
            raise NotRecordedError(f"{self._folder.path} holds no page of {url!r}.")
        return self._page(row)

    def query(self, sql: str, params: Parameters = ()) -> Answer:
        """The answer to one reading SQL statement; raises ConfigError where it would write, or is no SQL."""
        return self._guard.ask(sql, params)

    def _walk(self, tests: list[str], values: dict[str, Any], limit: int | None) -> Iterator[Page]:
        # A batch at a time: one long read would keep the write-ahead log of a running crawl from being
        # emptied.
        where = " AND ".join(["seq > :last", *tests])
        query = f"{_SELECT} WHERE {where} ORDER BY seq LIMIT :rows"
        last, left = 0, limit
        while left is None or left > 0:
            size = _BATCH_ROWS if left is None else min(left, _BATCH_ROWS)
            rows = self._connection.execute(query, {**values, "last": last, "rows": size}).fetchall()
            for values_of_row in rows:
                yield self._page(Row(*values_of_row))
            if len(rows) < size:
                return
            last, left = rows[-1][0], None if left is None else left - size

    def _page(self, row: Row) -> Page:
        return Page(row, load=functools.partial(read_answer, self._folder.warc, row, self._max_body))

    def _row(self, query: str, values: Parameters) -> Row | None:
        found = self._connection.execute(query, values).fetchone()
        return None if found is None else Row(*found)

    def _entry_of(self, href: str) -> Row | None:
        """The first row whose entry, normalised, is `href`, among those that only a look at each can tell."""
        for seq, text in self._connection.execute(_REDIRECTED):
            with contextlib.suppress(urls.UrlError):
                if urls.parse(text).href == href:
                    return self._row(f"{_SELECT} WHERE seq = ?", (seq,))
        return None

    def _index(self) -> None:
        """Build the indexes by URL; without them, a look-up scans the table."""
        names = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
        if names >= URL_INDEXES.keys():
            return
        with contextlib.suppress(OSError, sqlite3.Error):
            if self._folder.lock():
                try:
                    with contextlib.closing(Database(self._folder.database)) as database:
                        database.build_indexes()
                finally:
                    self._folder.release()


def _status_range(status: int | str | None) -> tuple[int, int]:
    text = "0" if status is None else str(status)
    if text.isascii() and text.isdigit():
        return int(text), int(text)
    if len(text) == 3 and text[0] in "12345" and text[1:].lower() == "xx":
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    raise ConfigError(f"{status!r} is no status; write a number such as 404, or a class such as 5xx.")


def _close(connection: sqlite3.Connection, guard: Guard) -> None:
    connection.close()
    guard.close()
