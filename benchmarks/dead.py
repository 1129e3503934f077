"""What does a dead host cost? `python -m benchmarks.dead [--urls 10000] [--kind refused|silent]`.

Crawls a list of that many pages of one dead host, and after them as many of live hosts of the own origin. A `refused`
host has no listener; a `silent` one has one whose queue is full, so that nothing ever answers (listen(2)). Without
robots.txt, so that the attempts of the rows are all that were made. Exit status 1 where a live page was not fetched.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import itertools
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import crawler
from benchmarks.figures import show, show_json
from benchmarks.job import add_flags, flags_of, run_job, scratch
from benchmarks.origin import running_origin
from benchmarks.site import PAGE_BYTES

_DEAD = "127.0.0.99"
_POLITE = ("--per-host", "4", "--connect-timeout", "5")
_LIVE_HOSTS = tuple(f"127.0.1.{n}" for n in range(1, 51))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with scratch(args.urls * PAGE_BYTES) as folder, running_origin(_LIVE_HOSTS) as bases, dead_host(args.kind) as dead:
        urls, out = folder / "urls.txt", folder / "out"
        write_list(urls, dead, bases, args.urls)
        robots = "--robots" if args.robots else "--no-robots"
        job = run_job(urls, out, [*flags_of(args), *_POLITE, robots])
        figures = figures_of(out)
    show(
        f"{args.urls:,} URLs of a dead host ({args.kind}), then {args.urls:,} of {len(bases)} live ones",
        {
            "wall time": f"{job.measurement.wall_s:,.1f} s",
            "all live pages fetched after": f"{figures['live_s']:,.1f} s",
            "dead host given up after": f"{figures['dead_s']:,.1f} s",
            "connections tried to the dead host": f"{figures['tries']:,}",
            "its entries": ", ".join(f"{count:,} {name}" for name, count in figures["classes"].items()),
            "CPU a page": f"{job.figures['cpu_us_per_page']:,.0f} µs",
            "outcomes": job.sum_of_outcomes,
        },
    )
    show_json("dead", vars(args), {**figures, **job.figures, **job.outcomes})
    return 0 if job.outcomes["fetched"] == args.urls else 1


@contextlib.contextmanager
def dead_host(kind: str) -> Iterator[str]:
    """The base URL of a host that refuses every connection, or lets them wait for ever."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind((_DEAD, 0))
        if kind == "silent":
            sock.listen(0)
            for _ in range(4):  # a backlog of 0 holds one; what comes when it is full is dropped
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(sock.getsockname())
        yield f"http://{_DEAD}:{sock.getsockname()[1]}"


def write_list(urls: Path, dead: str, bases: Sequence[str], count: int) -> None:
    """Write `count` URLs of the dead host, then as many of the live ones, host by host."""
    with urls.open("w", encoding="ascii") as file:
        file.writelines(f"{dead}/{n}\n" for n in range(count))
        live = zip(range(count), itertools.cycle(bases), strict=False)
        file.writelines(f"{base}/page/{n}\n" for base, n in sorted((base, n) for n, base in live))


def figures_of(out: Path) -> dict[str, Any]:
    """When the last live page and the last dead entry were done, seconds from the first; tries; error classes."""
    with crawler.open(out) as results:
        first, live, dead = next(
            iter(
                results.query(
                    "SELECT min(fetched_at), max(fetched_at) FILTER (WHERE host != ?1),"
                    " max(fetched_at) FILTER (WHERE host = ?1) FROM pages",
                    (_DEAD,),
                )
            )
        )
        rows = results.query(
            "SELECT error_class, count(*), sum(attempts) FROM pages WHERE host = ? GROUP BY 1 ORDER BY 2 DESC", (_DEAD,)
        )
        classes = [(str(name), int(str(count)), int(str(tries))) for name, count, tries in rows]
    began, *ends = (datetime.datetime.fromisoformat(str(moment)).timestamp() for moment in (first, live, dead))
    return {
        "live_s": round(ends[0] - began, 2),
        "dead_s": round(ends[1] - began, 2),
        "tries": sum(tries for _, _, tries in classes),
        "classes": {name: count for name, count, _ in classes},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dead", description="What a dead host costs.")
    parser.add_argument("--urls", type=int, default=10_000, metavar="N", help="of either sort (default 10000)")
    parser.add_argument("--kind", choices=("refused", "silent"), default="refused", help="how it is dead")
    parser.add_argument("--robots", action="store_true", help="ask for robots.txt, whose tries no row counts")
    add_flags(parser, procs=2, conc=128)
    return parser


if __name__ == "__main__":
    sys.exit(main())
