"""The product itself, `crawl run`, with an engine and a number of processes."""

from __future__ import annotations

import dataclasses
import sys

import crawler
from benchmarks.contender import Outcome
from benchmarks.workloads import Task, Workload
from crawler.config import ENGINES, CrawlConfig
from crawler.version import __version__

_CHUNK = CrawlConfig().chunk_size
_CHUNKS = 4
"""A short list is dealt out so often to each process, or one of them would get all of it."""
_PERCENTILE = "SELECT total_ms FROM pages WHERE total_ms IS NOT NULL ORDER BY total_ms LIMIT 1 OFFSET ?"
_GOOD = "outcome = 'fetched' AND status BETWEEN 200 AND 299 AND truncated IS NULL"
_COUNTS = f"SELECT count(*), count(*) FILTER (WHERE {_GOOD}{{}}), count(total_ms) FROM pages"


@dataclasses.dataclass(frozen=True, slots=True)
class Mode:
    """`crawl run --engine ENGINE`, in one process or in several, with one in flight a process or with several."""

    name: str
    engine: str
    one_process: bool = False
    one_in_flight: bool = False
    kind: str = "mode"

    def missing(self, workload: Workload) -> str | None:  # noqa: ARG002 - the siblings' signature
        """Nothing, but for an engine that this version of the product has not."""
        return None if self.engine in ENGINES else f"no engine {self.engine} in this version"

    def version(self) -> str:
        """The product's."""
        return __version__

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """What the mode is."""
        return 1 if self.one_process else procs, 1 if self.one_in_flight else conc

    def command(self, task: Task) -> list[str]:
        """The front door."""
        shape = ["--engine", self.engine, "--procs", str(task.procs), "--conc", str(task.conc)]
        shape += ["--chunk-size", str(max(1, min(_CHUNK, task.count // (task.procs * _CHUNKS))))]
        parse = ["--parse", "benchmarks.parsing:of_page"] if task.workload.parses else []
        return [sys.executable, "-m", "crawler", *crawl(task), *shape, *parse]

    def outcome(self, task: Task, stdout: str) -> Outcome:  # noqa: ARG002 - the siblings' signature
        """From the rows: what is no good page and has a row is a known failure."""
        good_too = " AND parsed IS NOT NULL" if task.workload.parses else ""
        with crawler.open(task.out) as results:
            rows, good, timed = (int(str(n)) for n in next(iter(results.query(_COUNTS.format(good_too)))))
            ranks = (timed // 2, min(timed - 1, timed * 99 // 100)) if timed else ()
            times = [float(str(next(iter(results.query(_PERCENTILE, (rank,))))[0])) for rank in ranks]
        return Outcome(good, rows - good, *times)


def crawl(task: Task) -> list[str]:
    """The arguments of `crawl` that all modes share."""
    return ["run", str(task.urls), "--out", str(task.out), *task.workload.flags]
