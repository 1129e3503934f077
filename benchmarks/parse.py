"""What does parsing in the workers cost, and what do more of them bring? `python -m benchmarks.parse [--urls 3000]`.

Crawls a list of that many pages of the own origin with 1 and with 2 worker processes: without `--parse`, and with one
that takes milliseconds of pure Python a page (`parsing.py`). A second figure is what it does to the connections beside
it: how long a page seemed to take. Exit status 1 where a page was not fetched, or has no result.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import crawler
from benchmarks.figures import show, show_json
from benchmarks.job import add_flags, run_job, scratch
from benchmarks.memory import write_list
from benchmarks.origin import running_origin
from benchmarks.parsing import parse
from benchmarks.site import PAGE_BYTES

_PROCS = (1, 2)
_TIMES = 5
_SLOWEST = "SELECT total_ms FROM pages ORDER BY total_ms LIMIT 1 OFFSET (SELECT count(*) * 99 / 100 FROM pages)"
_UNPARSED = "SELECT count(*) FROM pages WHERE parsed IS NULL"


def words(page: crawler.Page) -> dict[str, Any]:
    """What the workload `cpu` wants of a page, five times over."""
    found = [parse(page.body) for _ in range(_TIMES)]
    return found[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    good = True
    with scratch(args.urls * PAGE_BYTES * 4) as folder, running_origin() as bases:
        urls = folder / "urls.txt"
        write_list(urls, bases, args.urls)
        for procs in _PROCS:
            for function in (None, args.parse):
                figures = _run(urls, folder / f"{procs}-{function is not None}", procs, function, args)
                good = good and figures["fetched"] == args.urls and not (function and figures["without_result"])
                _show(procs, function, figures)
                show_json("parse", {**vars(args), "procs": procs, "parse": function}, figures)
    return 0 if good else 1


def _run(urls: Path, out: Path, procs: int, function: str | None, args: argparse.Namespace) -> dict[str, Any]:
    flags = ["--procs", str(procs), "--conc", str(args.conc), "--engine", args.engine]
    job = run_job(urls, out, [*flags, *(["--parse", function] if function else [])])
    with crawler.open(out) as results:
        ((slow_ms,),) = results.query(_SLOWEST)
        ((unparsed,),) = results.query(_UNPARSED)
    return {**job.figures, "total_ms_99": slow_ms, "without_result": unparsed, **job.outcomes}


def _show(procs: int, function: str | None, figures: dict[str, Any]) -> None:
    show(
        f"{procs} worker(s), {function or 'no parse'}",
        {
            "pages a second": f"{figures['pages_per_s']:,.0f}",
            "CPU a page": f"{figures['cpu_us_per_page']:,.0f} µs",
            "cores that it got": f"{figures['cpu_s'] / figures['wall_s']:.2f}",
            "peak memory": f"{figures['peak_mb']:,.0f} MB",
            "99 of 100 pages took less than": f"{figures['total_ms_99']:,.1f} ms",
        },
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parse", description="Parsing in the workers.")
    parser.add_argument("--urls", type=int, default=3_000, metavar="N", help="length of the list (default 3000)")
    parser.add_argument("--parse", default="benchmarks.parse:words", metavar="MODULE:FUNCTION", help="what parses")
    add_flags(parser, procs=1, conc=64)
    return parser


if __name__ == "__main__":
    sys.exit(main())
