"""`crawl get`: one page's decoded body, back out of the archive."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crawler.errors import NotRecordedError, UsageError
from crawler.escape import printable, printable_lines
from crawler.page import Page
from crawler.results import open_crawl
from crawler.store.folder import CrawlFolder


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "get",
        help=about,
        description="Example: crawl get urls.crawl https://example.com/ > page.html\n\n"
        "Write the decoded body of one page, by its URL in the list or the one that it was redirected to.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the crawl's folder")
    parser.add_argument("url", metavar="URL", help="the page's URL")
    parser.add_argument("--headers", action="store_true", help="print the response's head before the body")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the body to this file (-: standard output)")


def main(args: argparse.Namespace) -> int:
    """Write the body; raises FolderError, NotRecordedError, UsageError (FILE cannot be written)."""
    file = None if args.output == Path("-") else args.output
    with open_crawl(args.folder) as results:
        if file is not None:
            CrawlFolder(args.folder).refuse(file)
        page = results.get(args.url)
    if not page.row.has_body:
        raise NotRecordedError(_why_empty(page))
    if args.headers:
        print(_head(page), end="\n\n", flush=True)
    if file is not None:
        _save(page.body, file)
    elif sys.stdout.isatty():
        print(printable_lines(page.text))
    else:
        sys.stdout.buffer.write(page.body)
        sys.stdout.buffer.flush()
    return 0


def _why_empty(page: Page) -> str:
    why = page.error or f"status {page.status}, recorded without an archive"
    return f"There is no body of {printable(page.url)}: {page.outcome}, {printable(why)}"


def _head(page: Page) -> str:
    """The head in the form of HTTP/1.1, without its reason phrase, safe to print."""
    fields = (f"{name}: {value}" for name, value in page.headers)
    return "\n".join(map(printable, (f"HTTP/{page.row.http_version or '1.1'} {page.status}", *fields)))


def _save(body: bytes, file: Path) -> None:
    try:
        file.write_bytes(body)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from error
