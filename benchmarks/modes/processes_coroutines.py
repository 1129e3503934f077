"""Many processes, many coroutines of asyncio in each."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("processes+asyncio", "asyncio")
