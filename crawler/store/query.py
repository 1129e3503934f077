"""SQL that can only read: one statement of somebody else's, on a crawl's database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crawler.errors import ConfigError
from crawler.store.database import open_reading

Parameters = Sequence[Any] | Mapping[str, Any]

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_READING_PRAGMAS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo"}


class Answer:
    """The rows that a statement yields, as tuples, one pass; `columns` are their names."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.columns = tuple(column[0] for column in cursor.description or ())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        try:
            row: tuple[Any, ...] = next(self._cursor)
        except sqlite3.Error as error:
            raise ConfigError(f"The query failed: {error}.") from error
        return row


class Guard:
    """A connection that authorises nothing but reading; raises FolderError where `path` is no crawl."""

    def __init__(self, path: Path) -> None:
        self._connection = open_reading(path)
        self._refused = False
        # Text that is not UTF-8 (a BLOB that was cast) is shown, not a failure of the whole query.
        self._connection.text_factory = lambda data: data.decode("utf-8", "replace")
        self._connection.set_authorizer(self._authorize)

    def ask(self, sql: str, params: Parameters = ()) -> Answer:
        """The answer to one reading statement; raises ConfigError where it would write, or is no SQL."""
        self._refused = False
        try:
            return Answer(self._connection.execute(sql, params))
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            if self._refused:
                raise ConfigError("The query would do more than read; here only SELECT is allowed.") from error
            raise ConfigError(f"The query is not understood: {error}.") from error

    def close(self) -> None:
        """Close the connection; open answers end."""
        self._connection.close()

    def _authorize(self, action: int, name: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = second != "load_extension"
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = name in _READING_PRAGMAS
        elif action == sqlite3.SQLITE_UPDATE:
            allowed = name == "sqlite_master"  # json_each and its like declare themselves so, in memory
        else:
            allowed = action in _READING
        self._refused |= not allowed
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
