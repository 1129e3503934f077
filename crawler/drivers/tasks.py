"""Drives a session on an event loop: one task an exchange in flight, none for an entry that waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

from crawler.config import CrawlConfig
from crawler.drivers.aside import Aside
from crawler.engines.base import AsyncEngine
from crawler.exchange import Exchange, Resolve
from crawler.frontier import Known
from crawler.nameservers import NameServers
from crawler.resolver import Resolver
from crawler.session import BEAT_S, Parsing, Session
from crawler.turns import Turn
from crawler.wire import FrameReader, Kind, frame

_READ_BYTES = 1 << 18
_WRITE_HIGH_BYTES = 1 << 20  # what waits for a slow consumer before exchanges pause


class _Link:
    """The worker's pair of pipes on a loop."""

    def __init__(
        self, reader: asyncio.StreamReader, hearing: asyncio.ReadTransport, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self._hearing = hearing
        self._writer = writer
        self._written = 0

    @classmethod
    async def open(cls, read_fd: int, write_fd: int) -> _Link:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_BYTES)
        hearing, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb", buffering=0)
        )
        speaking, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(write_fd, "wb", buffering=0)
        )
        speaking.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        return cls(reader, hearing, asyncio.StreamWriter(speaking, protocol, None, loop))

    def write(self, buffers: list[bytes]) -> None:
        if self._writer.is_closing():  # uvloop would raise RuntimeError
            raise ConnectionResetError("The parent is gone.")
        self._written += sum(map(len, buffers))
        self._writer.writelines(buffers)

    def sent(self) -> Callable[[], bool]:
        """Says whether all that is written by now has gone down the pipe."""
        due = self._written
        return lambda: self._written - self._writer.transport.get_write_buffer_size() >= due

    async def drain(self) -> None:
        await self._writer.drain()

    async def close(self) -> None:
        self._hearing.close()
        self._writer.close()
        await self._writer.wait_closed()


class TaskDriver:
    """Runs one session to its end; `conc` exchanges at once, bounded by a semaphore."""

    def __init__(self, session: Session, engine: AsyncEngine, resolver: Resolver, conc: int) -> None:
        self._session = session
        self._engine = engine
        self._resolver = resolver
        self._slots = asyncio.Semaphore(conc)
        self._voice = asyncio.Lock()  # of who waits for room in the pipe, to write the next thing
        self._wake = asyncio.Event()
        self._aside = Aside()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    async def run(self, read_fd: int, write_fd: int) -> None:
        """Speak with the parent over two pipe ends, which this closes, until all is final or the parent is gone."""
        link = await _Link.open(read_fd, write_fd)
        work = asyncio.create_task(self._work(link))
        listener = asyncio.create_task(self._listen(link, work))
        listener.add_done_callback(self._settled)
        self._spawn(self._beat(link))
        try:
            await asyncio.wait({work})
        finally:
            # The order matters: no exchange outlives its engine, and the last frames leave before the pipe closes.
            await _cancel({listener, *self._tasks})
            self._aside.close()
            await self._engine.close()
            await _quietly(link.close())
        if self._fault is not None:
            raise self._fault
        if not work.cancelled():
            with contextlib.suppress(ConnectionError):
                work.result()

    async def _work(self, link: _Link) -> None:
        while not self._session.finished:
            self._wake.clear()
            turn = self._session.next(time.monotonic())
            self._mention(link)
            if turn is None:
                if not self._session.finished:  # the last that it held may have ended just now, unfetched
                    await self._sleep()
            elif isinstance(turn.action, Resolve):
                self._spawn(self._resolve(turn, turn.action))
            else:
                assert isinstance(turn.action, Exchange)
                await self._slots.acquire()
                self._session.started(turn, time.monotonic())
                self._spawn(self._exchange(turn, turn.action, link))
        if not self._session.aborted:
            await _quietly(self._say(link))  # whoever still waits to say something comes before
            link.write([*frame(Kind.BYE)])
            await _quietly(link.drain())

    async def _beat(self, link: _Link) -> None:
        """Let the parent hear of us, also while all places are taken; a loop that is stuck does not beat."""
        while not self._session.finished:
            self._session.beat(time.monotonic())
            self._mention(link)
            await asyncio.sleep(BEAT_S)

    async def _sleep(self) -> None:
        if self._session.finished:
            return  # the last entries ended without a turn
        at = self._session.wake_at()
        try:
            async with asyncio.timeout(None if at is None else max(0.0, at - time.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _exchange(self, turn: Turn, action: Exchange, link: _Link) -> None:
        try:
            event = await self._engine.exchange(action)
            self._session.done(turn, event, time.monotonic())
            del turn, action  # they hold the body, which goes when it is encoded
            await self._say(link)  # a slow consumer holds our places in the pool: back-pressure, not a pile
        finally:
            self._slots.release()

    async def _say(self, link: _Link) -> None:
        """Write what there is to say as soon as there is room for it; no body is encoded before."""
        async with self._voice:
            await link.drain()
            self._write(link)

    def _mention(self, link: _Link) -> None:
        """Write what there is to say, without waiting; where somebody waits for room, he takes it along."""
        if not self._voice.locked():
            self._write(link)

    def _write(self, link: _Link) -> None:
        link.write(self._session.outgoing())
        parsing = self._session.take_parsing()
        if parsing is not None:
            self._spawn(self._parse(parsing, link))

    async def _parse(self, parsing: Parsing, link: _Link) -> None:
        self._session.parsed(await self._aside.do(parsing, link.sent()))
        await self._say(link)

    async def _resolve(self, turn: Turn, action: Resolve) -> None:
        self._session.done(turn, await self._resolver.resolve(action.host), time.monotonic())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            # The pipe broke (the parent is gone), or a fault of ours: end, so that nothing is lost quietly.
            if not isinstance(fault, ConnectionError):
                self._fault = fault
            self._session.abort()
        self._wake.set()

    async def _listen(self, link: _Link, work: asyncio.Task[None]) -> None:
        frames = FrameReader()
        try:
            while data := await link.reader.read(_READ_BYTES):
                for message in frames.feed(data):
                    self._session.receive(message)
                self._wake.set()
        finally:
            self._session.abort()
            work.cancel()  # it may be waiting for a place in the pool that a full pipe holds


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _quietly(closing: Coroutine[Any, Any, None]) -> None:
    try:
        await closing
    except ConnectionError:
        return


def drive(
    make_session: Callable[[Known], Session], engine: ModuleType, config: CrawlConfig, pipes: tuple[int, int]
) -> None:
    """Run a session on a uvloop of its own; `pipes` are (read, write). Returns when the session is finished."""
    import uvloop

    async def main() -> None:
        resolver = Resolver(NameServers(config.resolver))
        session = make_session(resolver.cached)
        exchanges = engine.make(insecure=config.insecure, conc=config.conc)
        try:
            await TaskDriver(session, exchanges, resolver, config.conc).run(*pipes)
        finally:
            await resolver.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
