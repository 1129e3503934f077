"""What does the guarantee cost? `python -m benchmarks.commit [--pages 50000]`.

Results are made once, as workers make them, and go into the store in four ways: as a crawl has it (groups: append,
fdatasync, SQLite with `synchronous=FULL`); the same groups, not synced; one commit at the end, not synced; and, one in
fifty of them, with a commit for each page. Then the own origin is crawled, synced and not synced. What is measured is
the process that writes, on the disk of `--folder`: on tmpfs a sync is free. Each figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import gc
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import crawler
from benchmarks.figures import show, show_json
from benchmarks.job import add_flags, flags_of
from benchmarks.memory import write_list
from benchmarks.origin import running_origin
from benchmarks.results import open_store, result_of
from crawler import job
from crawler.records import Entry, Request, Result
from crawler.store.disk import DiskStore

_SINGLE_SHARE = 50
_BASE = "the same groups, not synced"
"""What the ratios are to: the guarantee is all that it lacks."""

_Due = Callable[[DiskStore], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What `pages` pages cost the process that writes. `syncs` are those of files and folders; SQLite makes its own."""

    pages: int
    cpu_s: float
    wall_s: float
    commits: int
    syncs: int

    @property
    def figures(self) -> dict[str, float]:
        """What is shown of it."""
        return {
            "pages": self.pages,
            "cpu_us_per_page": round(self.cpu_s / self.pages * 1e6, 1),
            "wall_us_per_page": round(self.wall_s / self.pages * 1e6, 1),
            "commits": self.commits,
            "syncs": self.syncs,
        }


Costs = dict[str, Cost]


class UnsyncedStore(DiskStore):
    """The store whose database is not synced either."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._database._connection.execute("PRAGMA synchronous=OFF")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="crawler-", dir=args.folder) as name:
        folder = Path(name)
        disk = file_system(folder)
        stored = store_costs(folder, args.pages, args.rounds)
        crawled = crawl_costs(folder, args)
    _show(f"{args.pages:,} pages into the store, on {disk}", stored)
    _show(f"{args.crawl_pages:,} pages crawled, {' '.join(flags_of(args))}, on {disk}", crawled)
    settings = {**vars(args), "folder": str(args.folder), "file_system": disk}
    tables = {"stored": stored, "crawled": crawled}
    figures = {table: {name: cost.figures for name, cost in costs.items()} for table, costs in tables.items()}
    show_json("commit", settings, figures)
    return 0


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on, such as ext4 or tmpfs (proc_mounts(5))."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    kinds = {Path(point): kind for _, point, kind, *_ in mounts}  # the last one on a point hides the others
    return next(kinds[parent] for parent in (folder.resolve() / "x").parents if parent in kinds)


def store_costs(folder: Path, pages: int, rounds: int) -> Costs:
    """The store alone: `pages` results by each of the four ways."""
    results = [result_of(_entry(number)) for number in range(1, pages + 1)]
    gc.freeze()  # in a crawl they come and go, and weigh on no collection
    few = results[:: min(_SINGLE_SHARE, pages)]

    def way(results: Sequence[Result], due: _Due, *, synced: bool) -> Callable[[], Cost]:
        return functools.partial(_store, folder / "stored", results, due, synced=synced)

    return _medians(
        rounds,
        {
            "group commit": way(results, _group_is_due, synced=True),
            _BASE: way(results, _group_is_due, synced=False),
            "one commit, not synced": way(results, lambda _: False, synced=False),
            "a commit for each page": way(few, lambda _: True, synced=True),
        },
    )


def crawl_costs(folder: Path, args: argparse.Namespace) -> Costs:
    """The whole line: a crawl of the own origin, each in a fresh process."""
    settings = {"procs": args.procs, "conc": args.conc, "engine": args.engine}
    with running_origin() as bases:
        write_list(folder / "urls.txt", bases, args.crawl_pages)

        def way(*, synced: bool) -> Cost:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                return fresh.submit(_crawl, folder, settings, args.crawl_pages, synced=synced).result()

        return _medians(
            args.rounds,
            {"group commit": lambda: way(synced=True), _BASE: lambda: way(synced=False)},
        )


def _entry(number: int) -> Entry:
    return Entry(number, "urls.txt", number, Request(f"http://www.site-{number % 1_000}.example/page/{number}"))


def _group_is_due(store: DiskStore) -> bool:
    return store.due(time.monotonic())


def _store(out: Path, results: Sequence[Result], due: _Due, *, synced: bool) -> Cost:
    """Record the results in a new folder, and delete it."""
    store = open_store(out, DiskStore if synced else UnsyncedStore)

    def record() -> None:
        for result in results:
            store.add(result)
            if due(store):
                store.commit()
        store.commit(finished=True)
        store.close()

    try:
        return _cost(len(results), record, synced=synced)
    finally:
        store.close()
        shutil.rmtree(out)


def _crawl(folder: Path, settings: Mapping[str, Any], pages: int, *, synced: bool) -> Cost:
    """Crawl the folder's list, and delete what was fetched; raises RuntimeError where that was not every page."""
    out = folder / "crawled"

    def crawl() -> None:
        summary = crawler.crawl(folder / "urls.txt", out, allow_private=True, robots=False, per_host=0, **settings)
        if summary.outcomes["fetched"] != pages:
            raise RuntimeError(f"Not every page was fetched: {dict(summary.outcomes)}.")

    try:
        return _cost(pages, crawl, synced=synced)
    finally:
        shutil.rmtree(out)


