"""The drivers where a parent is gone: they end without a word, whatever they were about to say."""

from __future__ import annotations

import asyncio
import itertools
import os
import types

from scripted import World, answer, state

from crawler.config import CrawlConfig
from crawler.drivers import tasks
from crawler.exchange import Exchange, Reply, Timings
from crawler.frontier import Frontier, Known
from crawler.records import Chunk, Result, Row
from crawler.session import Session
from crawler.wire import Kind, frame


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
    config = CrawlConfig(per_host=0, conc=8, allow_private=True)
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    states = tuple(state(f"http://127.0.0.1/{n}", n) for n in range(1, 6))
    os.write(parent_write, b"".join(frame(Kind.CHUNK, Chunk(1, states))))

    def make_session(known: Known) -> Session:
        frontier = Frontier(World({}).rules(config), known, 32)
        return Session(frontier, lambda fate: Result(Row(fate.state.seq, "", 1, "", None, None, fate.outcome)), 8, 10)

    engine = types.SimpleNamespace(make=lambda **_: Leaving(parent_read))
    tasks.drive(make_session, engine, config, (child_read, child_write))  # type: ignore[arg-type]
    os.close(parent_write)
