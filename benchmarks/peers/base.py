"""Where other people's programs are: on PATH, or in the folder that `python -m benchmarks.peers install` fills."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.contender import Outcome, saved
from benchmarks.times import percentiles
from benchmarks.workloads import Task


def cache_folder() -> Path:
    """Where the peers that are Python packages have their environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crawler-benchmarks"


def find(program: str) -> str | None:
    """The path of a program; None where it is not installed."""
    own = cache_folder() / program / "bin" / program
    return str(own) if own.exists() else shutil.which(program)


@functools.cache
def version_of(program: str, flag: str = "--version") -> str:
    """The first version number that a program that is installed says of itself."""
    path = find(program)
    assert path is not None
    said = subprocess.run([path, flag], capture_output=True, text=True)
    match = re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return match[0] if match else "unknown"


def not_installed(program: str) -> str | None:
    """That a program is not installed; None where it is."""
    return None if find(program) else "not installed"


def judged(task: Task, told: int, times_ms: list[float]) -> Outcome:
    """The outcome of a peer that saved files and told of `told` entries, good or not, how they ended."""
    good, _ = saved(task)
    return Outcome(good, max(0, told - good), *percentiles(times_ms))
