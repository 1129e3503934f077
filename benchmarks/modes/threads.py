"""One process, many threads."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("threads", "threads", one_process=True)
