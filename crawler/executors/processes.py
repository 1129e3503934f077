"""Workers as fresh interpreters, one a core: no fork, no `__main__` guard, nothing inherited but two pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from crawler.chunks import needs_homes
from crawler.config import CrawlConfig
from crawler.engines import worker_module
from crawler.executors.base import Executor
from crawler.executors.pipes import Child, PipeExecutor
from crawler.flights import make_record, read_record
from crawler.records import Keep
from crawler.wire import PARENTS_SIGNALS, Settings


class _Process:
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


class ProcessExecutor(PipeExecutor):
    """Runs each worker as `python -P -m crawler.worker` (or what its engine needs in that place)."""

    def _start_child(self, worker: int, read_fd: int, write_fd: int) -> Child:  # noqa: ARG002
        try:
            record = make_record(self._settings.config.conc)
            try:
                return _Process(self._start_process(read_fd, write_fd, record), record)
            except BaseException:
                os.close(record)
                raise
        finally:
            os.close(read_fd)
            os.close(write_fd)

    def _start_process(self, *descriptors: int) -> subprocess.Popen[bytes]:
        # It begins with these blocked, until it has said that it ignores them: Ctrl-C is the parent's business, also
        # while the worker is still importing.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
        try:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", worker_module(self._settings.config.engine), *map(str, descriptors)],
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


def make_executor(config: CrawlConfig, keep: Keep, spool: Path | None = None) -> Executor:
    """The executor that a configuration asks for; its workers make of each fate what `keep` says, and spool there."""
    homes = config.procs if needs_homes(config) else 0
    # Python passes over a Path in there, and so do we; a name that is no UTF-8 could not travel.
    paths = tuple(path for path in sys.path if isinstance(path, str) and path.encode(errors="ignore").decode() == path)
    folder = None if spool is None else os.fsencode(spool.resolve())
    return ProcessExecutor(config.procs, Settings(config, 0, homes, keep, paths, folder))
