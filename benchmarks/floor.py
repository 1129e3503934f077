"""How cheap can a page be that is archived? `python -m benchmarks.floor [--workload near|hosts] [--pages 10000]`.

The least program that brings the same pages, in steps, in one process and with no more Python than a step needs:
libcurl alone, whose pages are thrown away; with the two gzip members and the digests that an archive has, in a file;
with a row in SQLite. It has no start, no list, no normalising, no duplicates, no limits, no address check, no deadline,
no second process, and nothing that survives a fault. What the product does for a page beside that is what it could
become cheaper by. In turn; each figure is the median.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pycurl
from isal import isal_zlib

from benchmarks.figures import show, show_json
from benchmarks.job import scratch
from benchmarks.workloads import WORKLOADS, serving
from crawler.digests import digest_of
from crawler.engines.pools import Pool, Sockets
from crawler.flow import ACCEPT, ACCEPT_ENCODING
from crawler.records import Row

_FIELDS = ["User-Agent: crawler-benchmark", f"Accept: {ACCEPT}", f"Accept-Encoding: {ACCEPT_ENCODING}"]
_REQUEST = "".join(f"{field}\r\n" for field in _FIELDS)
_COLUMNS = Row.__struct_fields__
_EVENTS_AT_ONCE = 128
_ROWS_AT_ONCE = 500
_GZIP = 31  # window bits, as zlib counts them

Keep = Callable[[str, list[bytes], list[bytes]], None]
"""Is given the URL, the lines of the head, and the pieces of the body."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    costs: dict[str, list[float]] = {}
    workload = WORKLOADS[args.workload]
    with scratch(args.pages * 10_000) as folder, serving(workload, folder, 1) as (origin, _):
        urls = list(workload.lines(origin, args.pages))
        for run in range(args.runs + 1):
            with _steps(folder / str(run)) as steps:
                for name, keep in steps.items():
                    began = time.process_time()
                    _fetch(urls, args.conc, keep)
                    if run:  # the first is to warm up
                        costs.setdefault(name, []).append((time.process_time() - began) / args.pages * 1e6)
    figures = {name: round(statistics.median(found), 1) for name, found in costs.items()}
    show(
        f"{args.workload}, {args.pages:,} pages a run, {args.conc} at once, median of {args.runs}",
        {name: f"{figure} µs of CPU a page" for name, figure in figures.items()},
    )
    show_json("floor", vars(args), figures)
    return 0


@contextlib.contextmanager
def _steps(folder: Path) -> Iterator[dict[str, Keep]]:
    """What is done with a page, more with each step."""
    folder.mkdir()
    archive = (folder / "archive.warc.gz").open("wb")
    database = sqlite3.connect(folder / "rows.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"CREATE TABLE pages ({', '.join(_COLUMNS)})")
    insert = f"INSERT INTO pages VALUES ({', '.join('?' * len(_COLUMNS))})"
    rows: list[tuple[object, ...]] = []

    def throw_away(url: str, lines: list[bytes], pieces: list[bytes]) -> None:
        pass

    def to_archive(url: str, lines: list[bytes], pieces: list[bytes]) -> None:
        write_page(archive, url, lines, pieces)

    def with_row(url: str, lines: list[bytes], pieces: list[bytes]) -> None:
        at, digest, length = write_page(archive, url, lines, pieces)
        rows.append((at, "urls.txt", at, url, url, "127.0.0.1", "fetched", 200, *[None] * 13, digest, *[length] * 17))
        if len(rows) == _ROWS_AT_ONCE:
            database.execute("BEGIN")
            database.executemany(insert, rows)
            database.execute("COMMIT")
            rows.clear()

    with archive, contextlib.closing(database):
        yield {"libcurl": throw_away, "libcurl, archive": to_archive, "libcurl, archive, row": with_row}


def _fetch(urls: Sequence[str], conc: int, keep: Keep) -> None:
    """Fetch them all, `conc` at once, in the order in which their turn comes."""
    sockets = Sockets()
    pool = Pool(sockets, kept=conc, connections=2 * conc)
    left = iter(urls)
    handles = [_handle(sockets) for _ in range(conc)]
    for handle in handles:
        _begin(pool, handle, left)
    done = 0
    while done < len(urls):
        sockets.epoll.poll(0.05, 1)
        sockets.act(_EVENTS_AT_ONCE)
        if pool.due <= time.monotonic():
            pool.keep_time()
        queued = 1
        while queued:
            queued, whole, broken = pool.multi.info_read()
            assert not broken, broken
            for handle in whole:
                pool.multi.remove_handle(handle)
                keep(handle.url, handle.lines, handle.pieces)
                done += 1
                _begin(pool, handle, left)
    pool.multi.close()
    for handle in handles:
        handle.close()
    sockets.epoll.close()


def _handle(sockets: Sockets) -> pycurl.Curl:
    handle = pycurl.Curl()
    handle.lines, handle.pieces = [], []
    handle.setopt(pycurl.NOSIGNAL, 1)
    handle.setopt(pycurl.HTTPHEADER, _FIELDS)
    handle.setopt(pycurl.DNS_CACHE_TIMEOUT, 0)  # it is scanned at each exchange
    handle.setopt(pycurl.HEADERFUNCTION, handle.lines.append)
    handle.setopt(pycurl.WRITEFUNCTION, handle.pieces.append)
    handle.setopt(pycurl.SOCKOPTFUNCTION, sockets.opened)
    return handle


def _begin(pool: Pool, handle: pycurl.Curl, left: Iterator[str]) -> None:
    url = next(left, None)
    if url is not None:
        handle.lines.clear()
        handle.pieces.clear()
        handle.url = url
        handle.setopt(pycurl.URL, url)
        pool.multi.add_handle(handle)


def write_page(archive: BinaryIO, url: str, lines: list[bytes], pieces: list[bytes]) -> tuple[int, str, int]:
    """A response's record and its request's; where the first is, its payload's digest, and its length."""
    payload, head = b"".join(pieces), b"".join(lines)
    digest = digest_of(payload)
    about = f"WARC-Target-URI: {url}\r\nWARC-IP-Address: 127.0.0.1\r\n"
    response = _record("response", f"{about}WARC-Payload-Digest: {digest}\r\n", head + payload, 1)
    asked = f"GET {url} HTTP/1.1\r\n{_REQUEST}\r\n".encode()
    at = archive.tell()
    archive.write(response + _record("request", about, asked, 0))
    return at, digest, len(response)


def _record(kind: str, about: str, block: bytes, level: int) -> bytes:
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000000>\r\n"
        f"WARC-Date: 2026-01-01T00:00:00Z\r\n{about}WARC-Block-Digest: {digest_of(block)}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return bytes(isal_zlib.compress(b"".join((head.encode(), block, b"\r\n\r\n")), level, _GZIP))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description="The least that a page can cost.")
    parser.add_argument("--workload", choices=("near", "hosts"), default="near", help="of the harness (default near)")
    parser.add_argument("--pages", type=int, default=10_000, metavar="N", help="pages a run (default 10000)")
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="how often, in turn (default 7)")
    parser.add_argument("--conc", type=int, default=64, metavar="M", help="in flight at once (default 64)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
