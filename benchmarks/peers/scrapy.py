"""Scrapy: one process, Twisted on an asyncio loop, its own defaults but for limits and logs."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.contender import Outcome, saved
from benchmarks.peers.base import find, not_installed, version_of
from benchmarks.workloads import Task, Workload


class Scrapy:
    """A spider that saves what comes, `scrapy_spider.py`."""

    name = "Scrapy"
    kind = "peer"

    def missing(self, workload: Workload) -> str | None:  # noqa: ARG002 - the siblings' signature
        """Not installed."""
        return not_installed("scrapy")

    def version(self) -> str:
        """Scrapy's."""
        return version_of("scrapy", "version")

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """All in one process."""
        return 1, procs * conc

    def command(self, task: Task) -> list[str]:
        """The spider, with the Python that Scrapy is installed for."""
        scrapy = find("scrapy")
        assert scrapy is not None
        here = Path(__file__)
        parse = ["--parse", str(here.parents[2])] if task.workload.parses else []
        spider = str(here.with_name("scrapy_spider.py"))
        return [
            str(Path(scrapy).with_name("python")),
            "-P",
            spider,
            str(task.urls),
            str(task.out),
            str(task.conc),
            *parse,
        ]

    def outcome(self, task: Task, stdout: str) -> Outcome:
        """Its files, and what the spider says of the others."""
        told = json.loads(stdout)
        good, others = saved(task)
        return Outcome(good, others + told["failed"], told["p50_ms"], told["p99_ms"])


CONTENDER = Scrapy()
