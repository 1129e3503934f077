"""Drives a session on greenlets: the driver of threads, in a process where gevent has taken the place of threads.

Only the pipes need a word of their own: a plain read would stop the hub, and with it every exchange. So would a page
that is parsed; hence that is done in a thread of the system's.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import gevent
from gevent import os as green_os
from gevent.monkey import is_module_patched

from crawler.config import CrawlConfig
from crawler.drivers.threads import ThreadDriver
from crawler.frontier import Known
from crawler.nameservers import NameServers
from crawler.records import Parsed
from crawler.resolver import BlockingResolver, Resolver
from crawler.session import Parsing, Session


class GreenletDriver(ThreadDriver):
    """Runs one session to its end on greenlets; the process must be gevent's from its first import on."""

    def run(self, read_fd: int, write_fd: int) -> None:
        """Speak with the parent over two pipe ends, which this closes, until all is final or the parent is gone."""
        for descriptor in (read_fd, write_fd):
            green_os.make_nonblocking(descriptor)
        super().run(read_fd, write_fd)

    def _do_aside(self, parsing: Parsing) -> Parsed:
        answer: Parsed = gevent.get_hub().threadpool.apply(parsing)
        return answer

    def _read_some(self, descriptor: int, count: int) -> bytes:
        data: bytes = green_os.nb_read(descriptor, count)
        return data

    def _write_some(self, descriptor: int, data: memoryview) -> int:
        return int(green_os.nb_write(descriptor, data))


def drive(
    make_session: Callable[[Known], Session], engine: ModuleType, config: CrawlConfig, pipes: tuple[int, int]
) -> None:
    """Run a session on greenlets; `pipes` are (read, write). Returns when the session is finished."""
    assert is_module_patched("threading"), "engine gevent needs a worker of its own: python -m crawler.greenworker"
    resolver = BlockingResolver(Resolver(NameServers(config.resolver)))
    session = make_session(resolver.cached)
    exchanges = engine.make(insecure=config.insecure, conc=config.conc)
    try:
        GreenletDriver(session, exchanges, resolver, config.conc, engine.threads(config.conc)).run(*pipes)
    finally:
        resolver.close()
