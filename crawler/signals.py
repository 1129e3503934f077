"""Which signals are whose."""

from __future__ import annotations

import signal

PARENTS = frozenset({signal.SIGINT, signal.SIGTERM})
"""Signals that reach the whole process group and are answered by the parent alone: workers ignore them."""
