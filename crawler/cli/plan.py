"""`crawl plan`: what a list will cost, before a byte is fetched."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from crawler.cli.flags import add_flags, config_of
from crawler.cli.run import add_lists
from crawler.config import LONGEST_S, CrawlConfig, check_range
from crawler.errors import InputError
from crawler.escape import printable
from crawler.plan import PAGE_S, Plan, make_plan
from crawler.units import clock, counted

if TYPE_CHECKING:
    from rich.console import RenderableType

_ABOUT = """\
Example: crawl plan urls.txt --per-host 2 --delay 0.5

Read a list and say what it holds (entries, duplicates, hosts) and how long it will take at least, before a byte is
fetched. Give the flags that 'crawl run' will have. How long a page takes nobody knows before: say it with --page-time.
"""
_FLAGS = frozenset(
    ("format", "column", "carry", "procs", "conc", "per_host", "delay", "robots", "method", "keep_duplicates")
)
_WIDTH = 80
_WATCH_S = 0.5
_HOST_CHARACTERS = 30


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "plan",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_lists(parser)
    parser.add_argument("--json", action="store_true", help="print the numbers as one JSON object")
    parser.add_argument(
        "--page-time",
        metavar="S",
        type=float,
        default=PAGE_S,
        help=f"seconds that a page is taken to need (default {PAGE_S:g})",
    )
    add_flags(parser, _FLAGS)


def main(args: argparse.Namespace) -> int:
    """Print the plan; raises InputError."""
    config = config_of(args)
    check_range("--page-time", args.page_time, 0, LONGEST_S)
    plan = _watched(args, config)
    if not plan.entries:
        raise InputError("Standard input holds no URL; put one on each line.")
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(plan), indent=2).decode())
    else:
        _print(plan, config)
    return 0


def _watched(args: argparse.Namespace, config: CrawlConfig) -> Plan:
    """The plan; whoever waits for it at a terminal sees how far it is."""
    if not sys.stderr.isatty():
        return make_plan(args.lists, config, args.page_time)
    from rich.console import Console

    with Console(stderr=True).status("Reading the list") as status:
        due = time.monotonic()

        def watch(entries: int, share: float | None) -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + _WATCH_S
                done = "" if share is None else f", {share:.0%}"
                status.update(f"Reading the list: {entries:,} entries{done}")

        return make_plan(args.lists, config, args.page_time, watch)


def _print(plan: Plan, config: CrawlConfig) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = _WIDTH
    sums = f"{counted(plan.entries, 'entry')} on {counted(plan.hosts, 'host')}"
    console.print(f"[bold]{_escaped(plan.source)}[/]: {sums}\n", emoji=False)
    console.print(_counts(plan))
    if plan.largest:
        console.print()
        console.print(_largest(plan))
    console.print()
    for sentence in sentences(plan, config):
        console.print(sentence, markup=False, emoji=False)


def sentences(plan: Plan, config: CrawlConfig) -> list[str]:
    """What the numbers mean, a sentence or two a line."""
    pace = f"with pages of {plan.page_s:g} s"
    if plan.hosts_s > plan.places_s:
        limit = f"{config.per_host} at a time" if config.per_host else "as many at a time as --conc allows"
        apart = f", {config.delay:g} s apart" if config.delay else ""
        why = (
            f"The largest host sets it, {limit}{apart}; all others would be done in {_span(plan.places_s)} "
            f"({plan.places:,} requests at a time)."
        )
    else:
        why = f"All {plan.requests:,} requests set it, {plan.places:,} at a time (--procs times --conc); no host does."
    return [
        f"At least {_span(plan.least_s)}, {pace}. {why}",
        "Not in it: a Crawl-delay in robots.txt, hosts that share an address, redirects and retries, as nothing was "
        "fetched yet.",
    ]


def _counts(plan: Plan) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column()
    notes = {
        "pages": f"to fetch, in {plan.requests:,} requests"
        + (" with robots.txt" if plan.requests > plan.pages else ""),
        "duplicate": "the same request as an entry before",
        "invalid": "no URL",
        "denied": "of a scheme that is not fetched",
    }
    styles = {"pages": "green", "duplicate": "cyan", "invalid": "magenta", "denied": "yellow"}
    for name, note in notes.items():
        count = getattr(plan, name)
        if count or name == "pages":
            table.add_row(f"[{styles[name]}]{count:,}[/]", f"{name} [dim]{note}[/]")
    return table


def _largest(plan: Plan) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("largest hosts", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("pages", justify="right")
    table.add_column("share", justify="right")
    table.add_column("at least", justify="right")
    table.add_column("", width=16)
    top = plan.largest[0].pages
    for host in plan.largest:
        bar = ProgressBar(top, host.pages, width=16, complete_style="green", finished_style="green")
        table.add_row(
            _escaped(printable(host.host, _HOST_CHARACTERS)),
            f"{host.pages:,}",
            f"{host.share:.1%}",
            _span(host.least_s),
            bar,
        )
    return table


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))
