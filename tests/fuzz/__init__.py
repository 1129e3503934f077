"""Fuzzers for the parsers that are ours: seeded mutations of a corpus, and a law for each parser.

A target is a function in `targets.py` that takes bytes and raises nothing where the law holds: the parser raised no
error but its own, gave no more than its caps, and took no longer than `BOUND_S`.
"""

from __future__ import annotations

import dataclasses
import random
import time
import warnings
from collections.abc import Callable

BOUND_S = 2.0
"""What one execution may take at most, in seconds of CPU: the inputs are small, but the machine may be busy."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A parser under its law, and what to begin with."""

    name: str
    law: Callable[[bytes], None]
    corpus: tuple[bytes, ...]
    words: tuple[bytes, ...]


@dataclasses.dataclass
class Found:
    """What came of one target: how often it was run, for how long, and the inputs that broke its law."""

    name: str
    executions: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    broken: list[tuple[bytes, str]] = dataclasses.field(default_factory=list)


def fuzz(target: Target, seconds: float, seed: int, most: int | None = None) -> Found:
    """Run a target for so long, or `most` times; the inputs are the same for the same seed."""
    chance, found, pool = random.Random(f"{target.name} {seed}"), Found(target.name), list(target.corpus)
    started = time.monotonic()
    while time.monotonic() - started < seconds and (most is None or found.executions < most):
        data = mutated(chance, pool, target.words)
        began = time.thread_time()
        problem = _broken(target, data)
        took_s = time.thread_time() - began
        found.executions += 1
        found.slowest_s = max(found.slowest_s, took_s)
        if problem or took_s > BOUND_S:
            found.broken.append((data, problem or f"took {took_s:.1f} s"))
        elif chance.random() < 0.01:  # mutations of mutations reach further
            pool[chance.randrange(len(pool)) if len(pool) > 500 else len(pool) :] = [data[:20_000]]
    found.seconds = time.monotonic() - started
    return found


def mutated(chance: random.Random, pool: list[bytes], words: tuple[bytes, ...]) -> bytes:
    """One of the pool with a few bytes changed, added, doubled, cut out, or taken from another one."""
    data = bytearray(chance.choice(pool))
    for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 2, 4, 16, 200)))
        match chance.randrange(6):
            case 0:
                data[at:end] = chance.randbytes(chance.choice((1, 1, 2, 8)))
            case 1:
                data[at:at] = chance.choice(words)
            case 2:
                data[at:at] = data[at:end] * chance.choice((1, 2, 50))
            case 3:
                del data[at:end]
            case 4 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case _:
                other = chance.choice(pool)
                start = chance.randrange(len(other) + 1)
                data[at:end] = other[start : start + chance.choice((1, 8, 64, 1000))]
    return bytes(data[:100_000])


def _broken(target: Target, data: bytes) -> str | None:
    try:
        with warnings.catch_warnings(action="error"):
            target.law(data)
    except Exception as error:  # whatever it is, it broke the law
        return f"{type(error).__name__}: {error}"
    return None
