"""`crawl retry`: fetch failures again, into the crawl that recorded them."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path
from typing import get_args

from crawler.cli import watched
from crawler.cli.flags import add_flags, add_fleet, add_watching, config_of
from crawler.cli.interrupts import interrupts
from crawler.config import CrawlConfig
from crawler.errors import UsageError
from crawler.escape import printable
from crawler.fleet.words import Fleet
from crawler.job import Summary, Watch, run_retry
from crawler.records import ErrorClass
from crawler.store.selection import Selection

_ABOUT = """\
Example: crawl retry pages.crawl --error dns,timeout --status 5xx

Fetch entries again that --error or --status names, or all that failed, as they were fetched before. The old record of
each stands until the new one is there; attempts are counted on. The same command again goes on where it stood.
A --header whose value is secret is not kept in the folder, nor is a --proxy: give them again.
"""
_CLASSES = [name for name in get_args(ErrorClass) if name != "invalid_url"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "retry",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the crawl's folder")
    for flag, metavar, kind, text in (
        ("--error", "CLASSES", _errors, "error classes, as dns,timeout (repeatable)"),
        ("--status", "STATUSES", _statuses, "HTTP statuses or classes of them, as 404,5xx (repeatable)"),
    ):
        parser.add_argument(flag, default=[], action="extend", type=kind, metavar=metavar, help=text)
    add_watching(parser)
    tuning = {field.name for field in dataclasses.fields(CrawlConfig) if field.metadata["kind"] == "tuning"}
    add_flags(parser, {*tuning, "header", "proxy"})
    add_fleet(parser, "where they lay down the pages, if the crawl has no store yet: s3://bucket/prefix or a folder")


def main(args: argparse.Namespace) -> int:
    """Fetch again; 0 when each has its new record, or nothing matches, 3 with --fail, 130 when it was interrupted."""
    config = config_of(args)
    if args.store is not None and args.broker is None:
        raise UsageError("A --store is for many machines; give --broker too, or none of them to fetch from here.")
    fleet = None if args.broker is None else Fleet(args.broker, args.store)
    selection = Selection(frozenset(args.error), frozenset(args.status))
    nothing = f"No row of {printable(str(args.folder))} matches; nothing was fetched again."

    def job(watch: Watch) -> Summary:
        return run_retry(args.folder, config, selection, watch=watch, fleet=fleet)

    with interrupts() as interrupted:
        return watched.main(args, args.folder, interrupted, job, nothing)


def _errors(text: str) -> list[str]:
    """The error classes of one flag."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name == "invalid_url":
            raise argparse.ArgumentTypeError("an entry that is no URL (invalid_url) cannot be fetched")
        if name not in _CLASSES:
            raise argparse.ArgumentTypeError(f"{name!r} is no error class; choose from {', '.join(_CLASSES)}")
    return names


def _statuses(text: str) -> list[tuple[int, int]]:
    """The statuses of one flag, as ranges with both their ends."""
    return [_status(word.strip()) for word in text.split(",")]


def _status(word: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-5])(xx|[0-9]{2})", word, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{word!r} is no status; write a number such as 404, or a class such as 5xx")
    low = int(match[1]) * 100
    return (low, low + 99) if match[2].lower() == "xx" else (int(word), int(word))
