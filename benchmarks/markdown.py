"""The results as tables in Markdown, for a document that a person has written around them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.outlook import duration, outlooks
from benchmarks.summary import Line, Summary, summarize
from benchmarks.workloads import WORKLOADS

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
_SHOWN = ("modes", "workloads", "chosen")
_FIGURES = ("pages_per_s", "cpu_us_per_page", "peak_mb")


def write_into(document: Path, results: Sequence[Line]) -> None:
    """Put the tables where the document has its marks; raises ValueError where it has none."""
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no {BEGIN} … {END}")
    document.write_text(f"{before}{BEGIN}\n\n{tables(results)}\n\n{END}{after}", encoding="utf-8")


def tables(results: Sequence[Line]) -> str:
    """The machine, the outlook on 2,000,000 URLs, and what each page costs on each workload."""
    measured = [line for line in results if line["benchmark"] == "workload"]
    if not measured:
        return "Nothing was measured."
    summaries = summarize(measured)
    shown = (one for one in summaries if one.section in _SHOWN)
    groups = itertools.groupby(shown, key=lambda one: (one.section, one.workload))
    return "\n\n".join((_machine(measured), _outlook(summaries), *(_costs(list(group)) for _, group in groups)))


def _machine(measured: Sequence[Line]) -> str:
    machine, loads = measured[-1]["machine"], [line["machine"]["load"] for line in measured]
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['system']} {machine['kernel']}, Python "
        f"{measured[-1]['versions']['python']}; {len(measured)} runs, load average {min(loads):g} to {max(loads):g}."
    )


def _outlook(summaries: Sequence[Summary]) -> str:
    heads = ("2,000,000 URLs at 2 s", "in flight", "the documents", "measured", "lost", "how it is known")
    rows = (
        (one.name, f"{one.procs} x {one.conc:,}", one.estimate or "", duration(one.seconds), f"{one.lost:,}", one.basis)
        for one in outlooks(summaries)
    )
    return _table(heads, rows)


def _costs(members: Sequence[Summary]) -> str:
    first = members[0]
    title = f"`{first.workload}`, {first.urls:,} URLs: {WORKLOADS[first.workload].title}"
    heads = (title, "in flight", "pages/s", "CPU µs a page", "MB", f"CPU ÷ {first.compared_with}", "lost")
    rows = (
        (
            one.name,
            f"{one.procs} x {one.conc:,}",
            *(f"{value:,.0f}" if (value := one.median(figure)) is not None else "" for figure in _FIGURES),
            f"{one.cpu_ratio:.2f}" if one.cpu_ratio is not None else "",
            f"{one.total('lost'):,}",
        )
        for one in members
    )
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ("---", *("---:" for _ in heads[1:]))
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))
