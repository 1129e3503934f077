"""The real command, `crawl run`, on a list that this machine serves itself, as one measured job."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Measurement, measure
from crawler.config import ENGINES

_MEMORY_FOLDER = Path("/dev/shm")


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One crawl that came to its end. `outcomes` counts the final rows."""

    measurement: Measurement
    outcomes: Mapping[str, int]

    @property
    def entries(self) -> int:
        """How many entries have their final row."""
        return sum(self.outcomes.values())

    @property
    def all_fetched(self) -> bool:
        """Whether every entry brought a response."""
        return self.outcomes["fetched"] == self.entries

    @property
    def figures(self) -> dict[str, float]:
        """What every measurement of a crawl shows; rates are over the whole command, its start included."""
        return {
            "pages_per_s": round(self.entries / self.measurement.wall_s, 1),
            "cpu_us_per_page": round(self.measurement.cpu_s / self.entries * 1e6, 1),
            "peak_mb": round(self.measurement.peak_mb, 1),
            "wall_s": round(self.measurement.wall_s, 3),
            "cpu_s": round(self.measurement.cpu_s, 3),
        }

    @property
    def sum_of_outcomes(self) -> str:
        """The outcomes as the sum that they are."""
        return " + ".join(f"{count:,} {name}" for name, count in self.outcomes.items()) + f" = {self.entries:,}"


def run_job(urls: Path, out: Path, flags: Sequence[str]) -> Job:
    """Crawl the list `urls` into `out` in a fresh process; raises RuntimeError where the command fails."""
    command = [sys.executable, "-m", "crawler", "run", str(urls), "--out", str(out)]
    settings = ["--allow-private", "--no-robots", "--per-host", "0", "--log-format", "json"]
    measurement = measure([*command, *settings, *flags])
    if measurement.exit_status:
        raise RuntimeError(f"crawl ended with exit status {measurement.exit_status}:\n{measurement.stderr[-2000:]}")
    summary = json.loads(measurement.stdout.splitlines()[-1])
    outcomes = ("fetched", "failed", "denied", "duplicate", "invalid")
    return Job(measurement, {outcome: summary[outcome] for outcome in outcomes})


def add_flags(parser: argparse.ArgumentParser, *, procs: int, conc: int) -> None:
    """Add the settings of a crawl that a benchmark lets its user choose."""
    parser.add_argument("--procs", type=int, default=procs, metavar="N", help=f"worker processes (default {procs})")
    parser.add_argument("--conc", type=int, default=conc, metavar="M", help=f"in flight a process (default {conc})")
    parser.add_argument("--engine", choices=ENGINES, default="asyncio", help="who fetches (default asyncio)")


def flags_of(args: argparse.Namespace) -> list[str]:
    """The same settings as flags of `crawl run`."""
    return ["--procs", str(args.procs), "--conc", str(args.conc), "--engine", args.engine]


@contextlib.contextmanager
def scratch(need_bytes: int) -> Iterator[Path]:
    """A folder that is deleted afterwards: in memory if there is room, so that a disk does not set the pace."""
    roomy = _MEMORY_FOLDER.is_dir() and shutil.disk_usage(_MEMORY_FOLDER).free > 2 * need_bytes
    with tempfile.TemporaryDirectory(prefix="crawler-", dir=_MEMORY_FOLDER if roomy else None) as folder:
        yield Path(folder)
