"""`crawl demo`: the main job, on a site that needs no network."""

from __future__ import annotations

import argparse
import itertools
import shlex
from pathlib import Path

from crawler.cli import run
from crawler.errors import FolderError
from crawler.escape import printable
from crawler.invocation import command

_ABOUT = """\
Example: crawl demo

Crawl a real site of some hundred pages: the standard library's documentation, which this machine serves itself.
At the end it says what to try next.
"""
_NEXT = """
Try next:
  {crawl} report {out}
  {crawl} query {out} "SELECT status, count(*) FROM pages GROUP BY status"
  {crawl} get {out} {base}/json.html
Then your own list, a text file with one URL a line: {crawl} urls.txt"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "demo",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="a new folder (default: demo.crawl, demo-2.crawl, …)")


def main(args: argparse.Namespace) -> int:
    """Serve, write the list, crawl it; the exit status is that of the crawl."""
    from crawler.demo.server import running

    out: Path = args.out or _fresh_folder()
    if not out.name:
        raise FolderError(f"{out} is no name for a new folder; name one with --out.")
    if not _is_fresh(out):
        raise FolderError(f"{out} or {_list_of(out)} exists already; name a new folder with --out.")
    urls = _list_of(out)
    with running() as (base, paths):
        _write(urls, "".join(f"{base}{path}\n" for path in paths))
        print(printable(f"Crawling {len(paths)} URLs of a site on this machine ({urls}) into {out}"), flush=True)
        status = run.main(run.parse([str(urls), "--out", str(out), "--allow-private"]))
    if not status:
        print(_NEXT.format(crawl=command(), out=printable(shlex.quote(str(out))), base=base))
    return status


def _fresh_folder() -> Path:
    names = itertools.chain(["demo.crawl"], (f"demo-{n}.crawl" for n in itertools.count(2)))
    return next(path for path in map(Path, names) if _is_fresh(path))


def _write(urls: Path, text: str) -> None:
    try:
        urls.parent.mkdir(parents=True, exist_ok=True)
        urls.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderError(
            f"{urls} cannot be written: {error.strerror}; name another folder with --out, or go to one that is yours."
        ) from error


def _is_fresh(out: Path) -> bool:
    return not out.exists() and not _list_of(out).exists()


def _list_of(out: Path) -> Path:
    """The list beside the folder: `demo.txt` of `demo.crawl`."""
    return out.with_name(out.name.removesuffix(".crawl") + ".txt")
