"""The WARC files of a crawl: appended at a known offset, synced, and cut back to what was committed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from crawler.durable import make_folder, sync_folder
from crawler.errors import FolderError

FILE_BYTES = 10**9
"""About what a WARC file grows to before the next one begins (WARC 1.1, annex C.1 recommends 1 GB)."""

_WRITE_BYTES = 1024**2
_NAME = re.compile(r"\d{5,}\.warc\.gz")


class Archive:
    """Files `00001.warc.gz`, `00002.warc.gz`, … in `folder`, which is made when the first byte comes.

    `warcinfo` makes the finished gzip member that begins a file of a given name. Every method may raise
    OSError; after that the archive is in no known state, and only `close` is of use.
    """

    def __init__(self, folder: Path, *, warcinfo: Callable[[str], bytes], limit_bytes: int = FILE_BYTES) -> None:
        self._folder = folder
        self._warcinfo = warcinfo
        self._limit_bytes = limit_bytes
        self._descriptor: int | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._unsynced = False
        self._new_file = False
        self.file: str | None = None
        self.length = 0
        self.tail = 0
        """Where in the file the last `data` begins that was appended."""

    def append(self, data: bytes) -> tuple[str, int]:
        """Append finished records; returns the file's name and the offset of `data` in it, in bytes.

        `data` is never split between files, and a file holds one `data` at least, however long.
        """
        if self._descriptor is None:
            self._open()
        elif self.length + len(data) > self._limit_bytes:
            self._rotate()
        assert self.file is not None
        offset = self.tail = self.length
        self._put(data)
        return self.file, offset

    def sync(self) -> None:
        """Write what waits and bring it to the disk; returns once a power loss cannot take it back."""
        self._flush()
        if self._descriptor is not None and self._unsynced:
            os.fdatasync(self._descriptor)
            self._unsynced = False
        if self._new_file:
            sync_folder(self._folder)
            self._new_file = False

    def before(self, file: str) -> tuple[str | None, int]:
        """The file before `file` and its length in bytes, as for `cut`; None and 0 where there is none."""
        earlier = [path for path in archive_files(self._folder) if _number(path.name) < _number(file)]
        return (earlier[-1].name, earlier[-1].stat().st_size) if earlier else (None, 0)

    def cut(self, file: str | None, length: int) -> None:
        """Go back to the committed state: `file` is the last one and `length` bytes long (None: no file).

        Raises FolderError where the archive is shorter than that: then somebody else has changed it.
        """
        for path in archive_files(self._folder):
            if file is None or _number(path.name) > _number(file):
                path.unlink()
        if file is not None:
            _truncate(self._folder / file, length)
        if self._folder.is_dir():
            sync_folder(self._folder)
        self.file, self.length, self.tail = file, length, length

    def close(self) -> None:
        """Close the file; what waits is dropped."""
        self._waiting, self._waiting_bytes = [], 0
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> None:
        """Go on in the last file, or begin the next one where there is none or it is full."""
        if self.file is None or self.length >= self._limit_bytes:
            self._begin()
        else:
            self._descriptor = os.open(self._folder / self.file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def _begin(self) -> None:
        name = f"{_number(self.file) + 1:05d}.warc.gz"
        make_folder(self._folder)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._folder / name, flags, 0o666)
        self.file, self.length, self.tail, self._new_file = name, 0, 0, True
        self._put(self._warcinfo(name))

    def _rotate(self) -> None:
        self.sync()
        self.close()
        self._begin()

    def _put(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self.length += len(data)
        if self._waiting_bytes >= _WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._descriptor is None or not self._waiting:
            return
        rest = memoryview(b"".join(self._waiting))
        self._waiting, self._waiting_bytes = [], 0
        self._unsynced = True
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def archive_files(folder: Path) -> list[Path]:
    """The files that an archive has made in `folder`, in their order."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: _number(path.name))


def _number(name: str | None) -> int:
    return 0 if name is None else int(name.partition(".")[0])


def _truncate(path: Path, length: int) -> None:
    size = path.stat().st_size if path.is_file() else -1
    if size < length:
        raise FolderError(
            f"{path} should hold {length} bytes and {'is missing' if size < 0 else f'holds {size}'}: "
            "the archive was changed by somebody else; restore it, or begin anew with --restart."
        )
    if size > length:
        with path.open("r+b") as file:
            file.truncate(length)
            os.fsync(file.fileno())
