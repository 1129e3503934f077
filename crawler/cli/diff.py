"""`crawl diff`: what changed between two crawls, for people (text) or programs (JSON)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from crawler.diff import Change, Diff, Kind
from crawler.escape import printable

_ABOUT = """\
Example: crawl diff monday.crawl tuesday.crawl

Say what changed between two crawls, page by page, judged on the decoded body:
  new      a page now, and none before        gone     it was a page, and is now 404 or 410
  changed  its body is another one            failed   it was a page, and could not be fetched now
                                              missing  it was a page, and the second list does not have it
The last line counts them. The exit status is 0, or with --fail 3 where anything is not as it was.
"""
_DIFFERS = 3


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add `diff` to the commands of `crawl`; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "diff",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", metavar="DIR1", type=Path, help="the folder of the crawl before")
    parser.add_argument("after", metavar="DIR2", type=Path, help="the folder of the crawl after it")
    parser.add_argument("--json", action="store_true", help="print one JSON object: counts, and what changed")
    parser.add_argument("--fail", action="store_true", help="exit with status 3 when anything is not as it was")


def main(args: argparse.Namespace) -> int:
    """Print what changed; raises FolderError."""
    with Diff(args.before, args.after) as diff:
        counts = diff.counts
        if args.json:
            sys.stdout.writelines(_json(counts, diff.changes()))
        else:
            for change in diff.changes():
                print(f"{change.kind:8} {printable(change.url)}{_why(change)}")
            print(", ".join(f"{count:,} {kind}" for kind, count in counts.items()))
    differs = sum(counts.values()) != counts["same"]
    return _DIFFERS if args.fail and differs else 0


def _why(change: Change) -> str:
    """What came in place of the page."""
    if change.kind not in ("gone", "failed"):
        return ""
    return f" ({printable(str(change.error_class or change.status))})"


def _json(counts: Mapping[Kind, int], changes: Iterator[Change]) -> Iterator[str]:
    """One object, written as the rows come. ASCII alone, but for DEL, which JSON does not escape."""
    yield f'{{"counts": {json.dumps(counts)}, "changes": ['
    for number, change in enumerate(changes):
        text = json.dumps(msgspec.to_builtins(change)).replace("\x7f", "\\u007f")
        yield f"{',' if number else ''}\n{text}"
    yield "\n]}\n"
