"""Lists of a case that are not the arena's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import command

from faults.arena import Arena
from faults.truth import Base, Truth

Maker = Callable[[Base, int], Truth]


def give(arena: Arena, truths: Iterable[Truth]) -> None:
    """Let the run have this list."""
    arena.truths = list(truths)
    command.write_list(arena.folder, *(truth.line for truth in arena.truths))


def mixed(arena: Arena, truths: Sequence[Truth], count: int, make: Maker) -> list[Truth]:
    """A list in which so many entries, anywhere, are made anew; none of them stands in it twice."""
    base, mixture = Base(arena.origin.port, arena.chance), list(truths)
    lines = Counter(truth.line for truth in truths)
    unique = [truth.seq for truth in truths if lines[truth.line] == 1]
    for seq in arena.chance.sample(unique, count):
        mixture[seq - 1] = make(base, seq)
    return mixture
