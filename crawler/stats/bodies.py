"""The same again: entries that are the same request, and pages that have the same body."""

from __future__ import annotations

import heapq
import sqlite3

import msgspec

_SHOWN = 5
_BODIES = """
    SELECT count(*) AS pages, max(bytes_body), min(seq) FROM pages WHERE body_digest IS NOT NULL
    GROUP BY body_digest HAVING pages > 1
"""


class SameBody(msgspec.Struct, frozen=True):
    """One body that several pages have: how many, its bytes, and the URL of the first of them."""

    pages: int
    bytes_body: int
    url: str


class Repeats(msgspec.Struct, frozen=True):
    """How many pages have a body that an earlier one has, its bytes in all, and the bodies that most pages have."""

    pages: int
    bytes_body: int
    bodies: list[SameBody]


def read_repeats(connection: sqlite3.Connection) -> Repeats:
    """The repeats among a crawl's decoded bodies."""
    pages = size = 0
    foremost: list[tuple[int, int, int]] = []
    for count, bytes_body, seq in connection.execute(_BODIES):
        pages += count - 1
        size += (count - 1) * (bytes_body or 0)
        item = (count, bytes_body or 0, -seq)
        (heapq.heappush if len(foremost) < _SHOWN else heapq.heappushpop)(foremost, item)
    bodies = [SameBody(count, length, _url(connection, -seq)) for count, length, seq in sorted(foremost, reverse=True)]
    return Repeats(pages, size, bodies)


def _url(connection: sqlite3.Connection, seq: int) -> str:
    return str(connection.execute("SELECT url FROM pages WHERE seq = ?", (seq,)).fetchone()[0])
