"""requests in as many threads as exchanges may be in flight."""

from __future__ import annotations

from crawler.engines.blocking import RequestsEngine

NAME = "threads"
DRIVER = "threads"


def make(*, insecure: bool, conc: int) -> RequestsEngine:
    """The engine."""
    return RequestsEngine(insecure=insecure, conc=conc)


def threads(conc: int) -> int:
    """One for each exchange in flight."""
    return conc
