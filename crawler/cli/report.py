"""`crawl report`: what happened, for people (plain text) or programs (JSON)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from crawler.escape import printable
from crawler.results import open_crawl
from crawler.stats import Stats

_HOST_WIDTH = 60


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `report` to the commands of `crawl`."""
    parser = commands.add_parser(
        "report",
        help="what happened in a crawl",
        description="Example: crawl report urls.crawl\n\nSay what happened in a crawl, also while it runs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the crawl's folder")
    parser.add_argument("--json", action="store_true", help="print the numbers as one JSON object")


def main(args: argparse.Namespace) -> int:
    """Print the report; raises FolderError."""
    with open_crawl(args.folder) as results:
        stats = results.stats()
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(stats), indent=2).decode())
    elif sys.stdout.isatty():
        _print_in_colour(summary(args.folder, stats))
    else:
        print("\n".join(summary(args.folder, stats)))
    return 0


def summary(folder: Path, stats: Stats) -> Iterator[str]:
    """The report's lines, safe to print."""
    state = "finished" if stats.finished else "not finished; the command that began it goes on"
    yield f"{printable(str(folder))}: {state}"
    parts = (f"{count} {outcome}" for outcome, count in stats.outcomes.items())
    yield f"{' + '.join(parts)} = {stats.entries} entries"
    rate = "" if stats.success_rate is None else f", {stats.success_rate:.1%} of the entries"
    yield f"{stats.ok:,} pages are ok (fetched with a 2xx status){rate}"
    yield f"{_size(stats.bytes_wire)} came over the wire, {_size(stats.bytes_body)} of bodies"
    if stats.mean_total_ms is not None:
        yield f"{stats.mean_total_ms:,.0f} ms a page on average"
    if stats.first_fetched_at is not None:
        yield f"from {stats.first_fetched_at} to {stats.last_fetched_at}"
    yield from _section("Status", stats.statuses)
    yield from _section("Errors", stats.error_classes)
    yield from _section("Hosts with the most entries", dict(stats.hosts))


def _section(title: str, counts: Mapping[str, int] | Mapping[int, int]) -> Iterator[str]:
    if counts:
        yield ""
        yield title
        for name, count in counts.items():
            yield f"  {count:>12,}  {printable(str(name), _HOST_WIDTH)}"


def _size(count: int) -> str:
    value, unit = float(count), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"


def _print_in_colour(lines: Iterable[str]) -> None:
    from rich.console import Console  # a pipe does not pay for it

    console = Console(highlight=True, soft_wrap=True)
    for line in lines:
        console.print(line, markup=False, emoji=False)
