"""A crawl of N rows that nobody fetched: hosts of very different size, every outcome, and texts that mean harm.

`python -m benchmarks.invented FOLDER --rows N` writes one, to be looked at, and says what a report on it costs.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.results import CONFIG, open_store
from crawler.records import Outcome, Row
from crawler.report.page import report_page
from crawler.results import open_crawl
from crawler.store.database import Database

_BATCH = 20_000
_START = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
_OUTCOMES: tuple[tuple[float, Outcome], ...] = ((0.86, "fetched"), (0.93, "failed"), (0.96, "denied"), (1, "duplicate"))
_ERRORS = ("timeout", "dns", "connect", "tls", "reset", "host_down", "incomplete", "too_slow")
_STATUSES = (200,) * 40 + (404,) * 4 + (403, 403, 301, 500, 503, 429, 204, 410)
_TYPES = ("text/html; charset=utf-8",) * 20 + ("text/html",) * 6 + ("application/json", "image/jpeg", "application/pdf")
HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b[31mred\x1b]0;title\x07",
    "\u202etxt.exe\u2066",
    "<style>*{display:none}</style>",
    "' onmouseover='alert(1)",
    "w" * 300,
    "&lt;b&gt;&amp;amp;",
    "]]>--><!--",
)
"""What a server or a list may send where a report shows a text."""


def rows(count: int, seed: int = 0) -> Iterator[Row]:
    """As many rows, 1,000 a second; the same ones for the same seed."""
    chance = random.Random(seed)
    hosts = max(count // 50, 10)
    for seq in range(1, count + 1):
        yield _row(seq, chance, int(hosts * chance.random() ** 3))


def write(folder: Path, count: int, **meta: str) -> Path:
    """A folder with that crawl, finished, and what else `meta` should hold."""
    with contextlib.closing(open_store(folder)) as store:
        store.commit({}, finished=True)
    with contextlib.closing(Database(folder / "crawl.db")) as database:
        batch: list[tuple[Any, ...]] = []
        for row in rows(count):
            batch.append(msgspec.structs.astuple(row))
            if len(batch) == _BATCH:
                database.commit(batch, {})
                batch.clear()
        database.commit(batch, {"identity": json.dumps(CONFIG.identity()), **meta})
    return folder


def _row(seq: int, chance: random.Random, number: int) -> Row:
    host = f"www.host-{number}.example" if chance.random() > 0.001 else chance.choice(HOSTILE)
    url = f"http://{host}/page-{seq}.html"
    kind = chance.random()
    outcome = next(name for below, name in _OUTCOMES if kind < below)
    if outcome == "duplicate":
        return Row(seq, "urls.txt", seq, url, url, host, outcome, duplicate_of=max(seq - 7, 1))
    if outcome == "denied":
        return Row(seq, "urls.txt", seq, url, url, host, outcome, error_class="robots", error="robots.txt forbids it")
    date = (_START + datetime.timedelta(milliseconds=seq)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if outcome == "failed":
        name = chance.choice(_ERRORS)
        return Row(seq, "urls.txt", seq, url, url, host, outcome, None, name, chance.choice(HOSTILE), 3, date,
                   dns_ms=chance.expovariate(0.1), total_ms=chance.expovariate(1e-4))  # fmt: skip
    fresh = chance.random() < 0.1
    connect, tls = (chance.expovariate(0.02), chance.expovariate(0.01)) if fresh else (None, None)
    first = (connect or 0) + (tls or 0) + chance.expovariate(1 / (20 + number % 400))
    size = int(chance.lognormvariate(9, 1.2))
    return Row(
        seq, "urls.txt", seq, url, url, host, outcome, chance.choice(_STATUSES), None, None, 1, date,
        dns_ms=chance.expovariate(0.1) if fresh else None, connect_ms=connect, tls_ms=tls, ttfb_ms=first,
        total_ms=first + chance.expovariate(0.05), bytes_wire=size // 3, bytes_body=size,
        content_type=chance.choice(_TYPES) if chance.random() > 0.002 else chance.choice(HOSTILE),
        digest=f"sha1:{seq:032d}", body_digest=f"sha1:{int(seq * chance.random() ** 0.1):032d}", ip="192.0.2.1",
        http_version="1.1", engine="asyncio", worker=0, warc_file="0.warc.gz", warc_offset=seq * 900, warc_length=800,
    )  # fmt: skip


def main() -> int:
    """Write a crawl, read its numbers, make its page; print what each costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.rows)
    began, before = time.monotonic(), time.process_time()
    with open_crawl(arguments.folder) as results:
        stats = results.stats()
    read_s, cpu_s = time.monotonic() - began, time.process_time() - before
    page = report_page(arguments.folder.name, stats, _START)
    made_s = time.process_time() - before - cpu_s
    line = {"rows": arguments.rows, "read_s": round(read_s, 2), "read_cpu_s": round(cpu_s, 2)}
    print(
        json.dumps({**line, "page_ms": round(made_s * 1000), "page_bytes": len(page.encode()), "peak_mb": _peak_mb()})
    )
    return 0


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000


if __name__ == "__main__":
    sys.exit(main())
