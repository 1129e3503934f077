"""The real command as a child process, for the tests of the command line."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from crawler.errors import FolderError
from crawler.results import open_crawl

_COMMAND = (sys.executable, "-m", "crawler")


def crawl(*arguments: str | Path, cwd: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """`crawl` with these arguments, to its end; `text` is its standard input."""
    command = [*_COMMAND, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, check=False)


def complaints(said: str) -> str:
    """Standard error without the progress lines, which a slow machine has time for."""
    return "".join(line for line in said.splitlines(keepends=True) if not re.match(r"\d\d:\d\d:\d\d ", line))


@contextlib.contextmanager
def running(*arguments: str | Path, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """`crawl` in a session of its own; whoever is left of that session at the end is killed."""
    child = subprocess.Popen(
        [*_COMMAND, *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        for pid in members(child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.communicate()


def members(session: int) -> set[int]:
    """The living processes of a session."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session, *_ = stat.read_text().rpartition(")")[2].split()  # proc_pid_stat(5)
            if int(its_session) == session and state != "Z":
                found.add(int(stat.parent.name))
    return found


def workers(parent: subprocess.Popen[str]) -> set[int]:
    """The worker processes of a running `crawl`."""
    return members(parent.pid) - {parent.pid}


def until(holds: Callable[[], object]) -> None:
    """Ask again and again until it holds; a test's own time limit ends what never does."""
    while not holds():
        time.sleep(0)


def rows(folder: Path, columns: str, where: str = "1") -> list[tuple[Any, ...]]:
    """The rows of a crawl, by seq."""
    with open_crawl(folder) as results:
        return list(results.query(f"SELECT {columns} FROM pages WHERE {where} ORDER BY seq"))


def recorded(folder: Path) -> int:
    """How many rows a crawl has, which may be about to begin."""
    try:
        return len(rows(folder, "seq"))
    except (FolderError, sqlite3.Error):
        return 0


def write_list(folder: Path, *urls: str, name: str = "urls.txt") -> Path:
    """A list of URLs as a file."""
    path = folder / name
    path.write_text("".join(f"{url}\n" for url in urls))
    return path
