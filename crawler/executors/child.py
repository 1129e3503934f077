"""Starting a worker's process: a fresh interpreter, two pipe ends, and the record of its flights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from crawler import signals
from crawler.descriptors import above_standard
from crawler.engines import worker_module
from crawler.flights import make_record, read_record


def start(engine: str, conc: int, read_fd: int, write_fd: int) -> Process:
    """Start a worker for `engine`, with `conc` exchanges in flight at most, which owns these two ends from now on.

    Raises OSError.
    """
    try:
        record = make_record(2 * conc)  # in flight, and fetched but not yet parsed
        try:
            return Process(_start(engine, read_fd, write_fd, record), record)
        except BaseException:
            os.close(record)
            raise
    finally:
        os.close(read_fd)
        os.close(write_fd)


def two_pipes() -> tuple[int, int, int, int]:
    """Both pipes of a worker, reading end first; none where there is room for one only. Raises OSError."""
    ends: list[int] = []
    try:
        ends += os.pipe()
        ends += os.pipe()
        for place, end in enumerate(ends):
            ends[place] = above_standard(end)  # in the child those are taken
    except OSError:
        for end in ends:
            os.close(end)
        raise
    return ends[0], ends[1], ends[2], ends[3]


class Process:
    """A worker in a process of its own, and the record of its flights."""

    def __init__(self, process: subprocess.Popen[bytes], record: int) -> None:
        self._process = process
        self._record = record
        self._flights: set[int] = set()
        self._ended = False

    def end(self, within_s: float) -> None:
        """Wait for it; kill it where it does not go by itself."""
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._ended = True
            self._process.kill()
            self._process.wait()
        if self._record >= 0:
            self._flights = read_record(self._record)
            os.close(self._record)
            self._record = -1

    def let_be(self) -> None:
        """Close what a fork has copied: it is the other process's."""
        self._process.returncode = 0  # nobody here waits for it
        if self._record >= 0:
            os.close(self._record)
            self._record = -1

    def cause(self) -> str:
        """Why it is gone."""
        status = self._process.returncode
        if self._ended:
            return "closed its pipe and did not leave"
        if status == -signal.SIGKILL:
            return "was ended by SIGKILL (perhaps the system is out of memory)"
        return f"was ended by {_name(-status)}" if status < 0 else f"ended with exit status {status}"

    def in_flight(self) -> set[int]:
        """The seqs of the entries that it had in flight at the end."""
        return self._flights


def _start(engine: str, *descriptors: int) -> subprocess.Popen[bytes]:
    # It begins with these blocked, until it has said that it ignores them: Ctrl-C is the parent's business, also
    # while the worker is still importing.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals.PARENTS)
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", worker_module(engine), *map(str, descriptors), engine],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            env=_environment(),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _name(number: int) -> str:
    """A signal's name; those for real-time programs have numbers only (signal(7))."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _environment() -> dict[str, str]:
    """The caller's environment, and this very package importable, wherever it was found."""
    environment = dict(os.environ)
    package = str(Path(__file__).resolve().parents[2])
    if package not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        paths = [package, *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment
