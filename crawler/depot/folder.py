"""A depot in a folder that all machines see under the same path (NFS and its like)."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from crawler.durable import sync_folder
from crawler.errors import StoreError
from crawler.store.limits import writing

_UNFINISHED = ".unfinished"


class FolderDepot:
    """See `Depot`. What is not whole yet lies in `.unfinished`, under a name of its own."""

    def __init__(self, root: Path) -> None:
        self.url = str(root)
        self._root = root

    def put(self, name: str, content: bytes | Path) -> None:
        """See `Depot.put`: written aside, synced, and given its name by rename(2)."""
        target, aside = self._path(name), self._root / _UNFINISHED / secrets.token_hex(8)
        with writing(self._root):
            aside.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with aside.open("xb") as file:
                    if isinstance(content, Path):
                        with content.open("rb") as source:
                            shutil.copyfileobj(source, file, 1024**2)
                    else:
                        file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                aside.rename(target)
            finally:
                aside.unlink(missing_ok=True)
            sync_folder(target.parent)

    def get(self, name: str) -> bytes | None:
        """See `Depot.get`."""
        with writing(self._root):
            try:
                return self._path(name).read_bytes()
            except FileNotFoundError:
                return None

    def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Depot.read`."""
        with self._path(name).open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See `Depot.sizes`."""
        for folder, folders, files in os.walk(self._root / prefix):
            folders[:] = sorted(name for name in folders if name != _UNFINISHED)
            for name in sorted(files):
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    yield path.relative_to(self._root).as_posix(), path.stat().st_size

    def delete(self, names: Iterable[str]) -> None:
        """See `Depot.delete`; folders that it leaves empty go too."""
        with writing(self._root):
            for name in names:
                path = self._path(name)
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # something else is in there, or was put in just now
                    for parent in path.relative_to(self._root).parents[:-1]:
                        (self._root / parent).rmdir()

    def abandon(self) -> None:
        """See `Depot.abandon`. Who is writing there all the same finds its file gone, and may write it again."""
        with writing(self._root):
            shutil.rmtree(self._root / _UNFINISHED, ignore_errors=True)

    def _path(self, name: str) -> Path:
        """Where an object lies; raises StoreError for a name that would lead out of the depot."""
        if not name or any(part in ("", ".", "..") for part in name.split("/")):
            raise StoreError(f"{name!r} is no name in the store {self.url}.")
        return self._root / name
