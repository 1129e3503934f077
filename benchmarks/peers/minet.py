"""minet: one process, as many threads as may be in flight in all, urllib3."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contender import Outcome
from benchmarks.peers.base import find, judged, not_installed, version_of
from benchmarks.workloads import Task, Workload


class Minet:
    """`minet fetch`, which saves files and writes a report in CSV."""

    name = "minet"
    kind = "peer"

    def missing(self, workload: Workload) -> str | None:
        """Not installed, or the workload wants parsing."""
        return "cannot parse" if workload.parses else not_installed("minet")

    def version(self) -> str:
        """minet's."""
        return version_of("minet")

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """All in one process."""
        return 1, procs * conc

    def command(self, task: Task) -> list[str]:
        """No throttle, no limit of its own a host."""
        minet = find("minet")
        assert minet is not None
        table = task.urls.with_suffix(".csv")
        with task.urls.open(encoding="ascii") as lines, table.open("w", encoding="ascii") as file:
            file.write("url,name\n")
            file.writelines(f"{line.strip()},{number}\n" for number, line in enumerate(lines))
        trust = ["--insecure"] if task.ca else []  # it knows the CAs of certifi only
        files = ["-i", str(table), "-f", "name", "-O", str(task.out), "-o", str(self._report(task))]
        shape = ["-t", str(task.conc), "--domain-parallelism", str(task.conc), "--throttle", "0", "--timeout", "60"]
        return [minet, "fetch", "url", *files, *shape, *trust, "--compress-transfer", "--silent"]

    def outcome(self, task: Task, stdout: str) -> Outcome:  # noqa: ARG002 - the siblings' signature
        """A line of its report for each URL; it does not say how long one took."""
        with self._report(task).open(encoding="utf-8") as lines:
            return judged(task, sum(1 for _ in lines) - 1, [])

    def _report(self, task: Task) -> Path:
        return task.urls.with_suffix(".report.csv")


CONTENDER = Minet()
