"""A crawl in numbers."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter

import msgspec

from crawler.records import OUTCOMES, Outcome
from crawler.store.database import read_meta

_HOSTS = 10
_GROUPS = """
    SELECT outcome, error_class, status, count(*), total(bytes_wire), total(bytes_body), total(total_ms),
           count(total_ms), min(fetched_at), max(fetched_at)
    FROM pages GROUP BY outcome, error_class, status
"""
_BY_HOST = """
    SELECT host, count(*) AS pages FROM pages WHERE host IS NOT NULL
    GROUP BY host ORDER BY pages DESC, host LIMIT ?
"""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What a crawl has recorded so far.

    `outcomes` has all five keys and sums up to `entries`; `error_classes` and `statuses` hold what occurred,
    most frequent first. `ok` counts pages fetched with a 2xx status, `success_rate` is `ok / entries` (None
    while there are none). Sizes are bytes, `mean_total_ms` milliseconds over the rows that know it, times UTC
    in ISO 8601. `hosts` are the ten with the most rows. `finished` says whether every entry of the input has
    its row.
    """

    entries: int
    outcomes: dict[Outcome, int]
    error_classes: dict[str, int]
    statuses: dict[int, int]
    ok: int
    success_rate: float | None
    bytes_wire: int
    bytes_body: int
    mean_total_ms: float | None
    first_fetched_at: str | None
    last_fetched_at: str | None
    hosts: list[tuple[str, int]]
    finished: bool


def read_stats(connection: sqlite3.Connection) -> Stats:
    """The numbers of one moment, also while the crawl writes."""
    connection.execute("BEGIN")  # one snapshot for all of the queries
    try:
        groups = connection.execute(_GROUPS).fetchall()
        hosts = connection.execute(_BY_HOST, (_HOSTS,)).fetchall()
        finished = json.loads(read_meta(connection)["finished"])
    finally:
        connection.execute("ROLLBACK")
    outcomes: Counter[Outcome] = Counter()
    error_classes: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    ok = 0
    for outcome, error_class, status, count, *_ in groups:
        outcomes[outcome] += count
        error_classes[error_class] += count
        statuses[status] += count
        ok += count if outcome == "fetched" and status is not None and 200 <= status < 300 else 0
    entries, timed = outcomes.total(), sum(group[7] for group in groups)
    return Stats(
        entries=entries,
        outcomes={outcome: outcomes[outcome] for outcome in OUTCOMES},
        error_classes={name: count for name, count in error_classes.most_common() if name is not None},
        statuses={status: count for status, count in statuses.most_common() if status is not None},
        ok=ok,
        success_rate=ok / entries if entries else None,
        bytes_wire=int(sum(group[4] for group in groups)),
        bytes_body=int(sum(group[5] for group in groups)),
        mean_total_ms=sum(group[6] for group in groups) / timed if timed else None,
        first_fetched_at=min((group[8] for group in groups if group[8]), default=None),
        last_fetched_at=max((group[9] for group in groups if group[9]), default=None),
        hosts=hosts,
        finished=finished,
    )
