"""Disks that are as small as one wants. Siblings: each has `name`, `folder`, `words`, `narrow`, `free` and `bring`.

`words` stand before a command that is to use the disk at `folder`. `narrow` leaves room for so many `files` or `bytes`
in all, `free` gives plenty of both, and `bring` copies a folder of the disk to where everybody sees it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PLENTY = "size=1g,nr_inodes=100k"
_HOLD = 'mount -t tmpfs -o "$1" none "$0" && echo mounted && exec cat'
_BLOCK_BYTES = 512  # what `ulimit -f` of sh counts in (POSIX)


class Tmpfs:
    """A tmpfs in user and mount namespaces of its own, which need no privilege; `holder` is a process in there."""

    name = "a tmpfs"

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        enter = ("nsenter", "--preserve-credentials", "-t", str(holder), "-U", "-m", "--")
        self.words: tuple[str, ...] = (*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(folder.parent))

    def narrow(self, what: str, number: int) -> None:
        """Room for so many files (its root is the first of them), or so many bytes."""
        self.remount(f"nr_inodes={number}" if what == "files" else f"size={number}")

    def fill(self) -> None:
        """Somebody else's file takes what is left."""
        self._run("sh", "-c", 'cat /dev/zero > "$0" || true', str(self.folder / "filler"))

    def free(self) -> None:
        """Room for all."""
        self.remount(f"rw,{_PLENTY}")
        self._run("rm", "-f", str(self.folder / "filler"))

    def remount(self, options: str) -> None:
        """Change options of the mount, as mount(8) names them."""
        self._run("mount", "-o", f"remount,{options}", str(self.folder))

    def bring(self, name: str, to: Path) -> None:
        """Copy the folder of this name, if there is one."""
        shutil.rmtree(to, ignore_errors=True)
        self._run("sh", "-c", 'test ! -e "$0" || cp -a "$0" "$1"', str(self.folder / name), str(to))

    def _run(self, *command: str) -> None:
        subprocess.run([*self.words, *command], check=True, capture_output=True)


class FileSizes:
    """The substitute: no file may grow beyond a part of what is asked for (RLIMIT_FSIZE, setrlimit(2))."""

    name = "a limit on the size of files (no tmpfs is allowed here)"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words: tuple[str, ...] = ()

    def narrow(self, what: str, number: int) -> None:
        """A page for each file that there would be room for, or a quarter of the bytes."""
        blocks = 8 * number if what == "files" else number // 4 // _BLOCK_BYTES
        self.words = ("sh", "-c", 'ulimit -f "$0" && exec "$@"', str(blocks))

    def free(self) -> None:
        """Any size."""
        self.words = ()

    def bring(self, name: str, to: Path) -> None:
        """Copy the folder of this name, if there is one."""
        shutil.rmtree(to, ignore_errors=True)
        if (self.folder / name).exists():
            shutil.copytree(self.folder / name, to)


@contextlib.contextmanager
def volume(folder: Path) -> Iterator[Tmpfs | FileSizes]:
    """The best that there is on this system, mounted at `folder`; gone, with all that it holds, at the end."""
    folder.mkdir()
    holding = ["unshare", "-rm", "sh", "-c", _HOLD, str(folder), _PLENTY]
    try:
        holder = subprocess.Popen(holding, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        yield FileSizes(folder)
        return
    with holder:  # it ends with its standard input
        assert holder.stdout is not None
        yield Tmpfs(folder, holder.pid) if holder.stdout.readline() else FileSizes(folder)
