"""The drivers where something is gone: the parent, or what the system would not give."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
import types

import pytest
from conftest import Origin
from scripted import World, answer, state

from crawler.config import CrawlConfig
from crawler.drivers import tasks, threads
from crawler.errors import WorkerError
from crawler.exchange import Exchange, Reply, Timings
from crawler.executors.processes import ProcessExecutor
from crawler.frontier import Frontier, Known
from crawler.records import Chunk, Result, Row, Status
from crawler.session import Session
from crawler.throttle import Throttle
from crawler.wire import FrameReader, Kind, Settings, frame

CONFIG = CrawlConfig(per_host=0, conc=8, allow_private=True)


def make_session(known: Known) -> Session:
    frontier = Frontier(World({}).rules(CONFIG), known, Throttle(32))
    return Session(frontier, lambda fate: Result(Row(fate.state.seq, "", 1, "", None, None, fate.outcome)), 8, 10)


class Leaving:
    """An engine whose answers come one after the other while the parent hangs up, its reading end first."""

    def __init__(self, reading_end: int) -> None:
        self._reading_end = reading_end
        self._number = itertools.count()

    async def exchange(self, exchange: Exchange) -> Reply:
        number = next(self._number)
        if not number:
            os.close(self._reading_end)
        for _ in range(number):
            await asyncio.sleep(0)
        answer()(exchange.body)
        return Reply(None, Timings())

    async def close(self) -> None:
        """Nothing is open."""


def test_answers_that_come_while_the_parent_leaves() -> None:
    """The first answer breaks the pipe, the next find it closed: neither is a fault of ours."""
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    states = tuple(state(f"http://127.0.0.1/{n}", n) for n in range(1, 6))
    os.write(parent_write, b"".join(frame(Kind.CHUNK, Chunk(1, states))))
    engine = types.SimpleNamespace(make=lambda **_: Leaving(parent_read))
    tasks.drive(make_session, engine, CONFIG, (child_read, child_write))  # type: ignore[arg-type]
    os.close(parent_write)


@pytest.mark.parametrize("driver", [tasks, threads])
def test_a_driver_that_cannot_listen_ends(driver: types.ModuleType) -> None:
    """A parent that speaks nonsense is an error at once: whoever cannot hear the end mark must not wait for it."""
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    os.write(parent_write, b"Traceback (most recent call last)")
    engine = types.SimpleNamespace(make=lambda **_: Leaving(parent_read), threads=lambda conc: 1)
    with pytest.raises(WorkerError):
        driver.drive(make_session, engine, CONFIG, (child_read, child_write))
    os.close(parent_write)
    os.close(parent_read)


class Answering:
    """A blocking engine whose every answer comes at once."""

    def exchange(self, exchange: Exchange) -> Reply:
        answer()(exchange.body)
        return Reply(None, Timings())

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("allowed", [0, 1])
def test_threads_that_the_system_refuses(allowed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are some, they do the work of those that are refused; where there is none, that is an error."""
    started = itertools.count()
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("turns-") and next(started) >= allowed:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    states = tuple(state(f"http://127.0.0.1/{n}", n) for n in range(1, 6))
    os.write(parent_write, b"".join([*frame(Kind.CHUNK, Chunk(1, states)), *frame(Kind.END)]))
    engine = types.SimpleNamespace(make=lambda **_: Answering(), threads=lambda conc: conc)
    with contextlib.nullcontext() if allowed else pytest.raises(RuntimeError):
        threads.drive(make_session, engine, CONFIG, (child_read, child_write))  # type: ignore[arg-type]
    os.close(parent_write)
    with os.fdopen(parent_read, "rb") as said:
        kinds = [message.kind for message in FrameReader().feed(said.read())]

    assert allowed * 5 == kinds.count(Kind.RESULT)


@pytest.mark.parametrize("driver", [tasks, threads])
def test_a_parent_that_is_gone_is_no_fault(driver: types.ModuleType) -> None:
    """It left before the first word was said to it: the driver ends, and says nothing of it."""
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    os.close(parent_read)
    os.write(parent_write, b"".join(frame(Kind.END)))
    engine = types.SimpleNamespace(make=lambda **_: Leaving(parent_read), threads=lambda conc: 1)
    driver.drive(make_session, engine, CONFIG, (child_read, child_write))
    os.close(parent_write)


@pytest.mark.parametrize(
    ("engine", "places"), [("curl", 2), ("asyncio", 2), ("gevent", 2), ("threads", 2), ("serial", 1)]
)
def test_a_worker_is_heard_of_while_all_its_places_hang(origin: Origin, engine: str, places: int) -> None:
    """Slow sites hold every place and nothing ends: the worker goes on telling how it is."""
    config = CrawlConfig(per_host=0, conc=2, allow_private=True, engine=engine)
    executor, key = ProcessExecutor(1, Settings(config, 0, 0, "row")), f"drivers-beat-{engine}"
    targets = [f"/hold/{key}?{n}" for n in range(1, 10)]
    said: list[Status] = []
    try:
        executor.send(0, Chunk(1, tuple(state(origin.url(target), n) for n, target in enumerate(targets, 1))))
        while sum(map(origin.hits, targets)) < places:
            assert [] == executor.events(0)
        while len(said) < 3:  # the first of them may be of the time before
            assert [] == executor.events(30)
            said += [status for status in executor.statuses().values() if status not in said]
    finally:
        origin.release(key)
        executor.close()

    assert 9 == said[-1].held
    assert places <= said[-1].in_flight
