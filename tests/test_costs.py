"""What a page costs, counted and not timed: calls and system calls, the same on any machine under any load.

Each count is the difference between a longer and a shorter list, divided by the pages between, so that no start is in
it. A bound is what was counted when it was last touched, and 3 %: whoever makes a page dearer hears of it here, and
whoever makes it cheaper lowers the bound. Calls are those of Python functions and of functions in C that Python code
calls; versions of Python differ in what they inline.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import World, state

from crawler import job, pipeline
from crawler.config import CrawlConfig
from crawler.drivers import tasks
from crawler.encoders import make_encoder
from crawler.engines.fake import FakeEngine, Scripted
from crawler.executors import pipes
from crawler.executors.base import ExecutorEvent
from crawler.executors.pipes import Child, PipeExecutor
from crawler.feed import Feed
from crawler.frontier import Frontier, Known
from crawler.pipeline import Pipeline
from crawler.records import Chunk, FlowState, Result, row_of
from crawler.session import Session
from crawler.tally import Tally
from crawler.throttle import Throttle
from crawler.wire import FrameReader, Kind, Settings, frame, read_chunk, result_frame

MARGIN = 1.03
PARENT = {"calls": 60.0, "reads": 0.192, "writes": 0.333}
WORKER = {"calls": 762.0, "reads": 0.0, "writes": 1.0}
"""What a page may take, before the margin. `reads` and `writes` are system calls of the thread that does the work."""

TURN = 20
"""How many results the parent finds in its pipe each time; to put them there costs 0.05 of its writes and reads."""

PAYLOAD = b"a gzip member or two of a page of 8 KB" * 100
Work = dict[str, float]


@contextlib.contextmanager
def counted(work: Work) -> Iterator[None]:
    """Count what happens in this block."""

    def count(frame: types.FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    calls, before, profile = 0, _system_calls(), sys.getprofile()
    gc.collect()
    gc.disable()  # a finalizer of somebody else's is none of a page's work
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(profile)
        gc.enable()
    reads, writes = (after - earlier for after, earlier in zip(_system_calls(), before, strict=True))
    work |= {"calls": calls, "reads": reads, "writes": writes}


def _system_calls() -> tuple[int, int]:
    """How many reads and writes this thread has made (proc_pid_io(5))."""
    words = Path("/proc/thread-self/io").read_text(encoding="ascii").split()
    return int(words[words.index("syscr:") + 1]), int(words[words.index("syscw:") + 1])


def a_page(run: Callable[[int], Work], few: int, many: int) -> Work:
    """What each further page takes."""
    run(few)  # what is made at first use is made now
    less, more = run(few), run(many)
    return {name: (more[name] - less[name]) / (many - few) for name in less}


def dearer(found: Work, bounds: Work) -> Work:
    """What costs more than it may."""
    return {name: value for name, value in found.items() if value > MARGIN * bounds[name]}


class Read(Feed):
    """The whole list at once, so that no thread's pace is counted."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._thread.join()


