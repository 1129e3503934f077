"""The pipeline: one crawl as one loop, with scripted workers that need neither process nor socket."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.config import CrawlConfig
from crawler.executors.base import ExecutorEvent, Moved, Settled
from crawler.ordering import InOrder
from crawler.pipeline import Pipeline
from crawler.records import Chunk, FlowState, Result, Row, Status
from crawler.sources.iterable import IterableSource


class ScriptedExecutor:
    """Workers that settle each chunk when they are asked for events; `credit` is what a test gives them."""

    def __init__(self, workers: int = 2, credit: int = 1) -> None:
        self.workers = workers
        self.started = 0
        self.sent: list[tuple[int, Chunk]] = []
        self.settling = True
        self._credit = dict.fromkeys(range(workers), credit)
        self._open: deque[tuple[int, FlowState]] = deque()
        self._woken = threading.Event()
        self.moved: dict[int, FlowState] = {}

    def credit(self, worker: int) -> int:
        return self._credit[worker]

    def send(self, worker: int, chunk: Chunk) -> None:
        self._credit[worker] -= 1
        self.sent.append((worker, chunk))
        self._open += [(worker, state) for state in chunk.states]

    def events(self, timeout_s: float | None) -> list[ExecutorEvent]:
        if not self._open or not self.settling:
            self._woken.wait(timeout_s)
            self._woken.clear()
            return []
        events = [self._settle(*self._open.popleft()) for _ in range(len(self._open))]
        self._credit = dict.fromkeys(self._credit, 1)
        return events

    def _settle(self, worker: int, state: FlowState) -> ExecutorEvent:
        if state.seq in self.moved:
            return Moved(worker, self.moved.pop(state.seq))
        row = Row(state.seq, state.source, state.source_line, state.url, state.target, state.host, "fetched")
        return Settled(worker, [Result(row)])

    def statuses(self) -> dict[int, Status]:
        return {}

    stopped = True

    def stop(self) -> None:
        """There is nothing to stop."""

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        """Nothing is open."""


def make(urls: Iterable[str], executor: ScriptedExecutor, config: CrawlConfig | None = None) -> Pipeline:
    return Pipeline(IterableSource(urls), executor, config or CrawlConfig(), b"key")


def seqs(pipeline: Pipeline) -> list[int]:
    return sorted(result.row.seq for batch in pipeline.run() for result in batch)


def test_every_entry_ends_once() -> None:
    """Fetched, duplicate or invalid: one result an entry."""
    urls = ["http://a.com/", "http://b.com/", "http://a.com/", "http://", "c.com"]

    assert [1, 2, 3, 4, 5] == seqs(make(urls, ScriptedExecutor()))


def test_an_entry_that_moves_is_fetched_at_its_new_home() -> None:
    """A redirect to another worker's host goes through the parent and ends there, once."""
    executor = ScriptedExecutor()
    executor.moved[1] = FlowState(1, "list", 1, "http://a.com/", "http://z.org/", "z.org")

    assert [1, 2] == seqs(make(["http://a.com/", "http://b.com/"], executor))
    assert "http://z.org/" in [state.target for _, chunk in executor.sent for state in chunk.states]


def test_chunks_are_bounded() -> None:
    """No chunk is larger than `chunk_size`, however long the list."""
    executor = ScriptedExecutor()
    urls = [f"http://h{n}.com/" for n in range(2_500)]

    assert 2_500 == len(seqs(make(urls, executor, CrawlConfig(chunk_size=100))))
    assert 100 == max(len(chunk.states) for _, chunk in executor.sent)


def test_a_consumer_that_is_slow_stops_the_list() -> None:
    """Nothing is read while the consumer is busy: the list runs ahead by a bounded number of entries only."""
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"http://h{read}.com/"

    executor = ScriptedExecutor()
    executor.settling = False  # workers that never answer: their credit is used up at once
    pipeline = make(endless(), executor)
    results = pipeline.run()
    while not pipeline.crew.router.full:
        assert [] == next(results)
    before = pipeline.read
    for _ in range(3):
        next(results)

    assert before == pipeline.read
    results.close()


def test_what_is_read_is_sent() -> None:
    """When nothing more may be read, parts of chunks go: a chunk larger than the window waits for nobody."""
    executor = ScriptedExecutor()
    urls = (f"http://h{n}.com/" for n in range(60_000))

    assert 60_000 == len(seqs(make(urls, executor, CrawlConfig(chunk_size=1_000_000))))


@given(st.permutations(range(1, 30)), st.data())
def test_ordered_results_come_in_order(seqs: list[int], data: st.DataObject) -> None:
    """Whatever the order of arrival and however little memory: out comes the list, each payload its own."""
    order, came = InOrder(memory_bytes=data.draw(st.integers(0, 40))), []
    for seq in seqs:
        row = Row(seq, "list", seq, "u", None, None, "fetched")
        came += order.add([Result(row, bytes([seq]) * (seq % 7))])
    order.close()

    assert [(seq, bytes([seq]) * (seq % 7)) for seq in range(1, 30)] == [(r.row.seq, r.payload) for r in came]


def test_an_ordered_crawl_does_not_run_away() -> None:
    """While the oldest entry is open, no more than the window is read, however long that takes."""
    executor = ScriptedExecutor()
    executor.settling = False
    config = CrawlConfig(procs=1, conc=10, chunk_size=50)
    pipeline = Pipeline(
        IterableSource(f"http://h{n}.com/" for n in range(9_000)), executor, config, b"key", ordered=True
    )
    results = pipeline.run()
    for _ in range(20):
        assert [] == next(results)
    held = pipeline.read
    executor.settling = True

    assert 50 <= held < 9_000
    assert list(range(1, 9_001)) == [result.row.seq for batch in results for result in batch]


def test_a_source_that_fails_says_so() -> None:
    """What the list raises comes out of the loop, after what was read before it."""

    def broken() -> Iterator[str]:
        yield "http://a.com/"
        raise OSError("disk")

    pipeline = make(broken(), ScriptedExecutor())
    with pytest.raises(OSError, match="disk"):
        seqs(pipeline)
    assert 1 == pipeline.read


def test_an_empty_list_ends_at_once() -> None:
    """No entry, no chunk, no result."""
    executor = ScriptedExecutor()

    assert ([], []) == (seqs(make([], executor)), executor.sent)


def test_what_is_spilled_is_given_back() -> None:
    """The temporary files are bounded by what is held, however long the list: a file goes with its last payload."""
    order, most = InOrder(memory_bytes=0, file_bytes=500), 0
    row = Row(1, "list", 1, "u", None, None, "fetched")
    for first in range(1, 2_000, 2):  # always one that came too early, so the files are never all empty
        early = [] if first > 1 else [3]
        for seq in (*early, first + 4, first, first + 1):
            if seq > order.released and seq not in order._held:
                order.add([Result(msgspec.structs.replace(row, seq=seq), bytes(100))])
                most = max(most, sum(file.length for file in order._files))
    order.close()

    assert 2_000 <= order.released
    assert 0 < most <= 1_500
