"""One process, one thread, one request at a time."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("serial", "serial", one_process=True, one_in_flight=True)
