"""The drivers where something is gone: the parent, or what the system would not give."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import threading
import types
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Origin
from scripted import World, answer, state

from crawler.config import CrawlConfig
from crawler.drivers import polls, tasks, threads
from crawler.errors import WorkerError
from crawler.exchange import Exchange, Reply, Timings
from crawler.executors.processes import ProcessExecutor
from crawler.fates import Fate
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


class Polled:
    """A polled engine that answers one exchange a time; `before` is called first, with what is in flight."""

    def __init__(self, before: Callable[[int], None] = lambda _: None) -> None:
        self._before = before
        self._waiting: list[tuple[Exchange, Any]] = []
        self._never, self._end = os.pipe()
        self.begun = 0

    def fileno(self) -> int:
        return self._never

    def begin(self, exchange: Exchange, token: Any, now: float) -> None:
        self.begun += 1
        self._waiting.append((exchange, token))

    def act(self, now: float) -> list[tuple[Any, Reply]]:
        self._before(len(self._waiting))
        if not self._waiting:
            return []
        exchange, token = self._waiting.pop(0)
        answer()(exchange.body)
        return [(token, Reply(None, Timings()))]

    def wake_at(self) -> float:
        return 0.0 if self._waiting else math.inf

    def close(self) -> None:
        os.close(self._never)
        os.close(self._end)


def leaving(reading_end: int) -> Polled:
    """A polled engine whose answers come one after the other while the parent hangs up, its reading end first."""
    ends = [reading_end]
    return Polled(lambda waiting: os.close(ends.pop()) if waiting and ends else None)


@pytest.mark.parametrize(("driver", "make"), [(tasks, Leaving), (polls, leaving)])
def test_answers_that_come_while_the_parent_leaves(driver: types.ModuleType, make: Callable[[int], Any]) -> None:
    """The first answer breaks the pipe, the next find it closed: neither is a fault of ours."""
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    states = tuple(state(f"http://127.0.0.1/{n}", n) for n in range(1, 6))
    os.write(parent_write, b"".join(frame(Kind.CHUNK, Chunk(1, states))))
    engine = types.SimpleNamespace(make=lambda **_: make(parent_read))
    driver.drive(make_session, engine, CONFIG, (child_read, child_write))
    os.close(parent_write)


def test_polls_begin_nothing_while_nobody_listens() -> None:
    """A consumer that reads nothing holds exchanges back; when it goes on, everything comes."""
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    states = tuple(state(f"http://127.0.0.1/{n}", n) for n in range(1, 101))
    os.write(parent_write, b"".join([*frame(Kind.CHUNK, Chunk(1, states)), *frame(Kind.END)]))
    idle, turns = threading.Event(), itertools.count()

    def look(waiting: int) -> None:
        if engine.begun and not waiting and next(turns) > 2:
            idle.set()

    def make_loud(known: Known) -> Session:
        def encode(fate: Fate) -> Result:
            return Result(Row(fate.state.seq, "", 1, "", None, None, fate.outcome), bytes(300_000))

        return Session(Frontier(World({}).rules(CONFIG), known, Throttle(8)), encode, 8, 10)

    engine = Polled(look)
    module = types.SimpleNamespace(make=lambda **_: engine)
    driver = threading.Thread(target=polls.drive, args=(make_loud, module, CONFIG, (child_read, child_write)))
    driver.start()
    idle.wait()
    begun = engine.begun
    with os.fdopen(parent_read, "rb") as said:
        kinds = [message.kind for message in FrameReader().feed(said.read())]
    driver.join()
    os.close(parent_write)

    assert 8 <= begun < 30
    assert (100, Kind.BYE) == (kinds.count(Kind.RESULT), kinds[-1])


def test_a_fault_of_ours_ends_polls() -> None:
    """What an engine raises is raised where it is driven: nothing is lost quietly."""
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    os.write(parent_write, b"".join(frame(Kind.CHUNK, Chunk(1, (state("http://127.0.0.1/"),)))))

    def fail(waiting: int) -> None:
        if waiting:
            raise ZeroDivisionError

    engine = types.SimpleNamespace(make=lambda **_: Polled(fail))
    with pytest.raises(ZeroDivisionError):
        polls.drive(make_session, engine, CONFIG, (child_read, child_write))  # type: ignore[arg-type]
    os.close(parent_write)
    os.close(parent_read)


DRIVERS = [(tasks, Leaving), (polls, leaving), (threads, Leaving)]


@pytest.mark.parametrize(("driver", "make"), DRIVERS)
def test_a_driver_that_cannot_listen_ends(driver: types.ModuleType, make: Callable[[int], Any]) -> None:
    """A parent that speaks nonsense is an error at once: whoever cannot hear the end mark must not wait for it."""
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    os.write(parent_write, b"Traceback (most recent call last)")
    engine = types.SimpleNamespace(make=lambda **_: make(parent_read), threads=lambda conc: 1)
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


@pytest.mark.parametrize(("driver", "make"), DRIVERS)
def test_a_parent_that_is_gone_is_no_fault(driver: types.ModuleType, make: Callable[[int], Any]) -> None:
    """It left before the first word was said to it: the driver ends, and says nothing of it."""
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    os.close(parent_read)
    os.write(parent_write, b"".join(frame(Kind.END)))
    engine = types.SimpleNamespace(make=lambda **_: make(parent_read), threads=lambda conc: 1)
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
