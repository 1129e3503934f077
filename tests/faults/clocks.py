"""The wall clock jumps a day forward and back while the crawl runs: nothing waits for it, only dates show it."""

from __future__ import annotations

import contextlib
import datetime
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import fastwarc.warc
import origin

from faults.arena import Arena, Run
from faults.lists import give, mixed
from faults.runner import SHORT_ENTRIES
from faults.truth import Base, Truth

NAME = "clocks"
LONG, SHORT = 1, 1
BOUND_S = 300.0
"""An answer's Retry-After is heeded for 120 s at most, whatever day it seems to be."""

_DAY_S = 86_400
_ONE_IN = 25
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")  # WARC 1.1 §5.4


def run(arena: Arena, seed: int) -> list[str]:
    """Crawl once, and let the clock jump: a day forward, in the long form then to the day before, and back."""
    off_s = (_DAY_S, 0) if len(arena.truths) <= SHORT_ENTRIES else (_DAY_S, -_DAY_S, 0)
    give(arena, mixed(arena, arena.truths, len(arena.truths) // _ONE_IN, _asked_to_wait))
    clock, total = arena.folder / "clock", arena.open()
    clock.write_text("0")
    with arena.crawl("--delay", "0.04", clock=str(clock)) as run:
        for number, seconds in enumerate(off_s, 1):
            _jump(arena, run, clock, seconds, total * number // (len(off_s) + 1))
        arena.finish(run)
    days = {0, *(seconds // _DAY_S for seconds in off_s)}
    return [*arena.verdict(), *_judge_dates(dict(_dates(arena.out)), days)]


def _asked_to_wait(base: Base, seq: int) -> Truth:
    return base.fetched(seq, "/retry-after-date/k?s=2", origin.page(3), tries=2)


def _jump(arena: Arena, run: Run, clock: Path, seconds: int, requests: int) -> None:
    arena.until(lambda: run.poll() is not None or arena.requests() >= requests)
    new = clock.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(clock)


def _judge_dates(dates: Mapping[str, str], days: set[int]) -> Iterator[str]:
    """Every date is one, by one of the clocks, and each of the clocks was read."""
    found, now = set[int](), datetime.datetime.now(datetime.UTC)
    for where, text in dates.items():
        if not _DATE.fullmatch(text):
            yield f"dates: {where} is {text}"
        else:
            found.add(round((datetime.datetime.fromisoformat(text) - now) / datetime.timedelta(days=1)))
    if found != days:
        yield f"clocks: the dates are off by {sorted(found)} days instead of {sorted(days)}"


def _dates(out: Path) -> Iterator[tuple[str, str]]:
    """Every date that a crawl keeps, by where it stands."""
    with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection:
        for seq, date in connection.execute("SELECT seq, fetched_at FROM pages WHERE attempts > 0"):
            yield f"fetched_at of seq {seq}", str(date)
    for path in sorted((out / "warc").glob("*")):
        with path.open("rb") as stream:
            for record in fastwarc.warc.ArchiveIterator(stream, parse_http=False):
                yield f"WARC-Date of {record.record_id}", str(record.headers.get("WARC-Date"))
