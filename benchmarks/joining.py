"""Does a machine that joins speed a crawl up? `python -m benchmarks.joining [--urls 12000 --wait 0.5]`.

Pages that come only after so many seconds, on 200 hosts: what a machine can do is bounded by its requests in flight,
not by its processor. One machine begins; `--after` seconds later a second one joins, and as long after that it is told
to leave, with requests in flight. Shown are the requests sent a second in each of the three parts, how soon there were
half as many again, and how long leaving took. Exit status 1 where a page was not fetched.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import crawler
from benchmarks.figures import show, show_json
from benchmarks.job import Job, run_job, scratch
from benchmarks.machines import running_broker, running_machines
from benchmarks.origin import EVERYWHERE, running_origin
from benchmarks.site import PAGE_BYTES

_HOSTS = 200
_SETTLE_S = 2  # twice as long nothing is counted after a change


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with scratch(2 * args.urls * PAGE_BYTES) as folder, running_origin(EVERYWHERE) as (base,):
        port = base.rpartition(":")[2]
        urls = folder / "urls.txt"
        hosts = [f"127.1.{n // 100}.{1 + n % 100}" for n in range(_HOSTS)]
        urls.write_text("".join(f"http://{hosts[n % _HOSTS]}:{port}/wait/{args.wait}/{n}\n" for n in range(args.urls)))
        job, joined, left, leaving_s = _run(folder, urls, args)
        counts = _sent(folder / "out")
    parts = {
        "one machine": _rate(counts, int(joined) - args.after + 2 * _SETTLE_S, int(joined)),
        "two machines": _rate(counts, int(joined) + 2 * _SETTLE_S, int(left)),
        "one again": _rate(counts, int(left + leaving_s) + 2 * _SETTLE_S, int(left + leaving_s) + args.after),
    }
    half = 1.5 * parts["one machine"]
    faster_s = next((at - joined for at in range(int(joined) + 1, int(left)) if counts[at] >= half), -1.0)
    show(
        f"{args.urls:,} pages that take {args.wait:g} s, {args.conc} in flight a machine",
        {
            **{name: f"{rate:,.1f} requests a second" for name, rate in parts.items()},
            "faster by half": f"within {faster_s + 1:.0f} s of joining",
            "leaving": f"{leaving_s:.1f} s",
            "outcomes": job.sum_of_outcomes,
        },
    )
    show_json("joining", vars(args), {**parts, "faster_s": round(faster_s + 1, 1), "leaving_s": round(leaving_s, 2)})
    return 0 if job.all_fetched else 1


def _run(folder: Path, urls: Path, args: argparse.Namespace) -> tuple[Job, float, float, float]:
    """The crawl; when the second machine waited for chunks, when it was told to leave, and how long that took."""
    done: list[Job] = []
    with running_broker(folder) as (url, _, _), running_machines(url, folder, args):
        where = ["--broker", url, "--store", str(folder / "store"), "--chunk-size", "50"]
        crawl = threading.Thread(target=lambda: done.append(run_job(urls, folder / "out", where)))
        crawl.start()
        crawl.join(args.after)
        with running_machines(url, folder, args):
            joined = time.time()
            crawl.join(args.after)
            left = time.time()  # the end of the block tells it to leave, and waits
        leaving_s = time.time() - left
        crawl.join()
    (job,) = done
    return job, joined, left, leaving_s


def _sent(out: Path) -> Counter[int]:
    """How many requests were sent in each second since the epoch."""
    with crawler.open(out) as results:
        moments = results.query("SELECT fetched_at FROM pages WHERE fetched_at IS NOT NULL")
        return Counter(int(datetime.datetime.fromisoformat(str(moment)).timestamp()) for (moment,) in moments)


def _rate(counts: Counter[int], begin: int, end: int) -> float:
    return round(sum(counts[at] for at in range(begin, end)) / max(end - begin, 1), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joining", description="A machine joins and leaves.")
    parser.add_argument("--urls", type=int, default=12_000, metavar="N", help="length of the list (default 12000)")
    parser.add_argument("--wait", type=float, default=0.5, metavar="S", help="seconds that a page takes (default 0.5)")
    parser.add_argument("--after", type=int, default=20, metavar="S", help="seconds of each part (default 20)")
    parser.add_argument("--conc", type=int, default=64, metavar="M", help="in flight a machine (default 64)")
    parser.set_defaults(machines=1, procs=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
