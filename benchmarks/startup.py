"""How long until something happens? `python -m benchmarks.startup [--runs 20]`.

Times `python -c pass`, `crawl --help`, and a crawl of one URL of the own origin from start to end, with what is on by
default, in turn. Each figure is the median of the runs: wall time, and CPU time of the command and its children, which
others' load disturbs less; the ratios are to `python -c pass`. Run each once before, so that all is compiled.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figures import show, show_json
from benchmarks.job import scratch
from benchmarks.measure import inherited
from benchmarks.origin import running_origin

_BASE = "python -c pass"


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What one run took, in milliseconds."""

    wall_ms: float
    cpu_ms: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with scratch(1) as folder, running_origin(("127.0.0.1",)) as (base,):
        urls, out = folder / "urls.txt", folder / "out"
        urls.write_text(f"{base}/page/1\n", encoding="ascii")
        python, crawl = [sys.executable], [sys.executable, "-m", "crawler"]
        costs = medians(
            {
                _BASE: [*python, "-c", "pass"],
                "crawl --help": [*crawl, "--help"],
                "crawl, one URL": [*crawl, "run", str(urls), "--out", str(out), "--allow-private"],
            },
            out,
            args.runs,
        )
    show(f"{args.runs} runs each", {name: _line(cost, costs[_BASE]) for name, cost in costs.items()})
    show_json("startup", vars(args), {name: dataclasses.asdict(cost) for name, cost in costs.items()})
    return 0


def medians(commands: Mapping[str, Sequence[str]], out: Path, runs: int) -> dict[str, Cost]:
    """What each command takes; `out` is deleted after each. Raises CalledProcessError where one fails."""
    taken: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, command in commands.items():
            cost = _cost(command)
            shutil.rmtree(out, ignore_errors=True)
            if number:  # the first one compiles
                taken[name].append(cost)
    return {
        name: Cost(statistics.median(c.wall_ms for c in costs), statistics.median(c.cpu_ms for c in costs))
        for name, costs in taken.items()
    }


def _cost(command: Sequence[str]) -> Cost:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=inherited())
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return Cost(wall_s * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3)


def _line(cost: Cost, base: Cost) -> str:
    return (
        f"{cost.wall_ms:7.1f} ms ({cost.wall_ms / base.wall_ms:5.1f} x), "
        f"{cost.cpu_ms:7.1f} ms of CPU ({cost.cpu_ms / base.cpu_ms:5.1f} x)"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description="The time until it works.")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="of which the median is shown (default 20)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
