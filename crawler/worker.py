"""Being a worker: `python -P -m crawler.worker READ WRITE RECORD ENGINE`: two inherited pipe ends, the record of its
flights, and what it may import while its parent is still busy.

The first frame says who it is and how to work; then it drives its session to the end mark. It ignores what is sent
to the whole group (the parent decides) and takes the end of its input for the end of its parent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from types import ModuleType

import msgspec

from crawler import descriptors, engines, signals
from crawler.addresses import AddressRule
from crawler.budget import Budget
from crawler.chunks import home_of
from crawler.config import CrawlConfig
from crawler.encoders import make_encoder
from crawler.fates import FlowRules
from crawler.flights import Flights
from crawler.frontier import Frontier, Known
from crawler.function import Function
from crawler.function import load as function_of
from crawler.garbage import collect_less
from crawler.sentinel import watch_parent
from crawler.session import Session
from crawler.throttle import Throttle
from crawler.usage import usage
from crawler.wire import Settings, read_first


def serve(
    read_fd: int, write_fd: int, record: int | None = None, load: Callable[[str], ModuleType] = engines.load
) -> None:
    """Work for the parent at the other end of two pipes until it says that all is done, or is gone.

    `record` is the descriptor of the shared record of flights (`crawler/flights.py`), where the parent wants one.
    """
    settings = read_first(read_fd)
    if settings is None:
        os.close(read_fd)
        os.close(write_fd)
        return
    sys.path.extend(path for path in settings.sys_path if path not in sys.path)
    engine = load("curl" if settings.config.http2 else settings.config.engine)
    driver = _load(engine)
    flights = Flights(record) if record is not None else None
    config, shortage = _fitted(settings.config, engine)
    settings = msgspec.structs.replace(settings, config=config)
    throttle = Throttle(config.conc, shortage)
    driver.drive(
        functools.partial(make_session, settings, engine.NAME, flights, throttle), engine, config, (read_fd, write_fd)
    )


def _load(engine: ModuleType) -> ModuleType:
    """The driver of an engine."""
    return importlib.import_module(f"crawler.drivers.{engine.DRIVER}")


def _fitted(config: CrawlConfig, engine: ModuleType) -> tuple[CrawlConfig, str | None]:
    """The configuration with as many in flight as there are descriptors for, and what to say where that is fewer."""
    blocks = engine.DRIVER not in ("tasks", "polls")  # then the watchdog has a duplicate of each connection
    at_once = engine.threads(config.conc) if blocks else config.conc
    room = descriptors.exchanges(2 if blocks else 1)
    if at_once <= room:
        return config, None
    shortage = f"ulimit -n of {descriptors.limit()} allows {room} of --conc {config.conc} at once"
    return dataclasses.replace(config, conc=room), shortage


def make_session(settings: Settings, engine: str, flights: Flights | None, throttle: Throttle, known: Known) -> Session:
    """The session that these settings ask for; `known` is what the resolver has cached."""
    config = settings.config

    @functools.lru_cache(maxsize=1 << 16)
    def at_home(host: str) -> bool:
        return not settings.homes or home_of(host, settings.homes) == settings.worker

    @functools.lru_cache(maxsize=1 << 16)
    def shard_of(host: str) -> int:
        return home_of(host, settings.shards) if settings.shards else 0

    rules = FlowRules(
        config=config,
        addresses=AddressRule(config.allow_private, config.allow_net),
        at_home=at_home,
        together=lambda one, other: shard_of(one) == shard_of(other),
        utc=time.time,
        chance=random.random,
        keep_decoded=settings.keep == "page" or config.parse is not None,
        budget=Budget(folder=None if settings.spool is None else os.fsdecode(settings.spool)),
    )
    frontier = Frontier(rules, known, throttle)
    encode = make_encoder(settings.keep, config, worker=settings.worker, engine=engine)
    return Session(frontier, encode, config.conc, config.chunk_size, usage, flights, _function(settings))


def _function(settings: Settings) -> Function | None:
    """What pages are parsed with, found where the parent finds it: from here on its order of paths is ours too."""
    if settings.config.parse is None:
        return None
    sys.path[:] = [*settings.sys_path, *(path for path in sys.path if path not in settings.sys_path)]
    return function_of(settings.config.parse)


def main() -> None:
    """The process's own main."""
    for number in signals.PARENTS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.PARENTS)
    read_fd, write_fd, record = (int(argument) for argument in sys.argv[1:4])
    watch_parent(read_fd)
    collect_less()
    descriptors.raise_limit()
    with contextlib.suppress(ImportError):  # what cannot be imported yet may be with the parent's `sys.path`
        _load(engines.load(sys.argv[4]))
    serve(read_fd, write_fd, record)
    sys.stderr.flush()
    os._exit(0)  # every frame is written; threads that still wait for a slow site must not hold up the end


if __name__ == "__main__":
    main()
