"""Many processes, many threads in each."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("processes+threads", "threads")
