"""What people see of results: tables in the terminal, and files. `python -m benchmarks.report RESULTS.jsonl`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.summary import Summary
from benchmarks.workloads import WORKLOADS

_NONE = "–"  # noqa: RUF001 - what a table has where there is no figure
_COLUMNS = (
    ("pages_per_s", "pages/s", 0),
    ("cpu_us_per_page", "CPU µs/page", 0),
    ("origin_us_per_page", "origin µs", 0),
    ("peak_mb", "MB", 0),
    ("p50_ms", "p50 ms", 1),
    ("p99_ms", "p99 ms", 1),
)


def show_tables(console: Console, summaries: Sequence[Summary]) -> None:
    """A table for each section and workload: medians, and the spread of the CPU time."""
    for (section, workload), group in itertools.groupby(summaries, key=lambda one: (one.section, one.workload)):
        console.print(_table(f"{section}: {WORKLOADS[workload].title}", list(group)))


def _table(title: str, summaries: Sequence[Summary]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("in flight", justify="right")
    table.add_column("URLs", justify="right")
    for _, heading, _ in _COLUMNS:
        table.add_column(heading, justify="right")
    table.add_column("CPU min…max", justify="right")
    table.add_column(f"÷ {summaries[0].compared_with}", justify="right")
    table.add_column("lost", justify="right")
    for summary in summaries:
        table.add_row(*_cells(summary), style="bold" if summary.name == summary.compared_with else "")
    return table


def _cells(summary: Summary) -> list[str]:
    spread = summary.spread("cpu_us_per_page")
    lost = summary.total("lost")
    return [
        summary.name,
        summary.shape,
        f"{summary.urls:,}",
        *(number(summary.median(figure), digits) for figure, _, digits in _COLUMNS),
        f"{spread[0]:,.0f}…{spread[1]:,.0f}" if spread else _NONE,
        number(summary.cpu_ratio, 2),
        f"[red]{lost:,}[/red]" if lost else "0",
    ]


def number(value: float | None, digits: int) -> str:
    """A figure for people; a dash where there is none."""
    return _NONE if value is None else f"{value:,.{digits}f}"