def _cost(pages: int, work: Callable[[], None], *, synced: bool) -> Cost:
    """What `work` costs this process, its children aside."""
    os.sync()  # so that it does not pay for what was written before
    with _counted(synced=synced) as counts:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(pages, cpu_s, wall_s, counts["commits"], counts["syncs"])


@contextlib.contextmanager
def _counted(*, synced: bool) -> Iterator[Counter[str]]:
    """Count what this process commits and syncs in this block. Where it is not to be `synced` it syncs nothing."""
    counts: Counter[str] = Counter()

    def commit(*arguments: Any, **keywords: Any) -> None:
        counts["commits"] += 1
        real_commit(*arguments, **keywords)

    def sync(real: Callable[[int], None], descriptor: int) -> None:
        if synced:
            counts["syncs"] += 1
            real(descriptor)

    real_commit = DiskStore.commit
    with (
        mock.patch.object(DiskStore, "commit", commit),
        mock.patch.object(os, "fsync", functools.partial(sync, os.fsync)),
        mock.patch.object(os, "fdatasync", functools.partial(sync, os.fdatasync)),
        mock.patch.object(job, "DiskStore", DiskStore if synced else UnsyncedStore),
    ):
        yield counts


def _medians(rounds: int, ways: Mapping[str, Callable[[], Cost]]) -> Costs:
    """Each way's median in each figure; a round is one of each, one right after the other."""
    taken = [{name: way() for name, way in ways.items()} for _ in range(rounds)]
    fields = {name: zip(*(dataclasses.astuple(costs[name]) for costs in taken), strict=True) for name in ways}
    return {name: Cost(*map(statistics.median_low, values)) for name, values in fields.items()}


def _show(title: str, costs: Costs) -> None:
    """Print a line for each way."""
    show(title, {name: _line(cost.figures, costs[_BASE].figures) for name, cost in costs.items()})


def _line(figures: Mapping[str, float], base: Mapping[str, float]) -> str:
    cpu, wall = figures["cpu_us_per_page"], figures["wall_us_per_page"]
    ratios = f"{cpu / base['cpu_us_per_page']:.2f} x CPU, {wall / base['wall_us_per_page']:.2f} x time"
    counts = f"{figures['commits']:,} commits, {figures['syncs']:,} syncs"
    return f"{cpu:8,.1f} µs of CPU and {wall:8,.1f} µs a page ({ratios}), {1e6 / wall:,.0f} pages/s, {counts}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commit", description="The cost of the guarantee.")
    parser.add_argument("--pages", type=int, default=50_000, metavar="N", help="into the store (default 50000)")
    parser.add_argument("--crawl-pages", type=int, default=20_000, metavar="N", help="of the crawl (default 20000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of which the median is shown (default 3)")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write (default: the current folder)")
    add_flags(parser, procs=1, conc=64)
    return parser


if __name__ == "__main__":
    sys.exit(main())
