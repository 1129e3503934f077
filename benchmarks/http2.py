"""Does a transfer over HTTP/2 ever hang? `python -m benchmarks.http2 [--urls 100000] [--hosts 50]`.

Crawls a list of that many pages of hosts that speak HTTP/2, with the engine curl: some versions of libcurl leave a
transfer hanging now and then, one in tens of thousands. A stall is an exchange that began, but had no whole
answer after a minute; there are no retries, which would hide it. Exit status 1 where there was one, or a page came
another way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import crawler
from benchmarks.figures import show, show_json
from benchmarks.job import run_job, scratch
from benchmarks.memory import write_list
from benchmarks.origin import started_origin
from benchmarks.site import PAGE_BYTES

_SETTINGS = (
    "--engine",
    "curl",
    "--http2",
    "--insecure",
    "--retries",
    "0",
    "--max-time",
    "60",
    "--connect-timeout",
    "30",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with scratch(args.urls * PAGE_BYTES) as folder, running_http2(folder, args.hosts, args.origin_procs) as bases:
        urls, out = folder / "urls.txt", folder / "out"
        write_list(urls, bases, args.urls)
        job = run_job(urls, out, [*_SETTINGS, "--procs", str(args.procs), "--conc", str(args.conc)])
        figures = figures_of(out)
    show(
        f"{args.urls:,} pages of {args.hosts} hosts over HTTP/2",
        {
            "stalls": f"{figures['stalls']:,}",
            "failures": ", ".join(f"{count:,} {name}" for name, count in figures["classes"].items()) or "none",
            "slowest page": f"{figures['slowest_ms']:,.0f} ms",
            "pages over HTTP/2": f"{figures['over_http2']:,}",
            "CPU a page": f"{job.figures['cpu_us_per_page']:,.0f} µs",
            "outcomes": job.sum_of_outcomes,
        },
    )
    show_json("http2", vars(args), {**figures, **job.figures, **job.outcomes})
    return 0 if figures["over_http2"] == args.urls and not figures["stalls"] else 1


@contextmanager
def running_http2(folder: Path, hosts: int, procs: int) -> Iterator[tuple[str, ...]]:
    """The base URLs of hosts that speak HTTP/2, for a block; nobody trusts their certificate."""
    import trustme

    pem = folder / "origin.pem"
    addresses = [f"127.0.2.{number}" for number in range(1, hosts + 1)]
    trustme.CA().issue_cert(*addresses).private_key_and_cert_chain_pem.write_to_path(str(pem))
    with started_origin(addresses, procs=procs, tls=pem, http2=True) as origin:
        yield origin.bases


def figures_of(out: Path) -> dict[str, Any]:
    """What the rows say."""
    with crawler.open(out) as results:
        ((stalls,),) = results.query(
            "SELECT count(*) FROM pages WHERE error_class = 'too_slow' OR error LIKE 'no whole answer%'"
        )
        failures = results.query("SELECT error_class, count(*) FROM pages WHERE error_class IS NOT NULL GROUP BY 1")
        classes: dict[str, int] = dict(failures)
        ((over, slowest),) = results.query(
            "SELECT count(*) FILTER (WHERE http_version = '2' AND status = 200), max(total_ms) FROM pages"
        )
    return {"stalls": stalls, "classes": classes, "over_http2": over, "slowest_ms": round(slowest or 0.0, 1)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http2", description="Does HTTP/2 ever stall?")
    parser.add_argument("--urls", type=int, default=100_000, metavar="N", help="length of the list (default 100000)")
    parser.add_argument("--hosts", type=int, default=50, metavar="N", help="hosts, at most 250 (default 50)")
    parser.add_argument("--origin-procs", type=int, default=2, metavar="N", help="processes that serve (default 2)")
    parser.add_argument("--procs", type=int, default=1, metavar="N", help="worker processes (default 1)")
    parser.add_argument("--conc", type=int, default=128, metavar="M", help="in flight a process (default 128)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
