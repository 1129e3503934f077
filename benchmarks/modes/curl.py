"""One process, many transfers of libcurl."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("curl", "curl", one_process=True)
