"""What does the parent cost a page? `python -m benchmarks.parent [--pages 100000]`.

The parent is the real one: `crawl run`, its display lines included, from the list to the commits, in a fresh process,
on tmpfs where there is one. Its workers are stand-ins (`standin.py`) that answer each entry with the records of an 8 KB
page. What is counted is the parent's own CPU time, without its start: the costs of a long list less those of a short
one, over the pages between. Each figure is the median of the rounds. The last two lines are normalising and dedupe
alone, of URLs that are normal already and of some that are not. `--profile FILE` writes a profile of one run.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import functools
import gc
import io
import multiprocessing
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.figures import show, show_json
from benchmarks.job import scratch
from benchmarks.site import PAGE_BYTES
from benchmarks.standin import stand_in
from crawler.config import CrawlConfig
from crawler.intake import Intake
from crawler.records import Entry, Request

_SITES = 1_000
_SHORT = 10
_BATCH = 2_000
_KINDS = {
    "normalising and dedupe": "https://www.site-{0}.example/page/{1}",
    "the same, not in normal form": "HTTP://www.Site-{0}.example:8080/a/../page/{1}?q=ü",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    figures = {}
    with scratch(args.pages * PAGE_BYTES) as folder:
        write_list(folder / "long.txt", args.pages)
        write_list(folder / "short.txt", max(args.pages // _SHORT, 1))
        if args.profile is not None:
            _profiled(args.profile, functools.partial(crawl_cost, folder, "long", args.procs, args.conc, 0.0))
            return 0
        for name, pace in (("as fast as the pipes", 0.0), (f"{args.pace:,} pages a second a worker", args.pace)):
            figures[name] = cost_a_page(folder, args, pace)
    for name, url in _KINDS.items():
        figures[name] = statistics.median(intake_cost(url, args.pages) for _ in range(args.rounds))
    show(f"the parent, a page; {args.pages:,} pages of {args.procs} stand-ins", {
        name: f"{us:,.1f} µs of CPU" for name, us in figures.items()})  # fmt: skip
    settings = {name: value for name, value in vars(args).items() if name != "profile"}
    show_json("parent", settings, {name: round(us, 1) for name, us in figures.items()})
    return 0


def write_list(path: Path, count: int) -> None:
    """Write a list of so many pages of 1,000 sites, the sites in turn."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"https://www.site-{n % _SITES}.example/page/{n}\n" for n in range(count))


def cost_a_page(folder: Path, args: argparse.Namespace, pace: float) -> float:
    """The median of the rounds, in µs."""
    between = args.pages - max(args.pages // _SHORT, 1)
    found: list[float] = []
    for _ in range(args.rounds):
        long_s, short_s = (_fresh(folder, name, args, pace) for name in ("long", "short"))
        found.append((long_s - short_s) / between * 1e6)
    return statistics.median(found)


def intake_cost(url: str, count: int) -> float:
    """What it takes to normalise one of `count` entries and to look it up, in µs."""
    intake = Intake(CrawlConfig(), b"k" * 16)
    entries = [Entry(n, "", n, Request(url.format(n % _SITES, n))) for n in range(1, count + 1)]
    began = time.process_time()
    for at in range(0, count, _BATCH):
        intake.admit(entries[at : at + _BATCH])
    return (time.process_time() - began) / count * 1e6


def _fresh(folder: Path, name: str, args: argparse.Namespace, pace: float) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return float(fresh.submit(crawl_cost, folder, name, args.procs, args.conc, pace).result())


def crawl_cost(folder: Path, name: str, procs: int, conc: int, pace: float) -> float:
    """The CPU time that this process takes to crawl the list `NAME.txt`, in seconds; what was fetched is deleted."""
    from crawler.cli.main import main as crawl

    out = folder / "out"
    command = ["run", str(folder / f"{name}.txt"), "--out", str(out), "--procs", str(procs), "--conc", str(conc)]
    gc.collect()
    try:
        with stand_in(pace), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            began = time.process_time()
            status = crawl([*command, "--no-robots", "--per-host", "0"])
            cpu_s = time.process_time() - began
    finally:
        shutil.rmtree(out, ignore_errors=True)
    if status:
        raise RuntimeError(f"crawl ended with exit status {status}")
    return cpu_s


def _profiled(file: Path, work: Callable[[], float]) -> None:
    profile = cProfile.Profile(time.process_time)
    profile.runcall(work)
    profile.dump_stats(file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parent", description="The parent's CPU a page.")
    parser.add_argument("--pages", type=int, default=100_000, metavar="N", help="of the list (default 100000)")
    parser.add_argument("--procs", type=int, default=2, metavar="N", help="stand-ins (default 2)")
    parser.add_argument("--conc", type=int, default=64, metavar="M", help="in flight a stand-in (default 64)")
    parser.add_argument("--pace", type=int, default=2_000, metavar="N", help="pages a second of each (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of which the median is shown (default 3)")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="profile one run into FILE, and nothing else")
    return parser


if __name__ == "__main__":
    sys.exit(main())
