"""Drives a session on an event loop without a task an exchange: each turn of the loop does all that can be done."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Iterator
from types import ModuleType

from crawler.answers import Answer
from crawler.config import CrawlConfig
from crawler.drivers.aside import Aside
from crawler.engines.base import PolledEngine
from crawler.exchange import Exchange, Resolve
from crawler.frontier import Known
from crawler.nameservers import NameServers
from crawler.resolver import Resolver
from crawler.session import BEAT_S, Parsing, Session
from crawler.turns import Turn
from crawler.wire import FrameReader, Kind, frame

_WRITTEN_AT_ONCE_BYTES = 1 << 17
_WRITE_HIGH_BYTES = 1 << 20  # what waits for a slow consumer before exchanges pause


class _Mouth(asyncio.Protocol):
    """The writing end of the worker's pipes; `changed` is called when it has room again, or is closed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._transport: asyncio.WriteTransport
        self._full = False
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._written = 0
        self.closed = asyncio.Event()

    @classmethod
    async def open(cls, write_fd: int, changed: Callable[[], None]) -> _Mouth:
        mouth, pipe = cls(changed), os.fdopen(write_fd, "wb", buffering=0)
        mouth._transport, _ = await asyncio.get_running_loop().connect_write_pipe(lambda: mouth, pipe)
        mouth._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        return mouth

    @property
    def has_room(self) -> bool:
        return not self._full and not self._transport.is_closing()

    def write(self, buffers: list[bytes]) -> None:
        size = sum(map(len, buffers))
        self._unsent += buffers
        self._unsent_bytes += size
        self._written += size
        if self._unsent_bytes >= _WRITTEN_AT_ONCE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Have the system take what was written since: a call for each page would cost as much as fetching it."""
        if self._unsent and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        self._unsent_bytes = 0

    def sent(self) -> Callable[[], bool]:
        """Says whether all that is written by now has gone down the pipe."""
        due = self._written
        return lambda: self._written - self._unsent_bytes - self._transport.get_write_buffer_size() >= due

    async def close(self, *, gently: bool) -> None:
        """Close it; `gently`, when all is written or the parent is gone."""
        if gently:
            self.flush()
            self._transport.close()
        else:
            self._transport.abort()
        await self.closed.wait()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._changed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closed.set()
        self._changed()


class _Ears(asyncio.Protocol):
    """The reading end: what the parent says, and that it is gone."""

    def __init__(self, heard: Callable[[bytes], None], deaf: Callable[[], None]) -> None:
        self._heard = heard
        self._deaf = deaf

    def data_received(self, data: bytes) -> None:
        self._heard(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._deaf()


class PollDriver:
    """Runs one session to its end.

    A turn of the loop takes in what ended, writes what is to be said while the pipe has room, and begins as much as may
    go. Where the pipe is full nothing more is encoded and nothing more begins: back-pressure, not a pile.
    """

    def __init__(self, session: Session, engine: PolledEngine, resolver: Resolver) -> None:
        self._session = session
        self._engine = engine
        self._resolver = resolver
        self._loop = asyncio.get_running_loop()
        self._frames = FrameReader()
        self._mouth: _Mouth
        self._over = asyncio.Event()
        self._next: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._lookups: set[asyncio.Task[Answer]] = set()
        self._aside = Aside()
        self._parses: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    async def run(self, read_fd: int, write_fd: int) -> None:
        """Speak with the parent over two pipe ends, which this closes, until all is final or the parent is gone."""
        self._mouth = await _Mouth.open(write_fd, self._soon)
        ears, pipe = _Ears(self._hear, self._abort), os.fdopen(read_fd, "rb", buffering=0)
        hearing, _ = await self._loop.connect_read_pipe(lambda: ears, pipe)
        self._loop.add_reader(self._engine.fileno(), self._turn)
        self._beat()
        try:
            await self._over.wait()
        finally:
            # The order matters: no exchange outlives its engine, and the last frames leave before the pipe closes.
            self._rest()
            self._engine.close()
            hearing.close()
            if not self._session.aborted:
                self._mouth.write([*frame(Kind.BYE)])
            await self._mouth.close(gently=not self._session.aborted)
        if self._fault is not None:
            raise self._fault

    def _hear(self, data: bytes) -> None:
        with self._guarded():
            for message in self._frames.feed(data):
                self._session.receive(message)
        self._soon()

    def _abort(self) -> None:
        """The parent is gone: nothing that is still done here would be recorded."""
        self._session.abort()
        self._soon()

    # One turn.

    def _turn(self) -> None:
        """All that can be done now."""
        self._next = None
        if self._over.is_set():
            return
        if self._mouth.closed.is_set():
            self._session.abort()
        with self._guarded():
            now = time.monotonic()
            self._land(now)
            self._mention()
            if self._begin(now):
                self._soon()
            self._mouth.flush()
            self._keep_time(now)
        if self._session.aborted or (self._session.finished and not self._session.unsaid):
            self._over.set()

    def _land(self, now: float) -> None:
        """Take in the exchanges that ended, and say what came of each while there is room for it."""
        ended = self._engine.act(now)
        while ended:
            token, event = ended.pop()
            self._session.done(token, event, now)
            del token, event  # they hold the body, which goes when it is encoded
            self._mention()

    def _begin(self, now: float) -> bool:
        """Begin what may go now; whether there was something."""
        begun = False
        while self._mouth.has_room:
            turn = self._session.next(now)
            if turn is None:
                self._mention()  # what ended without an exchange, and credit
                return begun
            if isinstance(turn.action, Resolve):
                self._look_up(turn, turn.action.host)
            else:
                assert isinstance(turn.action, Exchange)
                self._engine.begin(turn.action, turn, now)
                begun = True
        return begun

    def _mention(self) -> None:
        """Write what there is to say, as far as there is room; no body is encoded before."""
        while self._session.unsaid and self._mouth.has_room:
            self._mouth.write(self._session.outgoing())
            parsing = self._session.take_parsing()
            if parsing is not None:
                task = self._loop.create_task(self._parse(parsing))
                self._parses.add(task)
                task.add_done_callback(self._parses.discard)

    def _keep_time(self, now: float) -> None:
        """Have a turn when time alone changes something. A timer that fires too early does no harm."""
        waking = self._session.wake_at()
        at = min(self._engine.wake_at(), math.inf if waking is None else waking)
        if at <= now:
            self._soon()
        elif at < self._timer_at or self._timer_at <= now:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(at - now, self._turn) if at < math.inf else None
            self._timer_at = at

    def _soon(self) -> None:
        if self._next is None:
            self._next = self._loop.call_soon(self._turn)

    # Pages to parse, names, and signs of life.

    async def _parse(self, parsing: Parsing) -> None:
        answer = await self._aside.do(parsing, self._mouth.sent())
        with self._guarded():
            self._session.parsed(answer)
        self._soon()

    def _look_up(self, turn: Turn, host: str) -> None:
        task = self._loop.create_task(self._resolver.resolve(host))
        self._lookups.add(task)
        task.add_done_callback(functools.partial(self._resolved, turn))

    def _resolved(self, turn: Turn, task: asyncio.Task[Answer]) -> None:
        self._lookups.discard(task)
        if not task.cancelled():
            with self._guarded():
                self._session.done(turn, task.result(), time.monotonic())
            self._soon()

    def _beat(self) -> None:
        """Let the parent hear of us, also while all places are taken; a loop that is stuck does not beat."""
        if self._over.is_set():
            return
        with self._guarded():
            self._session.beat(time.monotonic())
        self._soon()
        self._loop.call_later(BEAT_S, self._beat)

    def _rest(self) -> None:
        self._loop.remove_reader(self._engine.fileno())
        for handle in (self._next, self._timer):
            if handle is not None:
                handle.cancel()
        for task in (*self._lookups, *self._parses):
            task.cancel()
        self._aside.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """A fault of ours ends the session, so that nothing is lost quietly; it is raised by `run`."""
        try:
            yield
        except BaseException as fault:
            self._fault = self._fault or fault
            self._session.abort()


def drive(
    make_session: Callable[[Known], Session], engine: ModuleType, config: CrawlConfig, pipes: tuple[int, int]
) -> None:
    """Run a session on a uvloop of its own; `pipes` are (read, write). Returns when the session is finished."""
    import uvloop

    async def main() -> None:
        resolver = Resolver(NameServers(config.resolver))
        session = make_session(resolver.cached)
        exchanges = engine.make(insecure=config.insecure, conc=config.conc, http2=config.http2)
        try:
            await PollDriver(session, exchanges, resolver).run(*pipes)
        finally:
            await resolver.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
