"""One URL in 1,000 kills its worker: exactly those are `worker_crash`, and the run goes on to its end."""

from __future__ import annotations

import json
import time
from pathlib import Path

from faults.arena import Arena, number_of
from faults.judge import read_rows
from faults.lists import give, mixed
from faults.truth import Base, Truth, make_truths

NAME = "killers"
LONG, SHORT = 2, 1
BOUND_S = 600.0

_CONCS = (64, 256)
_DEADLY = 418
_ONE_IN = 1000
_NOTED_EVERY_S = 0.02


def run(arena: Arena, seed: int) -> list[str]:
    """Crawl once, at 64 in flight or at 256, noting every death; nobody starts anything again."""
    conc = _CONCS[number_of(seed) % len(_CONCS)]
    truths = make_truths(arena.origin.port, arena.chance, len(arena.truths) * 5 // 2)
    killers = max(2, len(truths) // _ONE_IN)
    give(arena, mixed(arena, truths, killers, _killer))
    deaths, started = arena.folder / "deaths", time.monotonic()
    deaths.touch()
    fault = {"deadly_status": _DEADLY, "deaths": str(deaths), "database": str(arena.out / "crawl.db")}
    with arena.crawl("--per-host", "0", "--conc", str(conc), **fault) as run:
        while run.poll() is None:
            note(arena, deaths)
            arena.pause(run, _NOTED_EVERY_S)
        note(arena, deaths)
        arena.finish(run)
    took = f"{arena.kills} deaths, {time.monotonic() - started:.1f} s"
    print(f"  killers: {killers} of {len(truths)} at {conc} in flight, {took}", flush=True)
    return [*arena.verdict(), *unexplained(arena)]


def _killer(base: Base, seq: int) -> Truth:
    return base.failed(seq, f"/status/{_DEADLY}", "worker_crash", tries=1)


def note(arena: Arena, deaths: Path) -> None:
    """Note the deaths that were not yet: each wrote a line, of what was committed before it."""
    whole, _, _ = deaths.read_text().rpartition("\n")  # the last line may not be
    for line in whole.splitlines()[arena.kills :]:
        arena.kills += 1
        arena.note(frozenset(json.loads(line)))


def unexplained(arena: Arena) -> list[str]:
    """Killers that were asked for more often than their row says, or that were condemned for less than two deaths."""
    rows, hits, found = read_rows(arena.out / "crawl.db"), arena.hits(), list[str]()
    for truth in arena.truths:
        if truth.error_class == "worker_crash" and truth.seq in rows:
            attempts, asked = rows[truth.seq]["attempts"], hits.get(truth.targets[0], 0)
            if not 2 <= asked <= attempts:
                found.append(f"killers: seq {truth.seq} was asked for {asked} times, its row says {attempts}")
    return found
