"""requests in greenlets: the code of `threads`, in a worker that gevent has patched before anything else."""

from __future__ import annotations

from crawler.engines.blocking import RequestsEngine

NAME = "gevent"
DRIVER = "greenlets"


def make(*, insecure: bool, conc: int) -> RequestsEngine:
    """The engine."""
    return RequestsEngine(insecure=insecure, conc=conc)


def threads(conc: int) -> int:
    """One greenlet for each exchange in flight."""
    return conc
