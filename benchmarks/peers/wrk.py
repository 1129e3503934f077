"""wrk, a load generator in C that throws pages away: the ceiling of the origin, and of this machine."""

from __future__ import annotations

import re

from benchmarks.contender import Outcome
from benchmarks.peers.base import find, not_installed, version_of
from benchmarks.workloads import Task, Workload

_SECONDS = 3
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Wrk:
    """It asks for one URL again and again, for some seconds rather than for a list, and saves nothing."""

    name = "wrk"
    kind = "peer"

    def missing(self, workload: Workload) -> str | None:
        """Not installed, or a workload of which one URL says nothing."""
        return not_installed("wrk") if workload.name in ("near", "patient") else "asks for one URL only"

    def version(self) -> str:
        """wrk's."""
        return version_of("wrk", "-v")

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """A thread of it is as good as a process."""
        return 1, procs * conc

    def command(self, task: Task) -> list[str]:
        """The list's first URL."""
        wrk = find("wrk")
        assert wrk is not None
        with task.urls.open(encoding="ascii") as lines:
            url = next(lines).strip()
        seconds = _SECONDS + int(2 * task.workload.wait_s)
        shape = ["-t1", f"-c{task.conc}", f"-d{seconds}s", "--latency", "--timeout", "60s"]
        return [wrk, *shape, url]

    def outcome(self, task: Task, stdout: str) -> Outcome:  # noqa: ARG002 - the siblings' signature
        """All requests that it made and got an answer for."""
        requests = re.search(r"(\d+) requests in", stdout)
        ranks = dict(re.findall(r"^ +(50|99)% +([\d.]+\w+)$", stdout, re.MULTILINE))
        return Outcome(int(requests[1]) if requests else 0, 0, _ms(ranks.get("50")), _ms(ranks.get("99")))


def _ms(text: str | None) -> float | None:
    match = re.fullmatch(r"([\d.]+)(us|ms|s)", text or "")
    return float(match[1]) * _UNITS_MS[match[2]] if match else None


CONTENDER = Wrk()
