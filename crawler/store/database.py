"""The SQLite file of a crawl: table `pages`, one row an entry, and table `meta`, a few texts by key.

`meta` holds: schema_version, software_version, created_at (UTC), identity (JSON), mark (JSON of the input
mark), counts (JSON, by outcome), finished (JSON), key (hex), warc_file and warc_length (the archive's
committed end), warc_tail (where in it the last page's records begin), retry (JSON of the last retry's
selection), retry_runs (JSON of the runs on many machines that did some of it), runs (JSON of all those runs), depot
(where the pages of other machines are), history (JSON of a `crawler.history.History`). Table `retries` holds the seqs
of the rows that still wait to be replaced by that retry, table `replaced` the files of the depot that rows pointed into
which a retry may replace.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_type_hints

from crawler.errors import FolderError
from crawler.records import OUTCOMES, Outcome, Row
from crawler.store.repair import Recorded
from crawler.store.selection import Selection

SCHEMA_VERSION = "1"
COLUMNS: tuple[str, ...] = Row.__struct_fields__
"""The columns of `pages`, in their order."""

# sqlite3 looks for an adapter of every None that is bound, in vain and at length: of our columns a third are NULL, and
# a row took twice as long. This one (a look-up in C that finds nothing) gives None for None.
sqlite3.register_adapter(NoneType, dict[None, None]().get)

OK = "(outcome = 'fetched' AND (status BETWEEN 200 AND 299 OR (status = 304 AND coalesce(changed, '') = 'same')))"
"""What `Row.ok` says, in SQL."""

_BUSY_S = 60.0
_KEYS = frozenset({"schema_version", "identity", "key"})  # without these in `meta` it is no crawl of ours


class Database:
    """The one writing connection to a crawl's database, made where there is none. May raise sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
        with self._closing_on_error():
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")

    def create(self, meta: Mapping[str, str]) -> None:
        """Make the tables and their first `meta`, in one transaction."""
        with self._transaction():
            self._connection.execute(f"CREATE TABLE pages ({', '.join(_definitions())})")
            self._connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
            self._put_meta(meta)

    def meta(self) -> dict[str, str]:
        """All of `meta`."""
        return read_meta(self._connection)

    def last_seq(self) -> int:
        """The highest seq that is recorded; 0 where there is none."""
        row = self._connection.execute("SELECT coalesce(max(seq), 0) FROM pages").fetchone()
        return int(row[0])

    def make_retries(self) -> None:
        """Make what a retry needs, where the crawl is older than that."""
        self._connection.execute("CREATE TABLE IF NOT EXISTS retries (seq INTEGER PRIMARY KEY)")
        self._connection.execute("CREATE TABLE IF NOT EXISTS replaced (warc_file TEXT PRIMARY KEY) WITHOUT ROWID")

    def begin_retry(self, selection: Selection) -> None:
        """Let the rows that `selection` names wait to be replaced, and no others; in one transaction."""
        with self._transaction():
            self._connection.execute("DELETE FROM retries")
            self._connection.execute(_SELECT, {"selection": selection.text, "everything": selection.everything})
            self._connection.execute(_REPLACED)
            self._put_meta({"retry": selection.text, "retry_runs": "[]"})

    def pending(self) -> int:
        """How many rows wait to be replaced."""
        row = self._connection.execute("SELECT count(*) FROM retries JOIN pages USING (seq)").fetchone()
        return int(row[0])

    def recorded(self, seqs: Iterable[int]) -> dict[int, tuple[Outcome, bool]]:
        """Of those of `seqs` that have their row already: its outcome, and whether it waits to be replaced."""
        found = self._connection.execute(_RECORDED, (json.dumps(list(seqs)),))
        return {seq: (outcome, bool(waits)) for seq, outcome, waits in found}

    def commit(self, rows: Sequence[tuple[Any, ...]], meta: Mapping[str, str]) -> None:
        """Write rows, in place of those of the same seq, and `meta` in one transaction; returns when it is on the disk.

        What was written waits no longer to be replaced.
        """
        try:
            self._write(rows, meta)
        except UnicodeEncodeError:
            # A lone surrogate has no UTF-8, and one page's odd text must not cost the others.
            self._write([tuple(map(encodable, row)) for row in rows], meta)

    def note(self, meta: Mapping[str, str]) -> None:
        """Set some of `meta`, in one transaction."""
        with self._transaction():
            self._put_meta(meta)

    def records_of(self, file: str) -> Iterator[Recorded]:
        """Where the records of the rows in an archive file lie, the latest first."""
        return (Recorded(*found) for found in self._connection.execute(_RECORDS, (file,)))

    def unrecord(self, file: str, end: int, meta: Mapping[str, str]) -> int:
        """Delete the rows whose records lie behind byte `end` of an archive file, and set `meta`; how many they were.

        The crawl is then not finished any more, and `counts` in `meta` say what is left.
        """
        with self._transaction():
            deleted = self._connection.execute(
                "DELETE FROM pages WHERE warc_file = ? AND warc_offset >= ?", (file, end)
            )
            found = self._connection.execute("SELECT outcome, count(*) FROM pages GROUP BY outcome").fetchall()
            counts = json.dumps(dict.fromkeys(OUTCOMES, 0) | dict(found))
            self._put_meta({**meta, "counts": counts, "finished": "false"})
        return deleted.rowcount

    def unneeded(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that are none of `files_elsewhere`; `names` may be more than memory holds."""
        with self._transaction():
            self._connection.execute("CREATE TEMP TABLE there (name TEXT PRIMARY KEY) WITHOUT ROWID")
            self._connection.executemany("INSERT OR IGNORE INTO there VALUES (?)", ((name,) for name in names))
            unneeded = [name for (name,) in self._connection.execute(_UNNEEDED)]
            self._connection.execute("DROP TABLE there")
        return unneeded

    def drop_indexes(self) -> None:
        """Drop the indexes by URL: kept live, they make an insertion several times slower."""
        for name in URL_INDEXES:
            self._connection.execute(f"DROP INDEX IF EXISTS {name}")

    def build_indexes(self) -> None:
        """Build the indexes by URL, where they are not there."""
        with self._transaction():
            for name, column in URL_INDEXES.items():
                self._connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON pages ({column})")

    def close(self) -> None:
        """Close the connection; the write-ahead log goes into the file."""
        self._connection.close()

    def _write(self, rows: Sequence[tuple[Any, ...]], meta: Mapping[str, str]) -> None:
        with self._transaction():
            self._connection.executemany(_INSERT, rows)
            if self._connection.execute("SELECT EXISTS (SELECT 1 FROM retries)").fetchone()[0]:
                self._connection.executemany("DELETE FROM retries WHERE seq = ?", ((row[_SEQ],) for row in rows))
            self._put_meta(meta)

    def _put_meta(self, meta: Mapping[str, str]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._connection.close()
            raise


def files_elsewhere(connection: sqlite3.Connection) -> set[str]:
    """The files of the depot that rows point into, or did before a retry."""
    made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'replaced'").fetchone()
    return {name for (name,) in connection.execute(_FILES_ELSEWHERE if made else _FILES_POINTED_INTO)}


URL_INDEXES = {"pages_by_url": "url", "pages_by_final_url": "final_url"}


def open_reading(path: Path) -> sqlite3.Connection:
    """A connection that can only read, also while a crawl writes; FolderError where `path` is no crawl."""
    try:
        kind = kind_of(path)
        if kind == "crawl":
            return _connect_reading(path)
    except (OSError, sqlite3.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise FolderError(f"{path.parent} cannot be read: {why}.") from error
    what = "its crawl.db was not made by crawler" if kind == "other" else "it holds no crawl.db with pages"
    raise FolderError(f"{path.parent} is no crawl: {what}.")


def kind_of(path: Path) -> Literal["none", "crawl", "other"]:
    """What the file at `path` is: nothing yet (missing, or no table), a crawl's database, or neither.

    May raise sqlite3.Error where it is a database that cannot be read.
    """
    if not path.exists():
        return "none"
    try:
        with contextlib.closing(_connect_reading(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            known = {"pages", "meta"} <= tables and read_meta(connection).keys() >= _KEYS
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB or not path.is_file():
            return "other"
        raise
    if not tables:
        return "none"
    return "crawl" if known else "other"


def read_meta(connection: sqlite3.Connection) -> dict[str, str]:
    """All of `meta`."""
    return dict(connection.execute("SELECT key, value FROM meta"))


def _connect_reading(path: Path) -> sqlite3.Connection:
    """A connection that has read something. May raise sqlite3.Error."""
    log = path.with_name(path.name + "-wal")
    logged = log.exists() and log.stat().st_size > 0
    frozen = not os.access(path.parent, os.W_OK) and not logged
    try:
        return _connected(path, frozen=frozen)
    except sqlite3.OperationalError:
        if frozen or logged:
            raise
        # Reading in WAL mode makes a -shm file (sqlite.org/wal.html §5): on a full disk it cannot be made.
        return _connected(path, frozen=True)


def _connected(path: Path, *, frozen: bool) -> sqlite3.Connection:
    """`frozen` says that nobody can write to the file: then SQLite needs no other file to read it."""
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if frozen else ''}"
    # Whoever drops the last reference closes it, in whatever thread; SQLite itself takes its turns.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _definitions() -> Iterator[str]:
    hints = get_type_hints(Row)
    for name in COLUMNS:
        kinds = set(get_args(hints[name])) - {NoneType} or {hints[name]}
        affinity = "INTEGER" if kinds == {int} else "REAL" if kinds == {float} else "TEXT"
        yield f"{name} {affinity}{' PRIMARY KEY' if name == 'seq' else ''}"


def encodable(value: Any) -> Any:
    """A column's value as it is recorded: without lone surrogates, which have no UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


_MARKS = ", ".join("?" * len(COLUMNS))
_INSERT = f"INSERT OR REPLACE INTO pages VALUES ({_MARKS})"  # noqa: S608 - question marks are no injection
_SEQ = COLUMNS.index("seq")
_FILES_POINTED_INTO = "SELECT DISTINCT warc_file FROM pages WHERE warc_file GLOB '*/*'"
_FILES_ELSEWHERE = f"{_FILES_POINTED_INTO} UNION SELECT warc_file FROM replaced"  # noqa: S608 - a constant
_UNNEEDED = f"SELECT name FROM there WHERE name NOT IN ({_FILES_ELSEWHERE})"  # noqa: S608 - a constant
_RECORDED = """SELECT pages.seq, outcome, retries.seq IS NOT NULL
    FROM pages LEFT JOIN retries ON retries.seq = pages.seq WHERE pages.seq IN (SELECT value FROM json_each(?))"""
# A response and its request; where no answer came in the end, those of each redirect on the way.
_RECORDS = """SELECT warc_offset, CASE WHEN warc_length > 0 THEN 2 ELSE 2 * json_array_length(redirects) END
    FROM pages WHERE warc_file = ? ORDER BY warc_offset DESC"""
_REPLACED = """INSERT OR IGNORE INTO replaced
    SELECT warc_file FROM retries CROSS JOIN pages USING (seq) WHERE warc_file GLOB '*/*'"""
# What `Selection.matches` says, in SQL.
_SELECT = """INSERT INTO retries SELECT seq FROM pages WHERE outcome NOT IN ('duplicate', 'invalid') AND (
    error_class IN (SELECT value FROM json_each(:selection, '$.errors'))
    OR EXISTS (SELECT 1 FROM json_each(:selection, '$.statuses')
        WHERE status BETWEEN json_extract(value, '$[0]') AND json_extract(value, '$[1]'))
    OR (:everything AND outcome = 'failed'))"""
