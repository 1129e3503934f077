"""2,000,000 URLs at two seconds each: what the documents behind this project estimate, beside what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.summary import Summary

LENGTH = 2_000_000

ESTIMATES = {
    ("serial", 1, 1): "46.3 days",
    ("threads", 1, 10): "4.63 days",
    ("processes+threads", 10, 10): "more than ten times better than ten threads: under 11.1 hours",
}
BETTER_STILL = ("processes+gevent", "processes+asyncio", "processes+curl", "processes of gevent pools")
"""Processes of coroutines: \"better still\", whatever their settings."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outlook:
    """How long 2,000,000 take in one way; `pages` in `wall_s` seconds are what that is taken from.

    `estimate` is the documents', for the settings that they name. What was run in full has `pages` = 2,000,000.
    """

    name: str
    procs: int
    conc: int
    estimate: str | None
    pages: int
    wall_s: float
    lost: int
    peak_mb: float

    @property
    def pages_per_s(self) -> float:
        """Good pages over the wall time of the whole command, its start included."""
        return self.pages / self.wall_s

    @property
    def seconds(self) -> float:
        """For 2,000,000."""
        return LENGTH / self.pages_per_s

    @property
    def basis(self) -> str:
        """Where the duration comes from, in words."""
        if self.pages >= LENGTH:
            return "run in full"
        return f"extrapolated from {self.pages:,} pages in {self.wall_s:,.1f} s, start included"


def outlooks(summaries: Sequence[Summary]) -> list[Outlook]:
    """First the documents' settings, then for each contender what was run in full, or its fastest settings.

    Settings that were measured twice stand once, from more pages.
    """
    patient = [_outlook(one) for one in summaries if one.workload == "patient" and (one.median("good") or 0) > 0]
    named = {(one.name, one.procs, one.conc): one for one in sorted(patient, key=_pages) if one.estimate}
    best = {one.name: one for one in sorted(patient, key=_rank) if not one.estimate}
    return [one for group in (named, best) for one in sorted(group.values(), key=lambda one: -one.seconds)]


def duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def _pages(one: Outlook) -> int:
    return one.pages


def _rank(one: Outlook) -> tuple[bool, float]:
    return one.pages >= LENGTH, one.pages_per_s


def _outlook(summary: Summary) -> Outlook:
    pages, wall_s = summary.median("good"), summary.median("wall_s")
    assert pages is not None
    assert wall_s is not None
    shape = (summary.name, summary.procs, summary.conc)
    return Outlook(
        *shape, ESTIMATES.get(shape), int(pages), wall_s, summary.total("lost"), summary.median("peak_mb") or 0
    )
