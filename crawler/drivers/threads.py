"""Drives a session on threads that block: each does one turn after the other, and the caller's thread is the heart."""

from __future__ import annotations

import functools
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType

from crawler.answers import Answer
from crawler.config import CrawlConfig
from crawler.engines.base import BlockingEngine
from crawler.exchange import Event, Exchange, Resolve
from crawler.frontier import Known
from crawler.nameservers import NameServers
from crawler.records import Parsed
from crawler.resolver import BlockingResolver, Resolver
from crawler.session import BEAT_S, Parsing, Session
from crawler.turns import Turn
from crawler.wire import FrameReader, Kind, frame

_READ_BYTES = 1 << 18


class ThreadDriver:
    """Runs one session to its end on at most `most` threads. The session is touched only under `_lock`.

    Threads are started as there is work for them. A thread that takes a turn wakes one more where more could be done,
    and of those that rest only one keeps the time: neither a page nor a timer ever wakes the whole crowd.
    """

    def __init__(
        self, session: Session, engine: BlockingEngine, resolver: BlockingResolver, conc: int, most: int
    ) -> None:
        self._session = session
        self._engine = engine
        self._resolver = resolver
        self._slots = threading.BoundedSemaphore(conc)
        self._most = most
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._over = threading.Condition(self._lock)
        self._write_lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._parser = ThreadPoolExecutor(1, thread_name_prefix="parser")
        self._due: dict[int, float] = {}  # by seq: when an exchange ends at the latest
        self._resting = 0
        self._timed_until = math.inf
        self._closed = False
        self._fault: BaseException | None = None

    def run(self, read_fd: int, write_fd: int) -> None:
        """Speak with the parent over two pipe ends, which this closes, until all is final or the parent is gone."""
        self._read_fd, self._write_fd = read_fd, write_fd
        self._beat()
        threading.Thread(target=self._listen, name="frames", daemon=True).start()
        while not self._ends_within(BEAT_S):
            self._beat()
        if not self._session.aborted:
            # 1. every thread has written what it had; 2. the end mark; 3. the pipe closes.
            for thread in self._threads:
                thread.join()
            self._say_last(*frame(Kind.BYE))
            self._engine.close()
        self._parser.shutdown(wait=False, cancel_futures=True)
        with self._write_lock:
            self._closed = True  # the number may be another file's in a moment: no late thread may write to it
            os.close(write_fd)
        if self._fault is not None:
            raise self._fault

    def _beat(self) -> None:
        """Let the parent hear of us, also while all threads are busy.

        A thread that is stuck stops no other: the heart stops for it, when its exchange should have ended.
        """
        with self._lock:
            now = time.monotonic()
            if now < min(list(self._due.values()), default=math.inf):  # a copy: threads change it
                self._session.beat(now)
        self._say_last()

    def _ends_within(self, seconds: float) -> bool:
        with self._lock:
            return self._over.wait_for(lambda: self._session.finished, seconds)

    def _serve(self) -> None:
        try:
            while (turn := self._next()) is not None:
                if isinstance(turn.action, Resolve):
                    self._resolver.ask(turn.action.host).add_done_callback(functools.partial(self._resolved, turn))
                    continue
                event = self._exchange(turn)
                with self._lock:
                    self._session.done(turn, event, time.monotonic())
                    self._tell_if_over()
                del turn  # it holds the body, which goes when it is encoded
                self._say()
        except OSError:
            self._end(None)  # the pipe broke: nobody reads our results any more
        except BaseException as fault:
            self._end(fault)

    def _next(self) -> Turn | None:
        """Wait for a turn; None when the session is finished."""
        while True:
            with self._lock:
                turn = self._session.next(time.monotonic())
                talks = self._session.unsaid and not self._write_lock.locked()  # else whoever has it takes it along
                if turn is not None:
                    self._wake_another()
                elif not self._session.finished and not talks:
                    self._rest()
                    continue
                self._tell_if_over()
            if talks:
                self._say()
            if turn is not None or self._session.finished:
                return turn

    def _rest(self) -> None:
        """Wait for work; with a time limit only where nobody else would wake up in time."""
        at = self._session.wake_at()
        keeps_time = at is not None and at < self._timed_until
        self._timed_until = at if at is not None and keeps_time else self._timed_until
        self._resting += 1
        self._work.wait(max(0.0, at - time.monotonic()) if at is not None and keeps_time else None)
        self._resting -= 1
        if keeps_time and self._timed_until == at:
            self._timed_until = math.inf

    def _wake_another(self) -> None:
        """Let one more thread look for work, where there is some or nobody keeps the time."""
        at = self._session.wake_at()
        if not self._session.ready and (at is None or at >= self._timed_until):
            return
        if self._resting:
            self._work.notify()
        elif len(self._threads) < self._most:
            thread = threading.Thread(target=self._serve, name=f"turns-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system allows no more: those that run do the work
                if not self._threads:
                    raise
                self._most = len(self._threads)
            else:
                self._threads.append(thread)

    def _tell_if_over(self) -> None:
        if self._session.finished:
            self._over.notify_all()
            self._work.notify_all()

    def _resolved(self, turn: Turn, lookup: Future[Answer]) -> None:
        """A lookup is over: some thread takes it from here, and says what there is to say of it."""
        fault = None if lookup.cancelled() else lookup.exception()
        if fault is not None:
            self._end(fault)
        if lookup.cancelled() or fault is not None:
            return
        with self._lock:
            self._session.done(turn, lookup.result(), time.monotonic())
            self._wake_another()
            if self._session.unsaid:
                self._work.notify()
            self._tell_if_over()

    def _exchange(self, turn: Turn) -> Event:
        assert isinstance(turn.action, Exchange)
        with self._slots:
            self._due[turn.seq] = time.monotonic() + turn.action.time_s
            try:
                return self._engine.exchange(turn.action)
            finally:
                del self._due[turn.seq]

    def _say_last(self, *last: bytes) -> None:
        """Say what there is, and `last`, to a parent that may be gone."""
        try:
            self._say(*last)
        except OSError:
            self._end(None)

    def _say(self, *last: bytes) -> None:
        """Write what there is to say, and `last`; no body is encoded before others have written theirs."""
        with self._write_lock:
            with self._lock:
                buffers = [*self._session.outgoing(), *last]
                parsing = self._session.take_parsing()
            for buffer in buffers:
                self._write(buffer)
            if parsing is not None:  # its page is on its way: nothing that happens in here can cost it
                self._parser.submit(self._parse, parsing)

    def _parse(self, parsing: Parsing) -> None:
        """Parse a page, and say what came of it; in a thread that does nothing else."""
        try:
            answer = self._do_aside(parsing)
            with self._lock:
                self._session.parsed(answer)
                self._wake_another()
            self._say_last()
            with self._lock:
                self._tell_if_over()
        except BaseException as fault:
            self._end(fault)

    def _write(self, buffer: bytes) -> None:
        data = memoryview(buffer)
        while data and not self._closed:
            data = data[self._write_some(self._write_fd, data) :]

    def _listen(self) -> None:
        frames, fault = FrameReader(), None
        try:
            while data := self._read_some(self._read_fd, _READ_BYTES):
                with self._lock:
                    for message in frames.feed(data):
                        self._session.receive(message)
                    self._wake_another()
                    self._tell_if_over()
        except BaseException as error:
            fault = error  # whoever cannot hear the end mark must not wait for it
        os.close(self._read_fd)
        self._end(fault)

    def _end(self, fault: BaseException | None) -> None:
        with self._lock:
            self._fault = self._fault or fault
            self._session.abort()
            self._tell_if_over()

    # How it is done without stopping anybody else; a sibling that has no threads says it otherwise.

    def _do_aside(self, parsing: Parsing) -> Parsed:
        return parsing()

    def _read_some(self, descriptor: int, count: int) -> bytes:
        return os.read(descriptor, count)

    def _write_some(self, descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, data)


def drive(
    make_session: Callable[[Known], Session], engine: ModuleType, config: CrawlConfig, pipes: tuple[int, int]
) -> None:
    """Run a session on threads; `pipes` are (read, write). Returns when the session is finished."""
    resolver = BlockingResolver(Resolver(NameServers(config.resolver)))
    session = make_session(resolver.cached)
    exchanges = engine.make(insecure=config.insecure, conc=config.conc)
    try:
        ThreadDriver(session, exchanges, resolver, config.conc, engine.threads(config.conc)).run(*pipes)
    finally:
        resolver.close()
