"""One case in a fresh process, measured; and many of them, interleaved."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender, Outcome
from benchmarks.figures import line
from benchmarks.job import scratch
from benchmarks.measure import Measurement, measure, tree_cpu_s
from benchmarks.origin import Origin
from benchmarks.workloads import Task, Workload, serving

_WARM_URLS = 200
_WARM_WAITS = 16
_BLOCK_BYTES = 4096
_INTERVAL_S = 0.1
_LONG, _LONG_INTERVAL_S = 200_000, 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One contender on one workload: `count` entries, `procs` processes, `conc` in flight in each.

    `limit_s` is when it is given up, `kill_child_s` when one of its processes is killed.
    """

    workload: Workload
    contender: Contender
    count: int
    procs: int
    conc: int
    limit_s: float = 600.0
    kill_child_s: float | None = None

    @property
    def title(self) -> str:
        """A line about it, for people."""
        return f"{self.workload.name}: {self.contender.name}, {self.procs} × {self.conc}, {self.count:,} URLs"  # noqa: RUF001

    @property
    def room_bytes(self) -> int:
        """About what its list and the pages that it saves take."""
        return self.count * (max(self.workload.size, _BLOCK_BYTES) + 200)


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """How a case went; `origin_s` is the CPU time that the origin took meanwhile."""

    measurement: Measurement
    outcome: Outcome
    origin_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Cases of one workload that are run in turn, `runs` times, and shown together as `section`.

    With `warm` each case runs once before, with a short list, and does not count.
    """

    section: str
    cases: tuple[Case, ...]
    runs: int = 1
    warm: bool = True

    @property
    def steps(self) -> int:
        """How many runs there are that count."""
        return len(self.cases) * self.runs


def run_part(part: Part, *, origin_procs: int, tell: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """The JSON line of each run; `tell` is called with what begins."""
    workload = part.cases[0].workload
    with tempfile.TemporaryDirectory() as folder, serving(workload, Path(folder), origin_procs) as (origin, ca):
        for case in part.cases if part.warm else ():
            tell(f"{case.title}, to warm up")
            few = min(case.count, _WARM_WAITS if workload.wait_s else _WARM_URLS)
            run_case(dataclasses.replace(case, count=few), origin, ca)
        for number in range(1, part.runs + 1):
            for case in part.cases:
                tell(f"{case.title}, run {number} of {part.runs}")
                run = run_case(case, origin, ca)
                settings = {"section": part.section, "origin_procs": origin_procs, "run": number}
                yield line("workload", {**settings, **settings_of(case)}, figures_of(case, run))


def run_case(case: Case, origin: Origin, ca: Path | None) -> Run:
    """Run it once, in a folder of its own that is deleted afterwards."""
    with scratch(case.room_bytes) as folder:
        urls, out = folder / "urls.txt", folder / "out"
        out.mkdir()
        with urls.open("w", encoding="ascii") as file:
            file.writelines(f"{url}\n" for url in case.workload.lines(origin, case.count))
        task = Task(case.workload, urls, out, case.count, case.procs, case.conc, ca)
        command = case.contender.command(task)
        before = tree_cpu_s(origin.pid)
        measurement = measure(
            command,
            interval_s=_INTERVAL_S if case.count < _LONG else _LONG_INTERVAL_S,
            environment=task.environment,
            limit_s=case.limit_s,
            kill_child_s=case.kill_child_s,
        )
        origin_s = tree_cpu_s(origin.pid) - before
        try:
            outcome = case.contender.outcome(task, measurement.stdout)
        except Exception as error:
            outcome = Outcome(0, 0)
            measurement = dataclasses.replace(measurement, stderr=f"{measurement.stderr}{error!r}\n")
    return Run(measurement, outcome, origin_s)


def settings_of(case: Case) -> dict[str, Any]:
    """What a case is, for its JSON line."""
    return {
        "workload": case.workload.name,
        "kind": case.contender.kind,
        "name": case.contender.name,
        "version": case.contender.version(),
        "urls": case.count,
        "procs": case.procs,
        "conc": case.conc,
    }


def figures_of(case: Case, run: Run) -> dict[str, Any]:
    """The figures of a run; those of a page are over its good ones, and NULL where there are none."""
    measured, outcome = run.measurement, run.outcome
    good = outcome.good
    expected = case.workload.good(case.count)
    hung = measured.wall_s > case.limit_s  # then nobody waited for its children, whose CPU time nobody knows
    return {
        "good": good,
        "expected": expected,
        "failed": outcome.failed,
        "lost": max(0, case.count - good - outcome.failed),
        "pages_per_s": round(good / measured.wall_s, 2),
        "cpu_us_per_page": round(measured.cpu_s / good * 1e6, 1) if good and not hung else None,
        "origin_us_per_page": round(run.origin_s / good * 1e6, 1) if good else None,
        "peak_mb": round(measured.peak_mb, 1) or None,  # it was over before anybody looked
        "p50_ms": _rounded(outcome.p50_ms),
        "p99_ms": _rounded(outcome.p99_ms),
        "wall_s": round(measured.wall_s, 3),
        "cpu_s": round(measured.cpu_s, 3),
        "exit_status": measured.exit_status,
        "hung": hung,
        **({"says": measured.stderr[-300:]} if measured.exit_status or good < expected else {}),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)
