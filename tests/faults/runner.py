"""Runs cases, counts, and says it in a table."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import FrameType, ModuleType

from faults.arena import BOUND_S, arena, seed_of

LONG_ENTRIES, SHORT_ENTRIES = 2000, 200
_HEAD = ("fault", "runs", "passed", "failed", "kills", "seconds", "seeds of failures")
_LINE = "{:<14} {:>5} {:>7} {:>7} {:>6} {:>8}  {}"
_SPARE_S = 60.0  # for the judge, and for ending what is left


@dataclasses.dataclass(frozen=True)
class Ran:
    """One run: what it violated, a sentence each, and how many signals landed."""

    seed: int
    violations: list[str]
    kills: int


@dataclasses.dataclass
class Tally:
    """What came of one case so far."""

    fault: str
    runs: int = 0
    failed: list[int] = dataclasses.field(default_factory=list)
    kills: int = 0
    seconds: float = 0.0

    def add(self, ran: Ran) -> None:
        """Count a run."""
        self.runs += 1
        self.kills += ran.kills
        if ran.violations:
            self.failed.append(ran.seed)

    def line(self) -> str:
        """A line of the table."""
        seeds = " ".join(map(str, self.failed))
        passed = self.runs - len(self.failed)
        return _LINE.format(self.fault, self.runs, passed, len(self.failed), self.kills, f"{self.seconds:.0f}", seeds)


def run_case(case: ModuleType, seed: int, entries: int) -> Ran:
    """One run of a case, in a folder of its own. Whatever it raises is a violation."""
    found, kills = list[str](), 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        try:
            with arena(Path(folder), seed, entries, _bound_s(case)) as place:
                try:
                    found = case.run(place, seed)
                finally:
                    kills = place.kills
        except Exception as error:  # a run that breaks has failed, and the others go on
            found = [f"{type(error).__name__}: {error}"]
    return Ran(seed, found, kills)


def main(cases: Sequence[ModuleType], seed: int, *, short: bool, jobs: int, runs: int | None = None) -> int:
    """Run these cases, `jobs` runs at once, and print the table as it grows; 1 where anything failed."""
    entries, tallies = SHORT_ENTRIES if short else LONG_ENTRIES, list[Tally]()
    print(_LINE.format(*_HEAD), flush=True)
    for case in cases:
        tallies.append(Tally(case.NAME))
        started = time.monotonic()
        seeds = [seed_of(seed, case.NAME, number) for number in range(runs or (case.SHORT if short else case.LONG))]
        for ran in _results(case, seeds, entries, jobs):
            tallies[-1].add(ran)
            for text in ran.violations:
                print(f"  {case.NAME} --seed {ran.seed}: {text}", flush=True)
        tallies[-1].seconds = time.monotonic() - started
        print(tallies[-1].line(), flush=True)
    print("\n".join(["", _LINE.format(*_HEAD), *(tally.line() for tally in tallies)]))
    print(json.dumps({"seed": seed, "faults": [dataclasses.asdict(tally) for tally in tallies]}))
    return int(any(tally.failed for tally in tallies))


def _results(case: ModuleType, seeds: Sequence[int], entries: int, jobs: int) -> Iterator[Ran]:
    """The runs of a case, in their order. A case that says `ALONE` needs the machine for itself."""
    workers = 1 if getattr(case, "ALONE", False) else jobs
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_bounded_case, [case.__name__] * len(seeds), seeds, [entries] * len(seeds))


def _bounded_case(name: str, seed: int, entries: int) -> Ran:
    case = importlib.import_module(name)
    with _bounded(_bound_s(case) + _SPARE_S):
        return run_case(case, seed, entries)


def _bound_s(case: ModuleType) -> float:
    """The bound of one run, in seconds; a case may have its own `BOUND_S`."""
    return float(getattr(case, "BOUND_S", BOUND_S))


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """The last resort against a hang of the harness itself: an exception wherever it stands."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the run was not over after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
