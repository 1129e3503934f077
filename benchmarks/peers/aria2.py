"""aria2c: one process, one connection a file."""

from __future__ import annotations

from benchmarks.contender import Outcome
from benchmarks.peers.base import find, judged, not_installed, version_of
from benchmarks.workloads import Task, Workload


class Aria2:
    """A download manager in C++. It tells nothing of single URLs but by its files."""

    name = "aria2c"
    kind = "peer"

    def missing(self, workload: Workload) -> str | None:
        """Not installed, or the workload wants parsing."""
        return "cannot parse" if workload.parses else not_installed("aria2c")

    def version(self) -> str:
        """aria2's."""
        return version_of("aria2c")

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """All in one process."""
        return 1, procs * conc

    def command(self, task: Task) -> list[str]:
        """Quiet, without tries of its own, into one folder, without a preallocation."""
        aria2c = find("aria2c")
        assert aria2c is not None
        trust = [f"--ca-certificate={task.ca}"] if task.ca else []
        files = [f"--dir={task.out}", f"--input-file={task.urls}", "--file-allocation=none", "--deferred-input=true"]
        quiet = ["--no-conf", "--quiet", "--download-result=hide", "--max-tries=1", "--http-accept-gzip=true"]
        return [aria2c, *quiet, *trust, *files, "--split=1", f"--max-concurrent-downloads={task.conc}"]

    def outcome(self, task: Task, stdout: str) -> Outcome:  # noqa: ARG002 - the siblings' signature
        """Its files are all that is known; in the wild what is no good page has failed."""
        return judged(task, task.count if task.workload.wild else 0, [])


CONTENDER = Aria2()
