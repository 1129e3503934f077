"""A kill during recovery, ten in a row: what is left of ten beginnings recovers, and the crawl completes."""

from __future__ import annotations

import dataclasses

from faults.arena import Arena
from faults.points import RECOVERING, leave_something

NAME = "recoveries"
LONG, SHORT = 10, 1

_IN_A_ROW = 10


def run(arena: Arena, seed: int) -> list[str]:
    """Leave something to recover, then die of each recovery."""
    arena.tuning = dataclasses.replace(arena.tuning, group_seconds=0.05, file_bytes=20_000)
    leave_something(arena)
    for _ in range(_IN_A_ROW):
        arena.die(arena.chance.choice(RECOVERING))
    return arena.complete()
