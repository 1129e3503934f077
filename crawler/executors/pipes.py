"""One pair of pipes a worker, and one selector over all of them: what every local executor shares.

No queue and no lock is shared between workers: one that dies, and whenever, can neither block nor confuse another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import math
import os
import selectors
import threading
import time
from collections import deque
from typing import Protocol

import msgspec

from crawler import forks
from crawler.errors import WorkerError
from crawler.executors.base import Died, ExecutorEvent, Moved, Refused, Settled
from crawler.executors.child import two_pipes
from crawler.records import Chunk, FlowState, Result, Status
from crawler.wire import Frame, FrameReader, Kind, Settings, frame, read_parsed, read_result, read_state, read_status

_READ_BYTES = 1 << 20
_LISTEN_S = 1.0
_GATHER_S = 0.005  # far less than the entries last that a worker has in reserve when it asks for more
_GATHER_ENTRIES = 64  # fewer than that may be somebody who waits for each of them
_RESULTS_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 18
_REST_S = 0.1
_REFUSED_REST_S = 1.0
_END_S = 3.0  # idle workers say goodbye in milliseconds; busy ones that lost their pipes, too
_LOST_S = 1.0  # one that closed its pipe is as good as gone: nobody waits long for the rest of it
_BARREN_MOST = 5
_REMEDIES = {
    errno.EMFILE: "raise `ulimit -n`",
    errno.ENFILE: "raise fs.file-max",
    errno.EAGAIN: "raise `ulimit -u`, which counts processes and threads",
    errno.ENOMEM: "free some memory",
}

SILENCE_S = 30.0
"""How long a worker that holds entries may say nothing; starting one takes seconds where the machine is loaded."""


class Child(Protocol):
    """A started worker, whatever it runs in."""

    def end(self, within_s: float) -> None:
        """Return when it is gone: by itself, or ended after so many seconds."""

    def let_be(self) -> None:
        """Close what a fork has copied of it: it is the other process's."""

    def cause(self) -> str:
        """Why it is gone, for a sentence that begins with 'Worker 1'."""

    def in_flight(self) -> set[int]:
        """The seqs of the entries that it had in flight at the end."""


@dataclasses.dataclass(slots=True, eq=False)
class _Line:
    """The parent's side of one worker: its child, the two pipe ends, and how far they are."""

    worker: int
    child: Child
    read_fd: int
    write_fd: int
    frames: FrameReader = dataclasses.field(default_factory=FrameReader)
    unsent: deque[memoryview] = dataclasses.field(default_factory=deque)
    credit: int = 1  # every worker asks for a chunk first thing: it is taken as said
    heard_credit: bool = False
    held: dict[int, FlowState] = dataclasses.field(default_factory=dict)
    silent_s: float = 0.0  # how long it said nothing while it held entries and was listened to
    page: Result | None = None  # what it parses
    parsing_s: float = 0.0  # since when, while it was listened to
    cause: str = ""  # why we ended it
    fruitful: bool = False  # it finished an entry
    told: bool = False  # to finish, or that no more will come
    done: bool = False
    status: Status | None = None


