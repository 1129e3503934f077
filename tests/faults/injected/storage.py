"""The disk below a run: what comes there for sure is noted, and it may break.

SQLite syncs by itself, unseen from here; with synchronous=FULL what a COMMIT wrote is on the disk when it returns.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

_COPIES = 8  # one would do, and a copy whose number was never noted is of no use


def arrange(fault: dict[str, Any]) -> None:
    """Note and break what the fault says (see `faults/injection.py`)."""
    if fault["synced"]:
        notes = _Notes(Path(fault["synced"]))
        os.fsync, os.fdatasync = notes.of(os.fsync), notes.of(os.fdatasync)
        _around_commits(after=notes.copy)
        _read_little()
    if fault["breaks"]:
        _break(*fault["breaks"].split(), fault["nth"])


def _read_little() -> None:
    """Standard input comes in small blocks, so that a short list is synced more than once, too."""
    from crawler.sources import standard_input

    standard_input.BLOCK = 1024


class _Notes:
    """The file `log` in a folder, and the last copies of the database; a SIGKILL at any moment leaves both of use."""

    def __init__(self, side: Path) -> None:
        self._side = side
        self._log = os.open(side / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._number = max((int(path.name) for path in side.iterdir() if path.name.isdigit()), default=0)
        self._write = os.write

    def of(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        """A sync that is noted when it has returned, with what was there before it began."""

        @functools.wraps(sync)
        def noted(descriptor: int) -> None:
            path, about = _path_of(descriptor), os.fstat(descriptor)
            folder = stat.S_ISDIR(about.st_mode)
            found = {"entries": os.listdir(descriptor)} if folder else {"length": about.st_size}
            sync(descriptor)
            self._say({"path": path, **found})

        return noted

    def copy(self, database: str) -> None:
        """Keep a copy of the database as it is now, and of its log; it has its name when it is whole."""
        unfinished = self._side / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for name in (database, f"{database}-wal"):
            if os.path.exists(name):  # noqa: PTH110 - as SQLite has it
                shutil.copyfile(name, unfinished / os.path.basename(name))  # noqa: PTH119
        self._number += 1
        unfinished.rename(self._side / str(self._number))
        self._say({"database": self._number})
        shutil.rmtree(self._side / str(self._number - _COPIES), ignore_errors=True)

    def _say(self, event: dict[str, Any]) -> None:
        self._write(self._log, f"{json.dumps(event)}\n".encode())


def _path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def _around_commits(before: Callable[[sqlite3.Connection], object] = id, after: Callable[[str], object] = id) -> None:
    """Be called with the connection before each COMMIT, and with the path of its database when one has returned."""
    connect = sqlite3.connect

    class Watched(sqlite3.Connection):
        def __init__(self, database: str, *rest: Any, **named: Any) -> None:
            super().__init__(database, *rest, **named)
            self._path = os.fspath(database)

        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if sql != "COMMIT":
                return super().execute(sql, *rest)
            before(self)
            given = super().execute(sql, *rest)
            after(self._path)
            return given

    sqlite3.connect = functools.partial(connect, factory=Watched)  # type: ignore[assignment]


def _break(what: str, error: str, nth: int) -> None:
    """From the `nth` time on there is an `error`: in each `write` to the archive, each `fdatasync`, each `COMMIT`."""
    left = nth

    def fails() -> bool:
        nonlocal left
        left -= 1
        return left <= 0

    def refuse(connection: sqlite3.Connection) -> None:
        if fails():
            connection.rollback()  # as SQLite does it by itself (sqlite.org/lang_transaction.html §2.1)
            raise _sqlite_error(error)

    if what == "COMMIT":
        _around_commits(before=refuse)
        return
    whole, code = getattr(os, what), getattr(errno, error)

    @functools.wraps(whole)
    def broken(descriptor: int, *rest: Any) -> Any:
        if _path_of(descriptor).endswith(".warc.gz") and fails():
            raise OSError(code, os.strerror(code))
        return whole(descriptor, *rest)

    setattr(os, what, broken)


def _sqlite_error(error: str) -> sqlite3.OperationalError:
    """What SQLite makes of an error (sqlite.org/rescode.html)."""
    if error == "EIO":
        found = sqlite3.OperationalError("disk I/O error")
        found.sqlite_errorcode, found.sqlite_errorname = sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"
    else:
        found = sqlite3.OperationalError("attempt to write a readonly database")
        found.sqlite_errorcode, found.sqlite_errorname = sqlite3.SQLITE_READONLY, "SQLITE_READONLY"
    return found
