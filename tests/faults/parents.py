"""SIGKILL of the parent, once or several times in a row: the same command finishes the crawl."""

from __future__ import annotations

from faults.arena import Arena

NAME = "parents"
LONG, SHORT = 100, 3


def run(arena: Arena, seed: int) -> list[str]:
    """Kill one, two or three runs, then let one come to its end."""
    for _ in range(arena.chance.choice((1, 1, 2, 3))):
        with arena.crawl() as run:
            arena.moment(run)
            arena.kill_parent(run)
    return arena.complete()
