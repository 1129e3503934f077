"""`crawl export`: a crawl in the forms that other tools read."""

from __future__ import annotations

import argparse
from pathlib import Path

from crawler.cli.remark import remark
from crawler.errors import RunError
from crawler.escape import printable
from crawler.export import FORMS, export

_ABOUT = """\
Example: crawl export pages.crawl --to parquet pages.parquet

Write a crawl out in a form that other tools read, also while it runs:

  parquet  the rows, with the column names of Common Crawl's index (needs the extra 'parquet')
  jsonl    the same, a JSON object a line
  csv      the same for spreadsheets, safe to open
  files    the decoded bodies, each once, under names made of their digests, and an index; goes on where it was stopped
  cdxj     an index of the WARC files, for pywb and its like
  wacz     WARC files, index and list of pages in one file, for ReplayWeb.page
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "export",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the crawl's folder")
    parser.add_argument("--to", required=True, choices=FORMS, help="the form")
    parser.add_argument(
        "target", metavar="TARGET", type=Path, help="the file or, for files, the folder to write; - is standard output"
    )
    parser.add_argument("--name", help="what the column 'crawl' says (default: the folder's name without .crawl)")
    parser.add_argument("--overwrite", action="store_true", help="replace a TARGET that is there")


def main(args: argparse.Namespace) -> int:
    """Write it; raises what `export` does, and RunError where records are missing in what was written."""
    written, unreadable = export(args.folder, args.to, args.target, name=args.name, overwrite=args.overwrite)
    remark(f"{written} of {printable(str(args.folder))} are in {printable(str(args.target))}.", args.target)
    if unreadable:
        raise RunError(
            f"{unreadable:,} records of the archive could not be read; what only they hold is missing there."
        )
    return 0
