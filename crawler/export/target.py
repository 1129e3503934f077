"""Where an export goes: a file that takes its name only when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from crawler.durable import sync_folder
from crawler.errors import StoreError, UsageError
from crawler.store.limits import advice


class Target:
    """A file (or `-`) that `opened` writes, or the folder of the form `files`.

    A link is followed. What is there and no file (a pipe, a device) is written to as it is, as a shell would.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        self.path = path
        self.overwrite = overwrite
        self._real = Path(os.path.realpath(path))  # unlike Path.resolve, also of links that go round in circles

    @property
    def is_stream(self) -> bool:
        """Whether it cannot be replaced, nor be written but from front to back. Raises UsageError where none can be."""
        if str(self.path) == "-":
            return True
        mode = self._mode()
        return mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)

    @property
    def folder(self) -> Path:
        """Where there is room for what is needed on the way."""
        return Path(tempfile.gettempdir()) if self.is_stream else self._real.parent

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """A file to write. When the block ends it is on the disk under its name; where it fails, nothing is left.

        Raises UsageError where the target may not be made, StoreError where it cannot be written.
        """
        if str(self.path) == "-":
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
            return
        if self.is_stream:
            with writing(self.path), self.path.open("wb") as stream:
                yield stream
            return
        self._refuse()
        real = self._real
        part = real.with_name(f".{real.name[:200]}.{secrets.token_hex(4)}.part")
        with writing(self.path):
            try:
                with part.open("xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(real)
                sync_folder(real.parent)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def _mode(self) -> int | None:
        """What kind of file is there, also behind a link; None where there is none."""
        try:
            return self.path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UsageError(f"{self.path} cannot be made, {error.strerror}; name another file.") from error

    def _refuse(self) -> None:
        if self.path.is_dir():
            raise UsageError(f"{self.path} is a folder; name a file.")
        if not self.overwrite and os.path.lexists(self.path):
            raise UsageError(f"{self.path} is there already; name another file, or replace it with --overwrite.")
        if not self._real.parent.is_dir():
            parent = self._real.parent if self.path.is_symlink() else self.path.parent
            raise UsageError(f"{self.path} cannot be made: {parent} is no folder.")


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Map what the system raises in writing `target` to StoreError."""
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "OSError")
        raise StoreError(
            f"{target} cannot be written, {error.strerror or error} ({name}): {advice(error.errno)} and run the same "
            "command again."
        ) from error
