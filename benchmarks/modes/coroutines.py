"""One process, many coroutines of asyncio."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("asyncio", "asyncio", one_process=True)
