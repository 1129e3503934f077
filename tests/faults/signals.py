"""Ctrl-C once, Ctrl-C twice, SIGTERM: the run stops in order, leaves nobody behind, and the same command goes on."""

from __future__ import annotations

import os
import signal
import time

from faults.arena import Arena, Run, number_of

NAME = "signals"
LONG, SHORT = 60, 3

_WAYS = ("once", "twice", "term")
_STOP_S = 8.0  # a stop waits 3 s for what is in flight; the rest is for a machine that is busy


def run(arena: Arena, seed: int) -> list[str]:
    """Stop a run as the seed says, at a moment by chance, then let the same command come to its end."""
    way = _WAYS[number_of(seed) % len(_WAYS)]
    with arena.crawl() as run:
        arena.until(lambda: arena.requests() or run.poll() is not None)
        arena.moment(run)
        if run.poll() is None:
            stop(arena, run, way)
    return arena.complete()


def stop(arena: Arena, run: Run, way: str) -> None:
    """Send the signals, and see that the run ends as it must."""
    number = signal.SIGTERM if way == "term" else signal.SIGINT
    started = time.monotonic()
    os.killpg(run.pid, number)
    arena.kills += 1
    if way == "twice":
        arena.pause(run, 0.3 * arena.chance.random())
        if run.poll() is None:
            os.killpg(run.pid, number)
    arena.ended(run)
    if (took := time.monotonic() - started) > _STOP_S:
        arena.violations.append(f"{way}: the run ended only {took:.1f} s after the signal")
    arena.note()
    said = run.stderr.read() if run.stderr is not None else ""
    if run.returncode not in (130, 0) or (run.returncode == 0 and len(arena.recorded()) < len(arena.truths)):
        arena.violations.append(f"{way}: exit status {run.returncode}: {said[-500:].strip()}")
    if "Traceback" in said:
        arena.violations.append(f"{way}: {said[-500:].strip()}")
