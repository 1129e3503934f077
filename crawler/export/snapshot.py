"""A crawl as it is at one moment, also while it runs: its rows, and the archive as far as they point into it."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from crawler.config import CrawlConfig
from crawler.depot.base import Depot
from crawler.errors import FolderError
from crawler.escape import printable
from crawler.records import Row
from crawler.store.archive import archive_files
from crawler.store.database import COLUMNS, files_elsewhere, open_reading, read_meta
from crawler.store.elsewhere import depot_of
from crawler.store.folder import CrawlFolder

_ROWS = f"SELECT {', '.join(COLUMNS)} FROM pages ORDER BY seq"  # noqa: S608 - the names of a struct's fields

_RECORDS = """SELECT warc_file, count(*), max(warc_offset + warc_length) FROM pages
    WHERE warc_file IS NOT NULL GROUP BY warc_file"""
_BEYOND = "SELECT count(*) FROM pages WHERE warc_file = ? AND warc_offset + warc_length > ?"


class WarcFile(NamedTuple):
    """An archive file, and how many of its bytes are committed; without a `depot` it is a file of this machine."""

    path: Path
    length: int
    depot: Depot | None = None

    def open(self) -> BinaryIO:
        """The file, to read; one of a depot is read at once (about 50 MB at most). Raises OSError and StoreError."""
        if self.depot is None:
            return self.path.open("rb")
        data = self.depot.get(self.path.as_posix())
        if data is None:
            raise FileNotFoundError(f"it is not in {self.depot.url} any more")
        return io.BytesIO(data)


class Snapshot:
    """A crawl to read, frozen by one transaction; raises FolderError where there is none. A context manager.

    What a running crawl writes meanwhile waits in its write-ahead log, which grows as long as the snapshot is open.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.folder = CrawlFolder(path)
        self.name = printable(name or path.resolve().name.removesuffix(".crawl"))  # it need not be UTF-8
        self.unreadable = 0
        """How many records `leave_out` has counted."""
        self._left_out = 0
        self._connection = open_reading(self.folder.database)
        self._connection.execute("BEGIN")
        self.meta = read_meta(self._connection)
        self.max_body = int(json.loads(self.meta["identity"]).get("max_body", CrawlConfig().max_body))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def rows(self) -> Iterator[Row]:
        """All rows, by seq, in constant memory; raises FolderError where the database is damaged."""
        try:
            for values in self._connection.execute(_ROWS):
                yield Row(*values)
        except sqlite3.Error as error:
            raise FolderError(f"{self.folder.database} cannot be read: {error}.") from error

    def leave_out(self, row: Row) -> None:
        """Count a row whose record cannot be read: once, however many ask for it in a row."""
        self.unreadable += row.seq != self._left_out
        self._left_out = row.seq

    def archive(self) -> list[WarcFile]:
        """The archive's files in their order; what was not committed is no part of them.

        The records of files that are gone, or too short to hold them, count as `unreadable`.
        """
        last, length = self.meta["warc_file"], int(self.meta["warc_length"])
        there = (path for path in archive_files(self.folder.warc) if path.is_file())
        files = [path for path in there if _order(path.name) <= _order(last)]
        sizes = [(path, path.stat().st_size) for path in files]
        own = [WarcFile(path, min(size, length) if path.name == last else size) for path, size in sizes]
        elsewhere = self._elsewhere()
        lengths = {warc.path.name: warc.length for warc in own}
        self._count_missing(lengths | {warc.path.as_posix(): warc.length for warc in elsewhere})
        return own + elsewhere

    def _count_missing(self, lengths: dict[str, int]) -> None:
        """Count the records that lie in none of the files with these `lengths`."""
        for name, count, end in self._connection.execute(_RECORDS).fetchall():
            if name not in lengths:
                self.unreadable += count
            elif (end or 0) > lengths[name]:
                self.unreadable += int(self._connection.execute(_BEYOND, (name, lengths[name])).fetchone()[0])

    def _elsewhere(self) -> list[WarcFile]:
        """The files that other machines wrote, as far as a row points into them, or did before a retry."""
        if "depot" not in self.meta:
            return []
        names = files_elsewhere(self._connection)
        depot = depot_of(self.folder.path)
        found = (WarcFile(Path(name), size, depot) for name, size in depot.sizes("warc/") if name in names)
        return sorted(found, key=lambda warc: warc.path)


def _order(name: str) -> tuple[int, str]:
    return len(name), name
