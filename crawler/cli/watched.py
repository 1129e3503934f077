"""What the commands that fetch share: display, interrupts, summary, exit status."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING

from crawler.job import Summary, Watch
from crawler.pipeline import Pipeline
from crawler.progress import make_progress, say_summary
from crawler.records import Result

if TYPE_CHECKING:
    from crawler.report.board import Board

_NOT_OK = """SELECT seq FROM pages
    WHERE outcome != 'duplicate' AND NOT (outcome = 'fetched' AND coalesce(status, 0) BETWEEN 200 AND 299) LIMIT 1"""


def main(
    args: argparse.Namespace,
    out: Path,
    interrupted: Sized,
    job: Callable[[Watch], Summary],
    nothing: str | None = None,
) -> int:
    """Do the job into `out` while people watch; 0 when it came to its end, 3 with --fail, 130 when it was interrupted.

    It is stopped when `interrupted` is no longer empty. `nothing` is the sentence in place of the summary where there
    was nothing to record.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # a --parse of the user's own is found here, but hides nothing
    with _serving(args, out) as board, make_progress(args.quiet, args.log_format) as progress:

        def watch(pipeline: Pipeline, batch: list[Result]) -> bool:
            progress.update(pipeline, batch)
            if board is not None:
                board.follow(progress.tally, pipeline)
            return not interrupted

        summary = job(watch)
    if not args.quiet:
        if nothing and summary.finished and not summary.recorded and args.log_format == "text":
            print(nothing)
        else:
            say_summary(summary, progress.tally, args.log_format)
    if not summary.finished:
        return 130
    return 3 if args.fail and not _all_ok(summary.out) else 0


@contextlib.contextmanager
def _serving(args: argparse.Namespace, out: Path) -> Iterator[Board | None]:
    """The board that --metrics-port asks for; where it is served is said even by a quiet run, which may not know."""
    if args.metrics_port is None:
        yield None
        return
    from crawler.report.server import serving  # who has no port does not pay for it

    with serving(out.resolve().name, args.metrics_port) as (board, url):
        text = f"Live page: {url} (Prometheus: {url}metrics)"
        said = json.dumps({"event": "metrics", "url": url}) if args.log_format == "json" else text
        print(said, file=sys.stderr, flush=True)
        yield board


def _all_ok(out: Path) -> bool:
    """Whether every entry, its duplicates aside, is a page with a 2xx status."""
    from crawler.results import open_crawl  # a run that nobody asks this of does not pay for it

    with open_crawl(out) as results:
        return next(results.query(_NOT_OK), None) is None
