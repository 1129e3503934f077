"""requests in one thread, one exchange after the other: the simplest engine, to compare with and to debug."""

from __future__ import annotations

from crawler.engines.blocking import RequestsEngine

NAME = "serial"
DRIVER = "threads"


def make(*, insecure: bool, conc: int) -> RequestsEngine:
    """The engine."""
    return RequestsEngine(insecure=insecure, conc=conc)


def threads(conc: int) -> int:  # noqa: ARG001 - the siblings' signature
    """One, however many may be in flight."""
    return 1