class Answering(PipeExecutor):
    """One worker over real pipes, in this thread: at each turn it answers some of what it was asked. Not counted."""

    def __init__(self) -> None:
        super().__init__(1, Settings(CrawlConfig(), 0, 0, "archive"))
        self._frames = FrameReader()
        self._states: list[FlowState] = []

    def _start_child(self, worker: int, read_fd: int, write_fd: int) -> Child:
        os.set_blocking(read_fd, False)
        self._ends = read_fd, write_fd
        return types.SimpleNamespace(end=self._end, cause=str, in_flight=set)

    def _end(self, within_s: float) -> None:
        while self._ends:
            os.close(self._ends[0])
            self._ends = self._ends[1:]

    def events(self, timeout_s: float | None) -> list[ExecutorEvent]:
        profile = sys.getprofile()
        sys.setprofile(None)
        try:
            self._answer()
        finally:
            sys.setprofile(profile)
        return super().events(timeout_s)

    def _answer(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for message in self._frames.feed(os.read(self._ends[0], 1 << 18)):
                if message.kind is Kind.CHUNK:
                    self._states += read_chunk(message).states
        answered, self._states = self._states[:TURN], self._states[TURN:]
        buffers = [buffer for one in answered for buffer in result_frame(_fetched(one))]
        os.write(self._ends[1], b"".join([*buffers, *(frame(Kind.CREDIT) if not self._states else ())]))


def _fetched(one: FlowState) -> Result:
    texts = dict.fromkeys(("fetched_at", "content_type", "charset", "digest", "body_digest", "ip"), "of a usual length")
    row = row_of(one, "fetched", status=200, attempts=1, total_ms=1.5, bytes_wire=8192, bytes_body=8192, **texts)
    return Result(row, PAYLOAD, 0, len(PAYLOAD) // 2)


def through_the_parent(folder: Path, monkeypatch: pytest.MonkeyPatch, pages: int) -> Work:
    """Record a list of so many pages: sources, intake, router, pipes, pipeline, tally, store."""
    urls, out = folder / f"{pages}.txt", folder / f"{len(list(folder.iterdir())):04}"
    urls.write_text("".join(f"https://www.site-{n % 50:02}.example/page/{n:06}\n" for n in range(pages)), "ascii")
    clock = types.SimpleNamespace(monotonic=lambda: 1.0, sleep=lambda _: None)
    for module in (job, pipeline, pipes):
        monkeypatch.setattr(module, "time", clock)  # no commit, tick or beat because this machine is slow
    monkeypatch.setattr(pipeline, "Feed", Read)
    monkeypatch.setattr(job, "make_executor", lambda *_, **__: Answering())
    tally, work = Tally(), Work()

    def watch(line: Pipeline, batch: list[Result]) -> bool:
        tally.follow(line, batch)
        return True

    with counted(work):
        summary = job.run_job(urls, out, CrawlConfig(procs=1), watch=watch)
    assert pages == summary.outcomes["fetched"]
    return work


def through_a_worker(pages: int) -> Work:
    """Fetch so many pages of 8 KB with the engine `fake`: frames in, driver, flow, body, encoder, frames out."""
    config = CrawlConfig(per_host=0, robots=False, allow_private=True, conc=8)
    (child_read, parent_write), (parent_read, child_write) = os.pipe(), os.pipe()
    states = tuple(state(f"http://127.0.0.1/{n:06}", n) for n in range(1, pages + 1))
    body = b"<p>A page that takes no room in a pipe</p>" * 200
    engine = FakeEngine({one.target: [Scripted((body,))] for one in states})
    os.write(parent_write, b"".join([*frame(Kind.CHUNK, Chunk(1, states)), *frame(Kind.END)]))
    made = types.SimpleNamespace(make=lambda **_: engine, NAME="fake")

    def session(known: Known) -> Session:
        frontier = Frontier(World({}).rules(config), known, Throttle(8))
        return Session(frontier, make_encoder("archive", config, worker=0, engine="fake"), 8, 1_000)

    work = Work()
    with counted(work):
        tasks.drive(session, made, config, (child_read, child_write))  # type: ignore[arg-type]
    os.close(parent_write)
    with os.fdopen(parent_read, "rb") as said:
        kinds = [message.kind for message in FrameReader().feed(said.read())]
    assert pages == kinds.count(Kind.RESULT)
    return work


def test_a_page_in_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many calls, and a fraction of a system call, take a page from a line of the list to its row.

    Results that come together are read, counted and recorded together.
    """
    found = a_page(lambda pages: through_the_parent(tmp_path, monkeypatch, pages), 1_000, 3_000)

    assert {} == dearer(found, PARENT), found


def test_a_page_in_a_worker() -> None:
    """So many calls, no system call but one write, take a page from its chunk to its result, the exchange aside."""
    found = a_page(through_a_worker, 10, 40)

    assert {} == dearer(found, WORKER), found
