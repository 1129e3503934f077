"""Many processes, many greenlets of gevent in each."""

from __future__ import annotations

from benchmarks.modes.base import Mode

CONTENDER = Mode("processes+gevent", "gevent")
