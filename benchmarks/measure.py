"""What a command costs: wall time, CPU time and memory of a fresh process and all of its children (Linux only)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """The memory of all processes together at one moment, in MB (10^6 bytes), `seconds` after the start."""

    seconds: float
    memory_mb: float


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """How a command ran.

    `started_at` is in seconds since the epoch. `cpu_s` is user and system time of the process and of every
    descendant that was waited for. Memory is the sum of the PSS, so a page that several processes share counts once.
    """

    started_at: float
    wall_s: float
    cpu_s: float
    samples: tuple[Sample, ...]
    exit_status: int
    stdout: str
    stderr: str

    @property
    def peak_mb(self) -> float:
        """The largest sample; 0 for a command that was over before the first one."""
        return max((sample.memory_mb for sample in self.samples), default=0.0)

    def memory_mb_at(self, epoch_s: float) -> float:
        """The memory at a moment in seconds since the epoch: the sample that is nearest to it."""
        seconds = epoch_s - self.started_at
        found = [sample for sample in self.samples if sample.memory_mb]  # 0 is what a process has that is just ending
        nearest = min(found, key=lambda sample: abs(sample.seconds - seconds), default=Sample(0.0, 0.0))
        return nearest.memory_mb


def measure(
    command: Sequence[str],
    *,
    interval_s: float = 0.1,
    environment: Mapping[str, str] | None = None,
    limit_s: float | None = None,
    kill_child_s: float | None = None,
) -> Measurement:
    """Run `command` to its end, with nothing to read, and sample its memory each `interval_s` seconds.

    `environment` is what it has beside ours. After `limit_s` seconds it is killed, with all that it started. After
    `kill_child_s` seconds its youngest child is killed, as a kernel that is short of memory does.

    The sampling is this process's work and not in `cpu_s`, but takes place on the same machine: about a millisecond a
    sample and process of 100 MB.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started_at, started = time.time(), time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**inherited(), **(environment or {})},
            start_new_session=True,  # a group to kill
        )
        try:
            samples = _sample(process.pid, started, interval_s, limit_s, kill_child_s)
            wall_s = time.monotonic() - started
            usage = _reap(process)
        finally:
            if process.returncode is None:  # we were interrupted
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return Measurement(
            started_at=started_at,
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            samples=samples,
            exit_status=process.returncode,
            stdout=_text(stdout.fileno()),
            stderr=_text(stderr.fileno()),
        )


def inherited() -> dict[str, str]:
    """Our environment without what makes each process compile a checkout anew: 90 ms that an installed package and the
    competitors do not take.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def tree_memory_mb(pid: int) -> float:
    """The PSS of a process and its descendants, in MB; those that are gone count nothing."""
    return sum(_pss_bytes(member) for member in _tree(pid)) / 1e6


def tree_cpu_s(pid: int) -> float:
    """User and system time of a process and its living descendants so far, in seconds, to a hundredth."""
    ticks = 0
    for member in _tree(pid):
        fields = _read(Path(f"/proc/{member}/stat")).rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12]) if fields else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def _sample(
    pid: int, started: float, interval_s: float, limit_s: float | None, kill_child_s: float | None
) -> tuple[Sample, ...]:
    """Samples until the process ends, by itself or by the limit; it is not waited for yet."""
    samples: list[Sample] = []
    end = os.pidfd_open(pid)
    try:
        ended = select.poll()
        ended.register(end, select.POLLIN)
        while not ended.poll(interval_s * 1000):
            seconds = time.monotonic() - started
            samples.append(Sample(seconds, tree_memory_mb(pid)))
            if kill_child_s is not None and seconds > kill_child_s:
                kill_child_s = None
                _kill_youngest(pid)
            if limit_s is not None and seconds > limit_s:
                os.killpg(pid, signal.SIGKILL)
    finally:
        os.close(end)
    return tuple(samples)


def _kill_youngest(pid: int) -> None:
    *_, youngest = _tree(pid)
    if youngest != pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(youngest, signal.SIGKILL)


def _reap(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Wait for this child alone: `getrusage(RUSAGE_CHILDREN)` would add up all that this process ever started."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for member in pids:  # grows while it is walked
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            pids += map(int, _read(children).split())
    return pids


def _pss_bytes(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    """A file of /proc; empty when its process has just ended."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def _text(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")