class PipeExecutor:
    """An executor over pipes; siblings say how a child is started.

    `settings` is what every worker is told, but for its own number. A worker that holds entries and says nothing for
    `silence_s` seconds is ended, and so is one that parses a page for longer than it may; only time counts in which it
    was listened to, so that neither a consumer that is busy nor a whole job that is stopped (Ctrl-Z, a suspended
    machine) makes workers look stuck.
    """

    def __init__(self, workers: int, settings: Settings, silence_s: float = SILENCE_S) -> None:
        self.workers = workers
        self.started = 0
        self.silence_s = silence_s
        self._parse_s = settings.config.parse_timeout if silence_s < math.inf else math.inf
        self._settings = settings
        self._lines: dict[int, _Line] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._rests_until: dict[int, float] = {}
        self._barren: dict[int, int] = {}
        self._refused: list[ExecutorEvent] = []
        self._listened_at = time.monotonic()
        self._came_bytes = 0
        self._waking = threading.Lock()
        self._closed = False
        self._inherited = False
        forks.heed(self)

    def _start_child(self, worker: int, read_fd: int, write_fd: int) -> Child:
        """Start worker number `worker`, which owns these two ends from now on. Raises OSError."""
        raise NotImplementedError

    def credit(self, worker: int) -> int:
        """How many chunks this worker asked for and has not got; 1 before it is started, 0 while its place rests."""
        line = self._lines.get(worker)
        if line is None:
            return int(time.monotonic() >= self._rests_until.get(worker, 0.0))
        return line.credit

    def send(self, worker: int, chunk: Chunk) -> None:
        """See `Executor.send`. Never blocks: what the pipe does not take waits."""
        self._refuse_inherited()
        try:
            line = self._lines.get(worker) or self._start(worker)
        except OSError as error:
            self._refuse(worker, chunk, error)
            return
        line.credit -= 1
        line.held |= {state.seq: state for state in chunk.states}
        self._queue(line, Kind.CHUNK, chunk)

    def events(self, timeout_s: float | None) -> list[ExecutorEvent]:
        """See `Executor.events`."""
        self._refuse_inherited()
        self._gather(timeout_s)
        events, self._refused = self._refused, []
        self._came_bytes = 0
        for key, mask in self._selector.select(0 if events else self._patience(timeout_s)):
            line: _Line | None = key.data
            if line is None:
                _empty(self._wake_read)
            elif line.write_fd < 0:
                continue  # its end was read a moment ago, and its other pipe had something to say as well
            elif mask & selectors.EVENT_WRITE:
                self._flush(line)
            else:
                events += self._read(line)
        self._end_silent()
        return events

    def stop(self) -> None:
        """See `Executor.stop`."""
        for line in self._lines.values():
            if not line.done:
                line.told = True
                self._queue(line, Kind.STOP, None)

    @property
    def stopped(self) -> bool:
        """See `Executor.stopped`."""
        return all(line.done for line in self._lines.values())

    def statuses(self) -> dict[int, Status]:
        """What each worker said of itself last, by its number."""
        return {line.worker: line.status for line in self._lines.values() if line.status is not None}

    @property
    def hindrance(self) -> str:
        """See `Executor.hindrance`: who is here can work, or `send` says why not."""
        return ""

    def recorded(self) -> None:
        """See `Executor.recorded`: workers keep nothing that they have handed over."""

    def wake(self) -> None:
        """Make a waiting `events` return; from any thread."""
        with self._waking, contextlib.suppress(BlockingIOError):  # a full pipe: it is awake already
            if not self._closed:
                os.write(self._wake_write, b".")

    def close(self) -> None:
        """Leave no worker behind.

        1. Idle workers get the end mark, flush and leave; busy ones lose their pipes, which tells them to stop at
           once (their unfinished entries have no row, so a resume fetches them).
        2. Whoever is still there after a grace period, one for all of them, is killed.
        """
        if self._closed:
            return
        with self._waking:
            self._closed = True  # from here on nobody writes to a number that may soon be another file's
            _shut(self, "_wake_write")
        for line in self._lines.values():
            if not line.held and not line.done:
                line.told = True
                self._queue(line, Kind.END, None)
        for line in self._lines.values():
            if line.held:
                self._hang_up(line)
        until = time.monotonic() + _END_S
        for line in self._lines.values():
            line.child.end(max(0.0, until - time.monotonic()))
            self._hang_up(line)
        self._selector.close()
        _shut(self, "_wake_read")

    def forked(self) -> None:
        """Close what was copied. The other process has the workers, and the same set of what is watched."""
        self._closed = self._inherited = True
        self._waking = threading.Lock()
        for line in self._lines.values():
            line.child.let_be()
            self._hang_up(line)
        self._lines.clear()
        self._selector.close()
        _shut(self, "_wake_read", "_wake_write")

    def _refuse_inherited(self) -> None:
        if self._inherited:
            raise WorkerError(forks.INHERITED)

    def _gather(self, timeout_s: float | None) -> None:
        """Let results pile up in the pipes for a moment: to be woken for each of them costs more than to read it.

        Not where it may wait for nothing, where little is to come, where a chunk is not all sent, or where so much came
        the last time that a pipe could fill.
        """
        if timeout_s == 0 or self._refused or self._came_bytes > _RESULTS_BYTES // 4:
            return
        lines = self._lines.values()
        if sum(len(line.held) for line in lines) < _GATHER_ENTRIES or any(line.unsent for line in lines):
            return
        rest_s = min(_GATHER_S, timeout_s or _GATHER_S) - (time.monotonic() - self._listened_at)
        if rest_s > 0:
            time.sleep(rest_s)

    def _patience(self, timeout_s: float | None) -> float | None:
        """How long to wait for a word: where one is due, not so long that its absence goes unnoticed."""
        if not any(line.held for line in self._lines.values()):
            return timeout_s
        return _LISTEN_S if timeout_s is None else min(timeout_s, _LISTEN_S)

    def _end_silent(self) -> None:
        """End whoever holds entries and was silent for too long; its pipe says the rest, as of any that dies."""
        now = time.monotonic()
        listened_s, self._listened_at = min(now - self._listened_at, _LISTEN_S), now
        for line in self._lines.values():
            if not line.held or line.cause:
                continue
            line.silent_s += listened_s
            line.parsing_s += listened_s
            if line.page is not None and line.parsing_s >= self._parse_s:
                line.cause = f"was ended after {self._parse_s:g} s of one parse"
                line.child.end(0.0)
            elif line.silent_s >= max(self.silence_s, self._parse_s if line.page is not None else 0.0):
                line.cause = f"stopped answering for {self.silence_s:g} s"
                line.child.end(0.0)

    def _start(self, worker: int) -> _Line:
        child, read_fd, write_fd = self._connect(worker)
        _widen(read_fd, _RESULTS_BYTES)
        _widen(write_fd, _CHUNK_BYTES)
        os.set_blocking(write_fd, False)
        line = self._lines[worker] = _Line(worker, child, read_fd, write_fd)
        self.started += 1
        self._selector.register(read_fd, selectors.EVENT_READ, line)
        self._queue(line, Kind.HELLO, msgspec.structs.replace(self._settings, worker=worker))
        return line

    def _connect(self, worker: int) -> tuple[Child, int, int]:
        """A started child, and our ends of its pipes, to read from and to write to. Raises OSError."""
        child_read, write_fd, read_fd, child_write = two_pipes()
        try:
            return self._start_child(worker, child_read, child_write), read_fd, write_fd
        except OSError:
            os.close(read_fd)
            os.close(write_fd)
            raise

    def _refuse(self, worker: int, chunk: Chunk, error: OSError) -> None:
        """Let a place rest that this machine has no room for; where no other works, nobody would make room."""
        if not any(line.held for line in self._lines.values()):
            remedy = _REMEDIES.get(error.errno or 0, "see to that")
            raise WorkerError(
                f"Worker {worker} cannot be started: {error.strerror}; {remedy}, or use fewer (--procs)."
            ) from error
        self._rests_until[worker] = time.monotonic() + _REFUSED_REST_S
        self._refused.append(Refused(worker, f"cannot be started: {error.strerror}", chunk.states))

    def _queue(self, line: _Line, kind: Kind, message: object) -> None:
        waiting = bool(line.unsent)
        line.unsent.extend(memoryview(buffer) for buffer in frame(kind, message) if buffer)
        if not waiting:
            self._flush(line)

    def _flush(self, line: _Line) -> None:
        try:
            while line.unsent:
                sent = os.write(line.write_fd, line.unsent[0])
                line.unsent[0] = line.unsent[0][sent:]
                if not line.unsent[0]:
                    line.unsent.popleft()
        except BlockingIOError:
            pass
        except BrokenPipeError:
            line.unsent.clear()  # it is dead; its other pipe says so in a moment, and says why
        watched = line.write_fd in self._selector.get_map()
        if line.unsent and not watched:
            self._selector.register(line.write_fd, selectors.EVENT_WRITE, line)
        elif watched and not line.unsent:
            self._selector.unregister(line.write_fd)

    def _read(self, line: _Line) -> list[ExecutorEvent]:
        data = os.read(line.read_fd, _READ_BYTES)
        if not data:
            self._selector.unregister(line.read_fd)
            return [] if line.done else [self._lose(line)]
        line.silent_s = 0.0
        self._came_bytes += len(data)
        results: list[Result] = []
        events: list[ExecutorEvent] = []
        for message in line.frames.feed(data):
            if message.kind is Kind.RESULT:
                results.append(read_result(message))
            elif message.kind is Kind.PAGE:
                line.page, line.parsing_s = read_result(message), 0.0
            elif message.kind is Kind.PARSED and line.page is not None:
                results.append(line.page.parsed(read_parsed(message)))
                line.page = None
            elif (moved := self._heard(line, message)) is not None:
                events.append(moved)
        if results:
            self._let_go(line, [result.row.seq for result in results])
            events.append(Settled(line.worker, results))
        return events

    def _heard(self, line: _Line, message: Frame) -> Moved | None:
        match message.kind:
            case Kind.MOVED:
                state = read_state(message)
                self._let_go(line, [state.seq])
                return Moved(line.worker, state)
            case Kind.CREDIT:
                line.credit += 1 if line.heard_credit else 0
                line.heard_credit = True
            case Kind.STATUS:
                line.status = read_status(message)
            case Kind.BYE if line.told:
                line.done = True
                line.held.clear()  # given up
            case Kind.BYE:
                pass  # the end of its pipe will say that it is lost
            case _:
                raise WorkerError(f"Worker {line.worker} sent a frame that only a parent sends.")
        return None

    def _let_go(self, line: _Line, seqs: list[int]) -> None:
        for seq in seqs:
            line.held.pop(seq, None)
        line.fruitful = True
        self._barren.pop(line.worker, None)

    def _lose(self, line: _Line) -> Died:
        """Say that a worker is dead, and what it held; its place may be started again after a rest."""
        line.child.end(_LOST_S)
        cause, flying = line.cause or line.child.cause(), line.child.in_flight()
        suspects = tuple(state for seq, state in line.held.items() if seq in flying)
        others = tuple(state for seq, state in line.held.items() if seq not in flying)
        watched = self._selector.get_map()
        if line.write_fd in watched:
            self._selector.unregister(line.write_fd)
        self._hang_up(line)
        del self._lines[line.worker]
        self._rest(line.worker, cause, fruitless=not suspects and not line.fruitful)
        return Died(line.worker, cause, suspects, others, line.page, ended=bool(line.cause))

    def _rest(self, worker: int, cause: str, *, fruitless: bool) -> None:
        """Back off, longer each time that a worker died of nothing that it was doing."""
        deaths = self._barren[worker] = self._barren.get(worker, 0) + 1 if fruitless else 0
        if deaths >= _BARREN_MOST:
            raise WorkerError(
                f"Worker {worker} {cause}, {deaths} times in a row and before it finished anything; "
                "what was recorded is safe, run the same command again to go on."
            )
        self._rests_until[worker] = time.monotonic() + _REST_S * 2.0**deaths

    def _hang_up(self, line: _Line) -> None:
        _shut(line, "read_fd", "write_fd")


def _shut(owner: object, *names: str) -> None:
    """Close the descriptors in these places, where they still are; a fork in between closes none of them twice."""
    for name in names:
        descriptor = getattr(owner, name)
        if descriptor >= 0:
            setattr(owner, name, -1)
            os.close(descriptor)


def _widen(descriptor: int, size: int) -> None:
    """A larger pipe where the system allows it: fewer system calls a page, and a chunk is sent at once."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size)
    except (OSError, AttributeError):
        return


def _empty(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return
