"""How long does it take to go on? `python -m benchmarks.resume [--entries 1000000]`.

Makes the folder of a crawl of that many entries, through the store and without a fetch, whose last 1 % has no row yet:
pages of the own origin, behind those of 10,000 sites that nobody asks any more. Then runs the real command on it, three
times: it fetches what is missing; finds nothing to do; fetches one line that was added to the list. Exit status 1 where
a run records anything else than that.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import show, show_json
from benchmarks.job import Job, add_flags, flags_of, run_job, scratch
from benchmarks.origin import running_origin
from benchmarks.results import open_store, result_of
from benchmarks.site import PAGE_BYTES
from crawler import urls
from crawler.records import Result
from crawler.sources.base import Mark
from crawler.sources.text import TextSource

_SITES = 10_000
_ENCODED = 100
"""One result in so many is made like a worker's, with payload; those behind it are copies of its row."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    missing = -(-args.entries // 100)
    with scratch(args.entries * 1_000 + missing * PAGE_BYTES) as folder, running_origin() as bases:
        path, out = folder / "urls.txt", folder / "out"
        write_list(path, bases[0], args.entries, missing)
        mark = record(path, out, args.entries - missing)
        jobs = {"missing": run_job(path, out, flags_of(args))}
        jobs["nothing"] = run_job(path, out, flags_of(args))
        check_s = seconds_to_check(path, mark)
        with path.open("a", encoding="ascii") as file:
            file.write(f"{bases[0]}/page/{args.entries}\n")
        jobs["more"] = run_job(path, out, flags_of(args))
    recorded = {name: json.loads(job.measurement.stdout.splitlines()[-1])["recorded"] for name, job in jobs.items()}
    _show(args, jobs, recorded, check_s)
    right = recorded == {"missing": missing, "nothing": 0, "more": 1}
    return 0 if right and all(job.all_fetched for job in jobs.values()) else 1


def write_list(path: Path, base: str, entries: int, missing: int) -> None:
    """Write a list whose last `missing` entries are pages of the origin at `base`."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"https://www.site-{n % _SITES}.example/page/{n}\n" for n in range(entries - missing))
        file.writelines(f"{base}/page/{n}\n" for n in range(entries - missing, entries))


def record(path: Path, out: Path, count: int) -> Mark:
    """Record the first `count` entries of a list; returns the mark of the whole list, which was committed with them."""
    source = TextSource(path)
    store = open_store(out)
    for result in itertools.islice(results(source), count):
        store.add(result)
        if store.due(time.monotonic()):
            store.commit()
    for _ in source:  # to its end
        pass
    store.commit(msgspec.to_builtins(source.mark()))
    store.close()
    return source.mark()


def results(source: TextSource) -> Iterator[Result]:
    """A result for each entry, one in a hundred with payload."""
    for entry in itertools.chain.from_iterable(source):
        if entry.seq % _ENCODED == 1:
            yield (made := result_of(entry))
            continue
        href, host, *_ = urls.parse(entry.request.url)
        numbers = {"seq": entry.seq, "source_line": entry.source_line}
        yield Result(msgspec.structs.replace(made.row, **numbers, url=href, final_url=href, host=host))


def seconds_to_check(path: Path, mark: Mark) -> float:
    """How long it takes to find that a list begins with what was marked: the least that a resumed crawl must do."""
    started = time.monotonic()
    TextSource(path).check(mark)
    return time.monotonic() - started


def _show(args: argparse.Namespace, jobs: Mapping[str, Job], recorded: Mapping[str, int], check_s: float) -> None:
    names = {"missing": "the last 1 % missing", "nothing": "nothing to do", "more": "one line more"}
    table, figures = {}, {}
    for name, job in jobs.items():
        cost = job.measurement
        table[names[name]] = (
            f"{cost.wall_s:.2f} s, {cost.cpu_s:.2f} s of CPU, {cost.peak_mb:,.0f} MB, "
            f"{job.entries / cost.wall_s:,.0f} entries a second; {recorded[name]:,} recorded"
        )
        figures[name] = {**job.figures, "entries": job.entries, "recorded": recorded[name]}
    table["the list's check alone"] = f"{check_s:.3f} s"
    show(f"going on with a crawl of {args.entries:,} entries, {' '.join(flags_of(args))}", table)
    show_json("resume", vars(args), {**figures, "check_s": round(check_s, 4)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume", description="The time to go on.")
    parser.add_argument("--entries", type=int, default=1_000_000, metavar="N", help="of the crawl (default 1000000)")
    add_flags(parser, procs=1, conc=256)
    return parser


if __name__ == "__main__":
    sys.exit(main())
