"""`crawl run`: the main job."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path

from crawler.cli.flags import add_flags, add_fleet, add_watching, config_of
from crawler.cli.interrupts import interrupts
from crawler.config import CrawlConfig
from crawler.errors import UsageError
from crawler.executors.spare import Spare

_ABOUT = """\
Example: crawl urls.txt --procs 4 --conc 256 --out pages.crawl
         crawl shops.csv.gz --column website --carry id,name

Fetch every URL of a list into a folder: pages as WARC, one status record for each entry.
The same command again goes on where it stood. A list is text with one URL a line, CSV, TSV, JSON Lines (whole
requests too) or Parquet, also .gz or .zst; '-' reads it from standard input.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "run",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_arguments(parser)


def add_lists(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names lists."""
    names = "files, folders or patterns of files, or - for standard input"
    parser.add_argument("lists", metavar="LIST", nargs="+", type=_list, help=names)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of a run that another command starts."""
    parser = argparse.ArgumentParser(prog="crawl run")
    _add_arguments(parser)
    return parser.parse_args(arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_lists(parser)
    parser.add_argument("--out", metavar="DIR", type=Path, help="the crawl's folder (default: NAME.crawl for NAME.txt)")
    parser.add_argument("--restart", action="store_true", help="forget what the folder holds and begin anew")
    add_watching(parser)
    add_flags(parser)
    add_fleet(parser, "where they lay down the pages: s3://bucket/prefix or a folder")


def _list(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("an empty name is no list")
    return Path(text)


def main(args: argparse.Namespace) -> int:
    """Run the crawl; 0 when every entry has its final record, 3 with --fail, 130 when it was interrupted."""
    config = config_of(args)
    if args.broker is not None or args.store is not None:
        return _on_many(args, config)
    with interrupts() as interrupted, contextlib.closing(Spare(config.engine, config.conc)) as spare:
        from crawler.cli import watched  # what is imported from here on is, while the spare imports, too
        from crawler.job import Summary, Watch, default_out, run_job

        out = args.out or default_out(args.lists)

        def job(watch: Watch) -> Summary:
            return run_job(args.lists, out, config, restart=args.restart, watch=watch, spare=spare)

        return watched.main(args, out, interrupted, job)


def _on_many(args: argparse.Namespace, config: CrawlConfig) -> int:
    """Run the crawl on the machines of a broker."""
    if args.broker is None or args.store is None:
        raise UsageError("Many machines need both --broker and --store; give both, or none to crawl on this machine.")
    with interrupts() as interrupted:
        from crawler.cli import watched
        from crawler.fleet.words import Fleet
        from crawler.job import Summary, Watch, default_out, run_job

        out, fleet = args.out or default_out(args.lists), Fleet(args.broker, args.store)

        def job(watch: Watch) -> Summary:
            return run_job(args.lists, out, config, restart=args.restart, watch=watch, fleet=fleet)

        return watched.main(args, out, interrupted, job)
