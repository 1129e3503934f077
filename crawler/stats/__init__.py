"""A crawl in numbers: what `results.stats()`, `crawl report` and its HTML page say.

Read in SQL, in three passes over the rows that hold no more than a few thousand numbers, whatever a crawl's length:
`cube` (all that has few values), `hosts`, `bodies`; and `phases`, of a sample.
"""

from __future__ import annotations

import json
import sqlite3

import msgspec

from crawler.history import History
from crawler.records import Outcome
from crawler.stats.bodies import Repeats, read_repeats
from crawler.stats.changes import read_changes
from crawler.stats.cube import read_cube
from crawler.stats.hosts import HostNumbers, read_hosts
from crawler.stats.phases import Phase, read_sample
from crawler.stats.timeline import Slot, Timeline
from crawler.store.database import read_meta

__all__ = ["HostNumbers", "Phase", "Repeats", "Slot", "Stats", "Timeline", "read_stats"]


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What a crawl has recorded so far.

    `outcomes` has all five keys and sums up to `entries`; `error_classes`, `statuses` and `content_types` hold what
    occurred, most frequent first (of types the foremost; the rest is `other`). `changes` counts pages by `changed`,
    where there is a previous crawl, `parse_errors` those that could not be parsed. `ok` counts pages fetched with a 2xx
    status, or unchanged, `success_rate` is `ok / entries` (None while there are none). Sizes are bytes, `mean_total_ms`
    milliseconds over the rows that know it, times UTC in ISO 8601. `hosts` are the ten with the most rows,
    `heaviest_hosts` those with the most bytes, `slowest_hosts` those with the longest mean. `phases` says where an
    exchange's time went. `history` is how hard the runs worked, and what limited them. `finished` says whether every
    entry of the input has its row.
    """

    entries: int
    outcomes: dict[Outcome, int]
    error_classes: dict[str, int]
    statuses: dict[int, int]
    content_types: dict[str, int]
    changes: dict[str, int]
    parse_errors: int
    ok: int
    success_rate: float | None
    bytes_wire: int
    bytes_body: int
    mean_total_ms: float | None
    first_fetched_at: str | None
    last_fetched_at: str | None
    timeline: Timeline | None
    phases: dict[str, Phase]
    hosts: list[HostNumbers]
    heaviest_hosts: list[HostNumbers]
    slowest_hosts: list[HostNumbers]
    host_count: int
    repeats: Repeats
    history: History
    finished: bool


def read_stats(connection: sqlite3.Connection) -> Stats:
    """The numbers of one moment, also while the crawl writes: about 4 s of processor time for a million rows."""
    connection.execute("BEGIN")  # one snapshot for all of the queries
    try:
        sample = read_sample(connection)
        cube = read_cube(connection, sample.times)
        hosts = read_hosts(connection)
        repeats = read_repeats(connection)
        changes = read_changes(connection)
        meta = read_meta(connection)
    finally:
        connection.execute("ROLLBACK")
    entries = sum(cube.outcomes.values())
    return Stats(
        entries=entries,
        outcomes=cube.outcomes,
        error_classes=dict(cube.error_classes.most_common()),
        statuses=dict(cube.statuses.most_common()),
        content_types=cube.foremost_types(),
        changes=changes.since,
        parse_errors=changes.parse_errors,
        ok=cube.ok,
        success_rate=cube.ok / entries if entries else None,
        bytes_wire=int(cube.bytes_wire),
        bytes_body=int(cube.bytes_body),
        mean_total_ms=cube.total_ms / cube.timed if cube.timed else None,
        first_fetched_at=cube.first,
        last_fetched_at=cube.last,
        timeline=cube.timeline(),
        phases=sample.phases,
        hosts=hosts.largest(),
        heaviest_hosts=hosts.heaviest(),
        slowest_hosts=hosts.slowest(),
        host_count=hosts.count,
        repeats=repeats,
        history=History.decode(meta.get("history")),
        finished=bool(json.loads(meta["finished"])),
    )
