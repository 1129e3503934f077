"""Does memory grow with the length of the list? `python -m benchmarks.memory [--urls 200000]`.

Crawls a list of that many pages of the own origin and reports the memory of all processes together when 10 %, 50 %
and 100 % of the list had been asked for. Exit status 1 where a page was not fetched.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import crawler
from benchmarks.figures import show, show_json
from benchmarks.job import Job, add_flags, flags_of, run_job, scratch
from benchmarks.origin import running_origin
from benchmarks.site import PAGE_BYTES

_SHARES = (10, 50, 100)
_MOMENT = "SELECT fetched_at FROM pages WHERE fetched_at IS NOT NULL ORDER BY fetched_at LIMIT 1 OFFSET ?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with scratch(args.urls * PAGE_BYTES) as folder, running_origin(procs=args.origin_procs) as bases:
        urls, out = folder / "urls.txt", folder / "out"
        write_list(urls, bases, args.urls)
        job = run_job(urls, out, flags_of(args))
        growth = memory_by_share(job, out)
    show(
        f"{args.urls:,} URLs, {' '.join(flags_of(args))}",
        {
            **{f"memory at {share} %": f"{memory:,.1f} MB" for share, memory in growth.items()},
            "peak memory": f"{job.measurement.peak_mb:,.1f} MB",
            "pages a second": f"{job.figures['pages_per_s']:,.0f}",
            "CPU a page": f"{job.figures['cpu_us_per_page']:,.0f} µs",
            "outcomes": job.sum_of_outcomes,
        },
    )
    at_shares = {f"memory_mb_at_{share}": round(memory, 1) for share, memory in growth.items()}
    show_json("memory", vars(args), {**at_shares, **job.figures, **job.outcomes})
    return 0 if job.all_fetched else 1


def write_list(urls: Path, bases: Sequence[str], count: int) -> None:
    """Write `count` URLs, the origin's addresses in turn."""
    with urls.open("w", encoding="ascii") as file:
        file.writelines(f"{base}/page/{n}\n" for n, base in zip(range(count), itertools.cycle(bases), strict=False))


def memory_by_share(job: Job, out: Path) -> dict[int, float]:
    """The memory in MB at the moment when so many percent of the pages had been asked for, by that percentage."""
    with crawler.open(out) as results:
        last = max(job.entries - 1, 0)
        rows = [next(iter(results.query(_MOMENT, (last * share // 100,)))) for share in _SHARES]
    moments = [datetime.datetime.fromisoformat(str(row[0])).timestamp() for row in rows]
    return {share: job.measurement.memory_mb_at(moment) for share, moment in zip(_SHARES, moments, strict=True)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Memory over a long list.")
    parser.add_argument("--urls", type=int, default=200_000, metavar="N", help="length of the list (default 200000)")
    parser.add_argument("--origin-procs", type=int, default=1, metavar="N", help="processes that serve (default 1)")
    add_flags(parser, procs=1, conc=256)
    return parser


if __name__ == "__main__":
    sys.exit(main())
