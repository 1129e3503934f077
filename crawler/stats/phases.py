"""Where the time of an exchange goes, phase by phase, from a sample of the rows."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Iterable

import msgspec

SAMPLE_ROWS = 50_000
"""How many rows are looked at, evenly over the crawl: all of them where it has no more."""

# Rows are found by their key, so that a sample costs the same in any crawl. `ttfb_ms` and `total_ms` count from the
# beginning of the exchange; connecting and TLS, where it had to connect, are a part of both, DNS is not.
_SAMPLE = """
    WITH RECURSIVE picked(n) AS (SELECT :low UNION ALL SELECT n + :step FROM picked WHERE n + :step <= :high)
    SELECT dns_ms, connect_ms, tls_ms, ttfb_ms - coalesce(connect_ms, 0) - coalesce(tls_ms, 0), total_ms - ttfb_ms,
        total_ms, CAST(strftime('%s', fetched_at) AS INTEGER) * 1000 + CAST(substr(fetched_at, 21, 3) AS INTEGER)
    FROM picked CROSS JOIN pages ON seq = n
"""
PHASES = ("dns", "connect", "tls", "first_byte", "body", "total")


class Phase(msgspec.Struct, frozen=True):
    """One phase in milliseconds, over the `count` rows of the sample that have it."""

    count: int
    mean: float
    median: float
    p90: float
    p99: float
    longest: float


class Sample(msgspec.Struct, frozen=True):
    """The phases that occur, in their order; and about the first and the last time, in milliseconds since the epoch."""

    phases: dict[str, Phase]
    times: tuple[int, int] | None


def read_sample(connection: sqlite3.Connection) -> Sample:
    """A sample of a crawl's rows."""
    low, high = connection.execute("SELECT min(seq), max(seq) FROM pages").fetchone()
    if low is None:
        return Sample({}, None)
    step = max(-(-(high - low + 1) // SAMPLE_ROWS), 1)
    rows = connection.execute(_SAMPLE, {"low": low, "high": high, "step": step}).fetchall()
    *columns, times = zip(*rows, strict=True) if rows else ((),) * (len(PHASES) + 1)
    phases = {name: phase for name, column in zip(PHASES, columns, strict=True) if (phase := _phase(column))}
    known = [time for time in times if time is not None]
    return Sample(phases, (min(known), max(known)) if known else None)


def _phase(column: Iterable[float | None]) -> Phase | None:
    values = sorted(max(value, 0.0) for value in column if value is not None)
    if not values:
        return None
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    return Phase(len(values), statistics.fmean(values), cuts[49], cuts[89], cuts[98], values[-1])
