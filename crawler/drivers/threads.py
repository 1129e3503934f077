"""Drives a session on threads that block: each does one turn after the other, the caller's thread reads frames."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import ModuleType

from crawler.config import CrawlConfig
from crawler.engines.base import BlockingEngine
from crawler.exchange import Event, Exchange, Resolve
from crawler.frontier import Known, Turn
from crawler.resolver import BlockingResolver
from crawler.session import Session
from crawler.wire import FrameReader, Kind, frame

_READ_BYTES = 1 << 18


class ThreadDriver:
    """Runs one session to its end on `count` threads. The session is touched only under `_lock`."""

    def __init__(
        self, session: Session, engine: BlockingEngine, resolver: BlockingResolver, conc: int, count: int
    ) -> None:
        self._session = session
        self._engine = engine
        self._resolver = resolver
        self._slots = threading.BoundedSemaphore(conc)
        self._count = count
        self._lock = threading.Condition()
        self._write_lock = threading.Lock()
        self._closed = False
        self._fault: BaseException | None = None

    def run(self, read_fd: int, write_fd: int) -> None:
        """Speak with the parent over two pipe ends, which this closes, until all is final or the parent is gone."""
        threads = [
            threading.Thread(target=self._serve, args=(write_fd,), name=f"turns-{n}", daemon=True)
            for n in range(self._count)
        ]
        for thread in threads:
            thread.start()
        listener = threading.Thread(target=self._listen, args=(read_fd,), name="frames", daemon=True)
        listener.start()
        with self._lock:
            self._lock.wait_for(lambda: self._session.finished)
        if not self._session.aborted:
            # 1. every thread has written what it had; 2. the end mark; 3. the pipe closes.
            for thread in threads:
                thread.join()
            self._write([*frame(Kind.BYE)], write_fd)
            self._engine.close()
        with self._write_lock:
            self._closed = True  # the number may be another file's in a moment: no late thread may write to it
            os.close(write_fd)
        if self._fault is not None:
            raise self._fault

    def _serve(self, write_fd: int) -> None:
        try:
            while (turn := self._next(write_fd)) is not None:
                event = self._do(turn)
                with self._lock:
                    self._session.done(turn, event, time.monotonic())
                    buffers = self._session.outgoing()
                    self._lock.notify_all()
                self._write(buffers, write_fd)
        except OSError:
            self._end(None)  # the pipe broke: nobody reads our results any more
        except BaseException as fault:
            self._end(fault)

    def _next(self, write_fd: int) -> Turn | None:
        """Wait for a turn; None when the session is finished."""
        while True:
            with self._lock:
                turn = self._session.next(time.monotonic())
                buffers = self._session.outgoing()
                if turn is None and not buffers and not self._session.finished:
                    at = self._session.wake_at()
                    self._lock.wait(None if at is None else max(0.0, at - time.monotonic()))
                    continue
            self._write(buffers, write_fd)
            if turn is not None or self._session.finished:
                return turn

    def _do(self, turn: Turn) -> Event:
        if isinstance(turn.action, Resolve):
            return self._resolver.resolve(turn.action.host)
        assert isinstance(turn.action, Exchange)
        with self._slots:
            return self._engine.exchange(turn.action)

    def _write(self, buffers: list[bytes], write_fd: int) -> None:
        data = memoryview(b"".join(buffers))
        with self._write_lock:
            while data and not self._closed:
                data = data[os.write(write_fd, data) :]

    def _listen(self, read_fd: int) -> None:
        frames = FrameReader()
        while data := os.read(read_fd, _READ_BYTES):
            with self._lock:
                for message in frames.feed(data):
                    self._session.receive(message)
                self._lock.notify_all()
        os.close(read_fd)
        self._end(None)

    def _end(self, fault: BaseException | None) -> None:
        with self._lock:
            self._fault = self._fault or fault
            self._session.abort()
            self._lock.notify_all()


def drive(
    make_session: Callable[[Known], Session], engine: ModuleType, config: CrawlConfig, pipes: tuple[int, int]
) -> None:
    """Run a session on threads; `pipes` are (read, write). Returns when the session is finished."""
    resolver = BlockingResolver()
    session = make_session(resolver.cached)
    exchanges = engine.make(insecure=config.insecure, conc=config.conc)
    ThreadDriver(session, exchanges, resolver, config.conc, engine.threads(config.conc)).run(*pipes)
