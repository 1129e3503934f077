"""What became of pages since the previous crawl, and how many could not be parsed."""

from __future__ import annotations

import sqlite3

import msgspec

_CHANGES = "SELECT changed, count(*), count(parse_error) FROM pages GROUP BY changed ORDER BY count(*) DESC, changed"


class Changes(msgspec.Struct, frozen=True):
    """`since` counts pages by `changed`, most frequent first; `parse_errors` those whose parse has no result."""

    since: dict[str, int]
    parse_errors: int


def read_changes(connection: sqlite3.Connection) -> Changes:
    """The numbers of a crawl."""
    groups = connection.execute(_CHANGES).fetchall()
    since = {changed: count for changed, count, _ in groups if changed is not None}
    return Changes(since, sum(group[2] for group in groups))
