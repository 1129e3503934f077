"""What people see of results: tables in the terminal, and files. `python -m benchmarks.report RESULTS.jsonl`."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.markdown import BEGIN, END, write_into
from benchmarks.outlook import duration, outlooks
from benchmarks.summary import FIGURES, Line, Summary, summarize
from benchmarks.webpage import page_of
from benchmarks.workloads import WORKLOADS

RESULTS, PAGE = "results.jsonl", "index.html"
"""The names of both files of a folder of results."""

_WIDTH = 140
_SMALL = 10
_NONE = "\N{EN DASH}"


def show(results: Sequence[Line]) -> None:
    """Print a table for each section and workload, and then the one of 2,000,000 URLs.

    CPU ratios are to the line in bold.
    """
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    summaries = summarize(line for line in results if line["benchmark"] == "workload")
    for (section, workload), group in itertools.groupby(summaries, key=lambda one: (one.section, one.workload)):
        console.print(_table(f"{section}: {WORKLOADS[workload].title}", list(group)))
    if found := outlooks(summaries):
        table = _empty("2,000,000 URLs at two seconds each", "in flight", "documents", "take", "lost")
        table.add_column("how it is known")
        for one in found:
            shape = f"{one.procs} × {one.conc:,}"  # noqa: RUF001
            table.add_row(one.name, shape, one.estimate or "", duration(one.seconds), f"{one.lost:,}", one.basis)
        console.print(table)


def write_page(folder: Path) -> Path:
    """Write the page of a folder's results; its path."""
    page = folder / PAGE
    page.write_text(page_of(read(folder / RESULTS)), encoding="utf-8")
    return page


def read(results: Path) -> list[Line]:
    """The lines of a file of results."""
    with results.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _table(title: str, summaries: Sequence[Summary]) -> Table:
    headings = [heading for _, heading, _ in FIGURES]
    table = _empty(title, "in flight", "URLs", *headings, "CPU range", "CPU ratio", "lost")
    for summary in summaries:
        table.add_row(*_cells(summary), style="bold" if summary.name == summary.compared_with else "")
    return table


def _empty(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _cells(summary: Summary) -> list[str]:
    spread = summary.spread("cpu_us_per_page") if len(summary.runs) > 1 else None
    lost = summary.total("lost")
    return [
        summary.name,
        summary.shape,
        f"{summary.urls:,}",
        *(_number(summary.median(figure), digits) for figure, _, digits in FIGURES),
        f"{spread[0]:,.0f}…{spread[1]:,.0f}" if spread else _NONE,
        _number(summary.cpu_ratio, 2),
        f"[red]{lost:,}[/red]" if lost else "0",
    ]


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:,.{digits if value >= _SMALL else 2}f}"


def main() -> None:
    """Show results that were measured before, write their page anew, and their tables into a document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=main.__doc__)
    parser.add_argument("folder", type=Path, help=f"a folder with {RESULTS}")
    parser.add_argument("--into", type=Path, metavar="FILE.md", help=f"with the lines {BEGIN} and {END}")
    args = parser.parse_args()
    results = read(args.folder / RESULTS)
    show(results)
    print(write_page(args.folder))
    if args.into is not None:
        write_into(args.into, results)


if __name__ == "__main__":
    main()
