"""SIGKILL in the middle of a `crawl retry`: each old row stands until its new one does, and the retry completes."""

from __future__ import annotations

import dataclasses

from faults.arena import Arena, number_of
from faults.points import ROTATING, WRITING

NAME = "retries"

_POINTS = (*WRITING, *ROTATING)
LONG, SHORT = 5 * len(_POINTS), 2

_RETRY = ("retry", "urls.crawl", "--error", "reset,incomplete", "--status", "404")
_TUNING = ("--procs", "2", "--conc", "32", "--quiet")


def run(arena: Arena, seed: int) -> list[str]:
    """Crawl, die of a retry of what failed, then let the same retry come to its end."""
    found = arena.complete()
    arena.note()
    arena.tuning = dataclasses.replace(arena.tuning, group_seconds=0.02, file_bytes=1)
    arena.die(_POINTS[number_of(seed) % len(_POINTS)], arena.chance.randint(1, 2), *_RETRY, *_TUNING)
    if len(arena.recorded()) != len(arena.truths):
        arena.violations.append(f"{len(arena.recorded())} rows stand while a retry waits, of {len(arena.truths)}")
    with arena.command(*_RETRY, *_TUNING) as run:
        arena.finish(run)
    chosen = (truth for truth in arena.truths if truth.error_class in ("reset", "incomplete") or truth.status == 404)
    return [*found, *arena.verdict({truth.seq for truth in chosen})]
