"""SIGKILL at named points, where the order of things matters most; the same command finishes the crawl."""

from __future__ import annotations

import dataclasses

from faults.arena import Arena, number_of

NAME = "points"

WRITING = ("append-fsync", "fsync-commit", "before-commit", "in-commit")
ROTATING = ("old-file-closed", "new-file-created", "new-file-begun")
RECOVERING = ("before-cut", "in-cut", "after-cut")
POINTS = ("in-frame", *WRITING, *ROTATING, *RECOVERING)
LONG, SHORT = 5 * len(POINTS), len(POINTS)


def run(arena: Arena, seed: int) -> list[str]:
    """Die at the point that the seed says, then let the same command come to its end."""
    arena.tuning = dataclasses.replace(arena.tuning, group_seconds=0.05, file_bytes=20_000)
    point = POINTS[number_of(seed) % len(POINTS)]
    if point == "in-frame":
        return in_frame(arena)
    if point in RECOVERING:
        leave_something(arena)
        arena.die(point)
    else:
        arena.die(point, arena.chance.randint(1, 5))
    return arena.complete()


def leave_something(arena: Arena) -> None:
    """Die with rows that are committed, and with more in the archive than they have."""
    arena.die("before-commit", arena.chance.randint(2, 3))


def in_frame(arena: Arena) -> list[str]:
    """A worker dies in the middle of a frame: the run goes on by itself."""
    token = arena.folder / "token"
    with arena.crawl(point="in-frame", nth=arena.chance.randint(1, 50), token=str(token)) as run:
        arena.until(lambda: token.exists() or run.poll() is not None)
        if not token.exists():
            return ["the point in-frame was not reached"]
        arena.kills += 1
        arena.note(before=frozenset())
        arena.finish(run)
    return arena.verdict()
