"""What stopped the store from writing, as one sentence that names the limit."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from crawler.errors import StoreError

_ADVICE = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the disk quota is used up; make room",
    errno.EFBIG: "a file has reached the size that the system allows (ulimit -f); raise it",
    errno.EIO: "the disk reports an error; see to it",
    errno.EROFS: "the file system is read-only; make it writable",
    errno.EMFILE: "the process has no descriptors left (ulimit -n); raise that limit",
    errno.ENFILE: "the system has no descriptors left (fs.file-max); raise that limit",
}
_ANOTHER_FOLDER = frozenset({errno.EROFS})  # a limit that another folder may not have
_SQLITE_ERRNO = {  # by the beginning of SQLite's own name for it, the first that fits
    "SQLITE_FULL": errno.ENOSPC,
    "SQLITE_IOERR_SHMSIZE": errno.ENOSPC,
    "SQLITE_IOERR": errno.EIO,
    "SQLITE_READONLY": errno.EROFS,
}


def is_limit(error: OSError) -> bool:
    """Whether it says that this machine has no room, not that a folder is the wrong one."""
    return error.errno in _ADVICE.keys() - _ANOTHER_FOLDER


def advice(code: int | None) -> str:
    """What to do about an error number of the system's, for the middle of a sentence."""
    return _ADVICE.get(code or 0, "see to it")


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Map what the system and SQLite raise in writing below `folder` to StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if name.startswith("SQLITE_CORRUPT"):
            raise StoreError(
                f"{folder} holds a database that is damaged, {error} ({name}): "
                "put a copy of crawl.db in its place, or begin anew with --restart."
            ) from error
        code = next((code for prefix, code in _SQLITE_ERRNO.items() if name.startswith(prefix)), None)
        code = code or (errno.ENOSPC if _is_full(folder) else None)
        raise _store_error(folder, f"{error} ({name})", code) from error
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "OSError")
        raise _store_error(folder, f"{error.strerror} ({name})", error.errno) from error


def _is_full(folder: Path) -> bool:
    """Whether the disk has no block or no inode left: SQLite then only says that it cannot open a file."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return not disk.f_bavail or (disk.f_files > 0 and not disk.f_favail)


def _store_error(folder: Path, what: str, code: int | None) -> StoreError:
    return StoreError(
        f"{folder} cannot be written, {what}: {advice(code)} and run the same command again, "
        "it goes on from what was committed."
    )
