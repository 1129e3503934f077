"""One process, many greenlets of gevent."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("gevent", "gevent", one_process=True)
