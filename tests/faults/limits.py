"""The command and its workers under `ulimit -n 64`: it takes longer, and is the same crawl."""

from __future__ import annotations

import contextlib
import dataclasses
import resource

import command

from faults.arena import Arena, Run, number_of
from faults.lists import give

NAME = "limits"
LONG, SHORT = 3, 3

_ENGINES = ("curl", "asyncio", "gevent", "threads")
_DESCRIPTORS = 64
_CONC = 256


def run(arena: Arena, seed: int) -> list[str]:
    """Crawl once, at far more in flight than there are descriptors; a part of the hosts must be looked up."""
    named = ((truth, truth.line.replace("//127.0.0.1:", "//localhost:")) for truth in arena.truths)
    give(arena, (dataclasses.replace(truth, line=line) for truth, line in named))
    engine = _ENGINES[number_of(seed) % len(_ENGINES)]
    flags = ("--engine", engine, "--conc", str(_CONC), "--per-host", "0")
    with arena.crawl(*flags, descriptors=_DESCRIPTORS) as run:
        arena.until(lambda: run.poll() is not None or command.workers(run))
        _see_limits(arena, run)
        arena.finish(run)
    return arena.verdict()


def _see_limits(arena: Arena, run: Run) -> None:
    """Every process has this limit, as far as anybody but itself can tell."""
    for pid in command.members(run.pid):
        with contextlib.suppress(ProcessLookupError):
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            if limits != (_DESCRIPTORS, _DESCRIPTORS):
                arena.violations.append(f"limits: a process may have {limits} descriptors")
