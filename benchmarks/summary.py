"""Runs of the same case put together: the median and the spread, and ratios within one run."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]
"""One run, as its JSON line has it: `settings` and `figures`."""

FIGURES = (
    ("pages_per_s", "pages/s", 0),
    ("cpu_us_per_page", "CPU µs a page", 0),
    ("origin_us_per_page", "origin CPU µs", 0),
    ("peak_mb", "peak MB", 0),
    ("p50_ms", "p50 ms", 1),
    ("p99_ms", "p99 ms", 1),
)
"""What tables show of a run: the figure, its heading, its decimals."""

_COMPARED = ("modes", "workloads", "chosen", "two million")
_IDENTITY = ("section", "workload", "kind", "name", "urls", "procs", "conc")


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """All runs of one case. `cpu_ratio` is its CPU a page over that of the case it is compared with, run by run."""

    section: str
    workload: str
    kind: str
    name: str
    urls: int
    procs: int
    conc: int
    version: str
    runs: tuple[Mapping[str, Any], ...]
    cpu_ratio: float | None = None
    compared_with: str | None = None

    @property
    def shape(self) -> str:
        """Processes times what is in flight in each."""
        return f"{self.procs} × {self.conc}"  # noqa: RUF001

    def median(self, figure: str) -> float | None:
        """The median of a figure over the runs that have it."""
        values = self._values(figure)
        return statistics.median(values) if values else None

    def spread(self, figure: str) -> tuple[float, float] | None:
        """The smallest and the largest value of a figure."""
        values = self._values(figure)
        return (min(values), max(values)) if values else None

    def total(self, figure: str) -> int:
        """A count, over all runs."""
        return int(sum(self._values(figure)))

    def _values(self, figure: str) -> list[float]:
        return [run[figure] for run in self.runs if run.get(figure) is not None]


def summarize(lines: Iterable[Line]) -> list[Summary]:
    """A summary a case, in the order in which they first ran, compared within their section and workload."""
    found: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        found.setdefault(tuple(line["settings"][name] for name in _IDENTITY), []).append(line)
    summaries = [
        Summary(
            **dict(zip(_IDENTITY, key, strict=True)),
            version=group[0]["settings"]["version"],
            runs=tuple(line["figures"] for line in group),
        )
        for key, group in found.items()
    ]
    compared = []
    for (section, _), group in itertools.groupby(summaries, key=lambda summary: (summary.section, summary.workload)):
        members = list(group)
        reference = _reference(members)
        for summary in members:
            ratio = _ratio(summary, reference) if section in _COMPARED else None
            compared.append(dataclasses.replace(summary, cpu_ratio=ratio, compared_with=reference.name))
    return compared


def _reference(members: Sequence[Summary]) -> Summary:
    """What the others are compared with: the last of the modes, as they go from the plainest to the best."""
    return next((summary for summary in reversed(members) if summary.kind == "mode"), members[0])


def _ratio(summary: Summary, reference: Summary) -> float | None:
    pairs = [
        mine["cpu_us_per_page"] / other["cpu_us_per_page"]
        for mine, other in zip(summary.runs, reference.runs, strict=False)
        if mine.get("cpu_us_per_page") and other.get("cpu_us_per_page")
    ]
    return statistics.median(pairs) if pairs else None
