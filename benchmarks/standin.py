"""A worker that fetches nothing: it answers each entry at once with the result of one page, made before.

It takes the place of `crawler.worker` where only the parent is measured (`stand_in`): the same pipes, the same frames,
chunks asked for as a session asks. Its pace is an argument of the block: so many pages a second, each written when it
is due, as an event loop writes them; 0 is as fast as the pipe takes them.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from unittest import mock

import msgspec

from crawler import wire
from crawler.executors import child
from crawler.records import Entry, FlowState, Request, Result
from crawler.wire import FrameReader, Kind, frame, read_chunk, read_first, result_frame

_PACE = "CRAWLER_BENCHMARK_PACE"
_READ_BYTES = 1 << 18
_MOST = 64
"""Pages in one write at most."""


@contextlib.contextmanager
def stand_in(pace: float = 0.0) -> Iterator[None]:
    """For this block the workers of this process's crawls are such; each answers `pace` pages a second."""
    with (
        mock.patch.object(child, "worker_module", return_value=__name__),
        mock.patch.dict(os.environ, {_PACE: str(pace)}),
    ):
        yield


class _Worker:
    """Says in turn what was asked of it."""

    def __init__(self, write_fd: int, conc: int, keep: str, pace: float) -> None:
        self._write_fd = write_fd
        self._conc = conc
        self._pace = pace
        self._made = _page(keep)
        self._states: deque[FlowState] = deque()
        self._asked = 0
        self._ended = False
        self._began = time.monotonic()
        self._answered = 0

    @property
    def finished(self) -> bool:
        return self._ended and not self._states

    @property
    def idle(self) -> bool:
        return not self._states

    def receive(self, message: wire.Frame) -> None:
        if message.kind is Kind.CHUNK:
            if not self._states:
                self._began, self._answered = time.monotonic(), 0
            self._asked -= 1
            self._states += read_chunk(message).states
        elif message.kind in (Kind.END, Kind.STOP):
            self._ended = True

    def speak(self) -> None:
        """Ask for more where little is left, and answer what is due."""
        buffers: list[bytes] = []
        if not self._ended and not self._asked and len(self._states) <= self._conc:
            self._asked += 1
            buffers += frame(Kind.CREDIT)
        for _ in range(min(self._due(), len(self._states))):
            buffers += result_frame(self._answer(self._states.popleft()))
            self._answered += 1
        _write(self._write_fd, b"".join(buffers))

    def _due(self) -> int:
        if not self._pace:
            return _MOST
        due_at = self._began + (self._answered + 1) / self._pace
        if (early := due_at - time.monotonic()) > 0:
            time.sleep(early)
        return 1

    def _answer(self, state: FlowState) -> Result:
        names = {"seq": state.seq, "source": state.source, "source_line": state.source_line}
        row = msgspec.structs.replace(self._made.row, **names, url=state.url, final_url=state.target, host=state.host)
        return msgspec.structs.replace(self._made, row=row)


def _page(keep: str) -> Result:
    """The result that stands for all."""
    from benchmarks.results import result_of

    made = result_of(Entry(1, "urls.txt", 1, Request("http://www.site-1.example/page/1")))
    return made if keep == "archive" else Result(made.row)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def main() -> None:
    """The process's own main; its arguments are those of `crawler.worker`."""
    read_fd, write_fd = map(int, sys.argv[1:3])
    settings = read_first(read_fd)
    assert settings is not None
    worker = _Worker(write_fd, settings.config.conc, settings.keep, float(os.environ[_PACE]))
    frames = FrameReader()
    while not worker.finished:
        worker.speak()
        if select.select([read_fd], [], [], None if worker.idle else 0)[0]:
            data = os.read(read_fd, _READ_BYTES)
            if not data:
                return
            for message in frames.feed(data):
                worker.receive(message)
    _write(write_fd, b"".join(frame(Kind.BYE)))


if __name__ == "__main__":
    main()
