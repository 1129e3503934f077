"""`crawl report`: what happened, as lines for people, as JSON for programs, or as a page to look at."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from crawler.cli.remark import remark
from crawler.errors import UsageError
from crawler.escape import printable
from crawler.report.text import summary
from crawler.results import open_crawl
from crawler.stats import Stats
from crawler.store.folder import CrawlFolder

_ABOUT = """\
Example: crawl report urls.crawl
         crawl report urls.crawl --html report.html

Say what happened in a crawl and what limited it, also while it runs. The HTML page is one file that needs no network.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "report",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the crawl's folder")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the numbers as one JSON object")
    form.add_argument("--html", metavar="FILE", type=Path, help="write a page with plots; - is standard output")


def main(args: argparse.Namespace) -> int:
    """Print the report, or write it; raises FolderError, and UsageError where FILE cannot be written."""
    with open_crawl(args.folder) as results:
        stats = results.stats()
    if args.html is not None:
        _write_page(args.folder, stats, args.html)
    elif args.json:
        print(msgspec.json.format(msgspec.json.encode(stats), indent=2).decode())
    elif sys.stdout.isatty():
        _print_in_colour(summary(args.folder, stats))
    else:
        print("\n".join(summary(args.folder, stats)))
    return 0


def _write_page(folder: Path, stats: Stats, file: Path) -> None:
    from crawler.report.page import report_page  # lines do not pay for it

    page = report_page(folder.resolve().name, stats, datetime.datetime.now(datetime.UTC))
    if str(file) == "-":
        sys.stdout.write(page)
        return
    CrawlFolder(folder).refuse(file)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written, {error.strerror}; name another file.") from error
    remark(f"The report on {printable(str(folder))} is in {printable(str(file))}.", file)


def _print_in_colour(lines: Iterable[str]) -> None:
    from rich.console import Console  # a pipe does not pay for it

    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        advised = "yellow" if line.startswith("  →") else None
        console.print(line, markup=False, emoji=False, style=advised if line.startswith(" ") else "bold")
