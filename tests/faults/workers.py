"""SIGKILL of a worker, of both, and again: the run goes on by itself to its end."""

from __future__ import annotations

from faults.arena import Arena

NAME = "workers"
LONG, SHORT = 200, 3


def run(arena: Arena, seed: int) -> list[str]:
    """Kill once or twice, one worker or all; never more often, since an entry may be condemned by its third death."""
    with arena.crawl() as run:
        for _ in range(arena.chance.choice((1, 1, 2))):
            arena.moment(run)
            arena.kill_workers(run, every=arena.chance.random() < 0.25)
        arena.finish(run)
    return arena.verdict()
