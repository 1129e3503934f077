"""What all that are measured have in common: the modes, the recipes and the peers."""

from __future__ import annotations

import dataclasses
import os
from typing import Protocol

from benchmarks.workloads import Task, Workload


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task's entries: good pages (2xx, whole, saved), known failures, and time a page in ms if known.

    An entry that is in neither count is lost: nothing says what became of it.
    """

    good: int
    failed: int
    p50_ms: float | None = None
    p99_ms: float | None = None


class Contender(Protocol):
    """One that fetches a list, as a command in a fresh process."""

    @property
    def name(self) -> str:
        """As it stands in tables and on the command line."""

    @property
    def kind(self) -> str:
        """`mode`, `recipe` or `peer`."""

    def missing(self, workload: Workload) -> str | None:
        """Why it cannot be run on a workload here, in a few words; None where it can."""

    def version(self) -> str:
        """Of the program or the library."""

    def shape(self, procs: int, conc: int) -> tuple[int, int]:
        """The processes, and in flight in each, that it has when so many are asked for."""

    def command(self, task: Task) -> list[str]:
        """The command that fetches the list and saves the pages."""

    def outcome(self, task: Task, stdout: str) -> Outcome:
        """What came of it, read from what it saved and printed."""


def saved(task: Task) -> tuple[int, int]:
    """How many entries have their good page as a file below the task's folder, and how many only another one.

    A file's name begins with its entry's number. One of another size is half a page, an error's or an oversized one.
    """
    good, seen = set(), set()
    for folder, _, names in os.walk(task.out):
        for name in names:
            digits = name.partition("?")[0].partition(".")[0]
            if digits.isdigit():
                seen.add(int(digits))
                size = os.stat(os.path.join(folder, name)).st_size  # noqa: PTH116, PTH118 - of a million files
                if size == task.workload.size and task.workload.is_good(int(digits)):
                    good.add(int(digits))
    return len(good), len(seen - good)
