"""Many processes, many transfers of libcurl in each."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("processes+curl", "curl")
