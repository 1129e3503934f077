"""GNU wget2: one process, as many threads as may be in flight in all."""

from __future__ import annotations

from benchmarks.contender import Outcome
from benchmarks.peers.base import find, judged, not_installed, version_of
from benchmarks.workloads import Task, Workload

_MOST_THREADS = 1000


class Wget2:
    """Multi-threaded, in C. It tells nothing of single URLs but by its files."""

    name = "wget2"
    kind = "peer"

    def missing(self, workload: Workload) -> str | None:
        """Not installed, or the workload wants parsing."""
        return "cannot parse" if workload.parses else not_installed("wget2")

    def version(self) -> str:
        """wget2's."""
        return version_of("wget2")

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """All in one process."""
        return 1, min(procs * conc, _MOST_THREADS)

    def command(self, task: Task) -> list[str]:
        """Quiet, without tries of its own, into one folder."""
        wget2 = find("wget2")
        assert wget2 is not None
        trust = [f"--ca-certificate={task.ca}"] if task.ca else []
        what = ["--no-config", "-q", "--tries=1", "--no-robots", "--no-directories", "--no-hsts", *trust]
        return [
            wget2,
            *what,
            f"--max-threads={task.conc}",
            f"--directory-prefix={task.out}",
            f"--input-file={task.urls}",
        ]

    def outcome(self, task: Task, stdout: str) -> Outcome:  # noqa: ARG002 - the siblings' signature
        """Its files are all that is known; in the wild what is no good page has failed."""
        return judged(task, task.count if task.workload.wild else 0, [])


CONTENDER = Wget2()
