"""`curl --parallel`, a process of it for each that is asked for, each with its share of the list."""

from __future__ import annotations

import shlex
from pathlib import Path

from benchmarks.contender import Outcome
from benchmarks.peers.base import find, judged, not_installed, version_of
from benchmarks.workloads import Task, Workload

_MOST_IN_PARALLEL = 300
"""What curl before 8.16 cuts `--parallel-max` to."""


class Curl:
    """libcurl's own command, C all the way."""

    name = "curl -Z"
    kind = "peer"

    def missing(self, workload: Workload) -> str | None:
        """Not installed, or the workload wants parsing."""
        return "cannot parse" if workload.parses else not_installed("curl")

    def version(self) -> str:
        """curl's."""
        return version_of("curl")

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """As asked for, within curl's limit."""
        return procs, min(conc, _MOST_IN_PARALLEL)

    def command(self, task: Task) -> list[str]:
        """A shell that starts them all; its own work is a millisecond."""
        lines = task.urls.read_text(encoding="ascii").splitlines()
        commands = []
        for share in range(task.procs):
            config = self._file(task, share, "curlrc")
            numbers = range(share, len(lines), task.procs)
            config.write_text("".join(f'url = "{lines[n]}"\noutput = "{n}"\n' for n in numbers), encoding="ascii")
            command = shlex.join(self._one(task, str(config)))
            commands.append(f"{command} > {shlex.quote(str(self._file(task, share, 'times')))}")
        return ["sh", "-c", " & ".join(commands) + " & wait"]

    def outcome(self, task: Task, stdout: str) -> Outcome:  # noqa: ARG002 - the siblings' signature
        """A line a transfer is what curl tells."""
        files = [self._file(task, share, "times") for share in range(task.procs)]
        times = [float(line) * 1000 for file in files for line in file.read_text(encoding="ascii").splitlines()]
        return judged(task, len(times), times)

    def _file(self, task: Task, share: int, what: str) -> Path:
        return task.urls.with_suffix(f".{share}.{what}")

    def _one(self, task: Task, config: str) -> list[str]:
        curl = find("curl")
        assert curl is not None
        wild = ["--location", "--compressed", "--max-filesize", "262144"] if task.workload.wild else []
        told = ["--write-out", r"%{time_total}\n"]
        shape = ["--parallel", "--parallel-immediate", "--parallel-max", str(task.conc)]
        return [
            curl,
            "-q",
            "-sS",
            "--no-progress-meter",
            *shape,
            *wild,
            *told,
            "--output-dir",
            str(task.out),
            "--config",
            config,
        ]


CONTENDER = Curl()
