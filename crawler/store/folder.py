"""A crawl's folder DIR: `crawl.db`, `warc/*.warc.gz`, and the lock that one run at a time holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
from pathlib import Path

from crawler.durable import make_folder
from crawler.errors import FolderError, UsageError
from crawler.store.archive import archive_files
from crawler.store.database import kind_of
from crawler.store.limits import is_limit

_OWN = frozenset({"crawl.db", "crawl.db-journal", "crawl.db-wal", "crawl.db-shm", "crawl.lock", "spool", "warc"})


class CrawlFolder:
    """The places inside DIR, and who may write there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "crawl.db"
        self.warc = path / "warc"
        self.spool = path / "spool"
        self._lock_file = path / "crawl.lock"
        self._lock: int | None = None

    def claim(self, *, though_damaged: bool = False) -> None:
        """Make DIR with its parents and lock it; raises FolderError where it is not ours to write.

        May raise OSError and sqlite3.Error where it is ours, and the disk does not let us, or its database is damaged
        (which hinders nobody who is about to clear it, `though_damaged`).
        """
        try:
            if not self.database.exists():
                make_folder(self.path)
            self._refuse_strangers(though_damaged=though_damaged)
            if not self.lock():
                raise FolderError(
                    f"Another run is writing to {self.path}; wait until it ends, or choose another --out."
                )
        except FileExistsError as error:
            raise FolderError(f"{self.path} is a file, not a folder; choose another --out.") from error
        except OSError as error:
            if is_limit(error) or self.database.exists():
                raise  # no other folder is wanted, but room in this one
            where = f" ({error.filename})" if error.filename else ""
            raise FolderError(
                f"{self.path} cannot hold a crawl: {error.strerror}{where}; choose another --out."
            ) from error

    def refuse(self, target: Path) -> None:
        """Raise UsageError where what somebody wants to write is a file of the crawl's own, by whichever of its names.

        The archive and the database may themselves be links to where there is room for them.
        """
        real = Path(os.path.realpath(target))  # unlike Path.resolve, also of links that go round in circles
        places = [self.path / name for name in _OWN]
        inside = any(real.is_relative_to(os.path.realpath(place)) for place in places)
        if inside or any(_is_same(target, file) for file in (*places, *self._archived())):
            raise UsageError(f"{target} is a part of the crawl itself; name another file.")

    def lock(self) -> bool:
        """Take the lock of DIR unless another process has it; it ends with this process at the latest."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def release(self) -> None:
        """Give the lock back. The file stays: a new one under its name would be another lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        """Delete what a crawl has made here, and nothing else. May raise OSError."""
        # The database goes last, and its log before it: whatever is left by a sudden end can be cleared
        # again.
        for path in archive_files(self.warc):
            path.unlink()
        with contextlib.suppress(OSError):  # somebody else's files are in there, or it is not there
            self.warc.rmdir()
        if self.spool.is_dir() and not self.spool.is_symlink():
            shutil.rmtree(self.spool)
        else:
            self.spool.unlink(missing_ok=True)
        for suffix in ("-journal", "-wal", "-shm", ""):
            self.database.with_name(self.database.name + suffix).unlink(missing_ok=True)

    def _archived(self) -> list[Path]:
        """The archive's files; none where we may not look."""
        try:
            return archive_files(self.warc)
        except OSError:
            return []

    def _refuse_strangers(self, *, though_damaged: bool) -> None:
        """Raise FolderError where others' files are all there is: recovery and restart delete files."""
        try:
            kind = kind_of(self.database)
        except sqlite3.DatabaseError:
            if though_damaged and self._lock_file.exists():
                return  # by its name and by the lock beside it, it is ours
            raise
        known = _OWN - {"warc"}
        if kind == "other" or (kind == "none" and not {path.name for path in self.path.iterdir()} <= known):
            raise FolderError(f"{self.path} is not empty and holds no crawl; choose an empty or a new folder.")


def _is_same(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, as hard links do."""
    try:
        return one.samefile(other)
    except OSError:
        return False
