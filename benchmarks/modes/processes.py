"""Many processes, one request at a time in each."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("processes", "serial", one_in_flight=True)
