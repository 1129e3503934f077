"""A recipe as a contender: `python -m benchmarks.recipes` with its file."""

from __future__ import annotations

import dataclasses
import json
import sys
from types import ModuleType

import requests

from benchmarks.contender import Outcome, saved
from benchmarks.workloads import Task, Workload


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """What people copy, run as they run it; `module` is the recipe's file."""

    module: ModuleType
    kind: str = "recipe"

    @property
    def name(self) -> str:
        """The recipe's."""
        return str(self.module.NAME)

    def missing(self, workload: Workload) -> str | None:  # noqa: ARG002 - the siblings' signature
        """Nothing: what a recipe needs, the product has."""
        return None

    def version(self) -> str:
        """That of requests."""
        return requests.__version__

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """What the recipe can be."""
        return procs if self.module.PROCESSES else 1, conc if self.module.MANY_IN_FLIGHT else 1

    def command(self, task: Task) -> list[str]:
        """The recipe over the list."""
        file = self.module.__name__.rpartition(".")[2]
        shape = ["--procs", str(task.procs), "--conc", str(task.conc)]
        parse = ["--parse"] if task.workload.parses else []
        return [sys.executable, "-m", "benchmarks.recipes", file, str(task.urls), str(task.out), *shape, *parse]

    def outcome(self, task: Task, stdout: str) -> Outcome:
        """Its files are the good pages; what it says of failures counts only if it came to its end."""
        good, others = saved(task)
        if not stdout:
            return Outcome(good, 0)
        told = json.loads(stdout)
        return Outcome(good, others + told["failed"], told["p50_ms"], told["p99_ms"])
