"""The rows of a crawl by their entry's normalised URL, in a table of SQLite's own temporary file.

The crawl itself is only read: it may be somebody else's, on a disk that cannot be written, or still running.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from crawler import urls
from crawler.dedupe import fingerprint

_ROWS = 10_000


def temporary() -> sqlite3.Connection:
    """An empty database that takes little memory, and no place when it is closed."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=OFF")
    return connection


def print_of(key: bytes, href: str) -> int:
    """The fingerprint of a normalised URL, as SQLite can have it."""
    return fingerprint(key, "GET", href) >> 1


def entries(pages: sqlite3.Connection, key: bytes, where: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    """For each row of `pages` the fingerprint of its entry's URL, its seq, and `columns`; no row for what is no URL."""
    wanted = ", ".join(("seq", "url", "final_url", "redirects IS NULL", *columns))
    query = f"SELECT {wanted} FROM pages WHERE seq > ? AND {where} ORDER BY seq LIMIT ?"  # noqa: S608 - our own words
    last = 0
    # A batch at a time: one long read would keep the write-ahead log of a running crawl from being emptied.
    while batch := pages.execute(query, (last, _ROWS)).fetchall():
        for seq, url, final_url, direct, *values in batch:
            href = final_url if direct and final_url else normalised(url)
            if href is not None:
                yield print_of(key, href), seq, *values
        last = batch[-1][0]


def normalised(url: str) -> str | None:
    """The URL as the intake makes it of an entry; None where that is none."""
    try:
        return urls.parse(url).href
    except urls.UrlError:
        return None
