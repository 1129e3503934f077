"""`crawl run`: the main job."""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from crawler.cli.flags import add_flags, config_of
from crawler.job import default_out, run_job
from crawler.pipeline import Pipeline
from crawler.progress import make_progress, say_summary
from crawler.records import Result
from crawler.results import open_crawl

_ABOUT = """\
Example: crawl urls.txt --procs 4 --conc 256 --out pages.crawl

Fetch every URL of a list into a folder: pages as WARC, one status record for each entry.
The same command again goes on where it stood. '-' reads the list from standard input.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="fetch every URL of a list (the main job)",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_arguments(parser)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of a run that another command starts."""
    parser = argparse.ArgumentParser(prog="crawl run")
    _add_arguments(parser)
    return parser.parse_args(arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("list", metavar="LIST", help="a text file with one URL a line, or - for standard input")
    parser.add_argument("--out", metavar="DIR", type=Path, help="the crawl's folder (default: NAME.crawl for NAME.txt)")
    parser.add_argument("--restart", action="store_true", help="forget what the folder holds and begin anew")
    parser.add_argument("--fail", action="store_true", help="exit with status 3 when some page is not ok")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="of the lines when no terminal")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    add_flags(parser)


def main(args: argparse.Namespace) -> int:
    """Run the crawl; 0 when every entry has its final record, 3 with --fail, 130 when it was interrupted."""
    config = config_of(args)
    out = args.out or default_out(args.list)
    with _interrupts() as interrupted, make_progress(args.quiet, args.log_format) as progress:

        def watch(pipeline: Pipeline, batch: list[Result]) -> bool:
            progress.update(pipeline, batch)
            return not interrupted

        summary = run_job(args.list, out, config, restart=args.restart, watch=watch)
    if not args.quiet:
        say_summary(summary, progress.tally, args.log_format)
    if not summary.finished:
        return 130
    return 3 if args.fail and not _all_ok(out) else 0


def _all_ok(out: Path) -> bool:
    """Whether every entry, its duplicates aside, is a page with a 2xx status."""
    with open_crawl(out) as results:
        stats = results.stats()
    return stats.ok + stats.outcomes["duplicate"] == stats.entries


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """SIGINT and SIGTERM stop the run in order: the list that is yielded fills up. A second one stops it at once.

    Whoever is impatient has been heard by then: a third one, or one that comes as we leave, changes nothing.
    """
    received: list[int] = []
    leaving = False

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        received.append(number)
        if len(received) == 2 and not leaving:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        leaving = True
        if received:
            signal.pthread_sigmask(signal.SIG_BLOCK, before)  # nothing is left to stop, and Python is about to end
        else:
            for number, handler in before.items():
                signal.signal(number, handler)
