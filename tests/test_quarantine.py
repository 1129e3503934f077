"""Deaths condemn nobody else: quarantine, the record of flights, and real workers that really die."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Origin
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import state

import crawler
from crawler.config import CrawlConfig
from crawler.executors.base import Died, ExecutorEvent, Refused, Settled
from crawler.executors.pipes import SILENCE_S
from crawler.executors.processes import ProcessExecutor
from crawler.flights import Flights, make_record, read_record
from crawler.pipeline import Pipeline
from crawler.quarantine import Quarantine
from crawler.records import Chunk, FlowState, Result, Status, row_of
from crawler.sources.iterable import IterableSource
from crawler.wire import Settings

KILLER = """
import os, signal
import crawler.body

head = crawler.body.Body.head

def deadly(self, status, *rest):
    if status == 418:
        os.kill(os.getpid(), signal.SIGKILL)
    return head(self, status, *rest)

crawler.body.Body.head = deadly
"""


STUCK = """
import pathlib
import crawler.body

head = crawler.body.Body.head

def endless(self, status, *rest):
    if status == 418:
        pathlib.Path({sign!r}).touch()
        while True:
            pass
    return head(self, status, *rest)

crawler.body.Body.head = endless
"""


def suspects(*seqs: int) -> list[FlowState]:
    return [state(seq=seq) for seq in seqs]


def test_a_worker_with_suspects_is_reserved() -> None:
    """Until the last of them is through: one group after the other, whatever waits for that worker besides."""
    quarantine = Quarantine()
    quarantine.died(0, suspects(1, 2), ())

    assert (True, False, 2) == (quarantine.holds(0), quarantine.holds(1), quarantine.waiting)
    assert [(1,), ()] == [tuple(entry.seq for entry in quarantine.next(0)) for _ in range(2)]
    quarantine.cleared(0, [1])
    assert [2] == [entry.seq for entry in quarantine.next(0)]
    quarantine.cleared(0, [2])
    assert (False, (), 0) == (quarantine.holds(0), quarantine.next(0), quarantine.waiting)


def test_one_death_alone_proves_nothing() -> None:
    """Somebody else may have killed the worker: only the second death of the same entry alone condemns it."""
    quarantine = Quarantine()
    quarantine.died(0, suspects(1), ())
    verdicts = [quarantine.died(0, quarantine.next(0), ()) for _ in range(2)]

    assert [(None, 0), (state(seq=1), 3)] == [(verdict.killer, verdict.deaths) for verdict in verdicts]
    assert not quarantine.holds(0)


def test_who_waited_beside_suspects_is_not_yet_free() -> None:
    """What only waited in a worker goes free when it dies; but not a suspect, which has proved nothing by waiting."""
    quarantine = Quarantine()
    first = quarantine.died(0, suspects(*range(1, 9)), suspects(9))
    group = quarantine.next(0)
    second = quarantine.died(0, group[:1], group[1:])

    assert ([9], []) == ([entry.seq for entry in first.free], [entry.seq for entry in second.free])
    assert 8 == quarantine.waiting


@given(st.integers(1, 3_000))
def test_many_suspects_are_few_groups(count: int) -> None:
    """After a death that nobody of them caused, four groups at most run before all are through."""
    quarantine, groups = Quarantine(), 0
    quarantine.died(0, suspects(*range(count)), ())
    while group := quarantine.next(0):
        groups += 1
        for entry in group:
            quarantine.cleared(0, [entry.seq])

    assert groups <= 4
    assert 0 == quarantine.waiting


class Storm:
    """Workers of a crawl in which some entries always kill, and somebody else kills as well, now and then.

    Some cannot be started while others work. `dice` draws numbers below its argument. `unlucky` are the seqs that were
    alone when somebody else killed their worker, once for each time.
    """

    def __init__(self, workers: int, conc: int, killers: set[int], raids: int, dice: Callable[[int], int]) -> None:
        self.workers, self.started, self.stopped = workers, 0, True
        self.unlucky: Counter[int] = Counter()
        self.deaths = 0
        self._conc, self._killers, self._raids, self._dice = conc, killers, raids, dice
        self._held: dict[int, dict[int, FlowState]] = {worker: {} for worker in range(workers)}
        self._refused: list[ExecutorEvent] = []

    def credit(self, worker: int) -> int:
        return len(self._held[worker]) <= self._conc

    def send(self, worker: int, chunk: Chunk) -> None:
        if any(self._held.values()) and not self._held[worker] and not self._dice(4):
            self._refused.append(Refused(worker, "cannot be started", chunk.states))
        else:
            self._held[worker] |= {entry.seq: entry for entry in chunk.states}

    def events(self, timeout_s: float | None) -> list[ExecutorEvent]:
        refused, self._refused = self._refused, []
        return refused + [event for worker, held in self._held.items() if held for event in self._step(worker, held)]

    def _step(self, worker: int, held: dict[int, FlowState]) -> list[ExecutorEvent]:
        """Some of what is in flight ends; then perhaps the worker does."""
        flying = list(held.values())[: 1 + self._dice(self._conc)]
        raided = self._raids > 0 and not self._dice(4)
        if raided or any(entry.seq in self._killers for entry in flying):
            self._raids -= raided
            self.deaths += 1
            if raided and len(held) == 1:
                self.unlucky[flying[0].seq] += 1
            others = [entry for entry in held.values() if entry not in flying]
            held.clear()
            return [Died(worker, "was ended by SIGKILL", tuple(flying), tuple(others))]
        ended = flying[: 1 + self._dice(len(flying))]
        for entry in ended:
            del held[entry.seq]
        return [Settled(worker, [Result(row_of(entry, "fetched")) for entry in ended])]

    def statuses(self) -> dict[int, Status]:
        return {}

    def stop(self) -> None:
        """There is nothing to stop."""

    def wake(self) -> None:
        """It never waits."""

    def close(self) -> None:
        """Nothing is open."""


@given(
    workers=st.integers(1, 3),
    conc=st.integers(1, 30),
    count=st.integers(1, 150),
    killers=st.sets(st.integers(1, 150), max_size=8),
    raids=st.integers(0, 20),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=200)
def test_a_storm_of_deaths(workers: int, conc: int, count: int, killers: set[int], raids: int, seed: int) -> None:
    """However often workers die, and of what: every entry ends once, every killer is condemned, and nobody else is.

    But for one whose worker somebody else killed twice when it was alone in it: nothing tells it from a killer.
    """
    storm = Storm(workers, conc, killers, raids, random.Random(seed).randrange)
    urls = [f"http://h{n}.com/" for n in range(1, count + 1)]
    pipeline = Pipeline(IterableSource(urls), storm, CrawlConfig(procs=workers, conc=conc, chunk_size=20), b"key")
    rows = [result.row for batch in pipeline.run() for result in batch]
    condemned = {row.seq for row in rows if row.error_class == "worker_crash"}

    assert list(range(1, count + 1)) == sorted(row.seq for row in rows)
    assert {seq for seq in killers if seq <= count} <= condemned
    assert condemned <= killers | {seq for seq, times in storm.unlucky.items() if times >= 2}
    assert storm.deaths == pipeline.crew.deaths


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=60))
def test_the_record_says_what_is_in_flight(places: int, steps: list[tuple[bool, int]]) -> None:
    """After any begins and ends the other side reads exactly what is open, as far as there are places."""
    record = make_record(places)
    flights, expected = Flights(record), set[int]()
    for begins, seq in steps:
        if not begins:
            flights.end(seq)
            expected.discard(seq)
        elif len(expected) < places or seq in expected:
            flights.begin(seq)
            expected.add(seq)
        assert expected == read_record(record)
    os.close(record)


@pytest.mark.parametrize("engine", ["curl", "asyncio", "gevent", "threads"])
def test_only_killers_are_condemned(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Some URLs kill whatever process fetches them: exactly those are `worker_crash`, and all others are fetched."""
    (tmp_path / "sitecustomize.py").write_text(KILLER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])]))
    urls = [origin.url(f"/status/{418 if n % 100 == 50 else 200}?{n}", host=f"127.0.0.{1 + n % 3}") for n in range(300)]
    pages = list(crawler.fetch(urls, procs=2, conc=16, engine=engine, allow_private=True))

    assert Counter({"http 200": 297, "worker_crash": 3}) == Counter(
        page.error_class or f"http {page.status}" for page in pages
    )
    assert {url for url in urls if "/418" in url} == {page.url for page in pages if page.error_class == "worker_crash"}
    assert 300 == len({page.row.seq for page in pages})


@pytest.mark.parametrize("engine", ["curl", "asyncio", "gevent", "threads", "serial"])
def test_a_url_in_which_its_worker_is_stuck(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """A worker that hangs in an endless loop is ended and replaced: the URL that does it is condemned, alone."""
    sign = tmp_path / "stuck"
    (tmp_path / "sitecustomize.py").write_text(STUCK.format(sign=str(sign)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])]))
    urls = [origin.url(f"/status/{418 if n == 20 else 200}?{n}", host=f"127.0.0.{1 + n % 3}") for n in range(40)]
    config = CrawlConfig(procs=1, conc=8, engine=engine, allow_private=True, max_time=1)
    executor = ProcessExecutor(1, Settings(config, 0, 0, "row"))
    pipeline, rows, deaths = Pipeline(IterableSource(urls), executor, config, b"key"), [], 0
    try:
        for batch in pipeline.run():
            rows += [result.row for result in batch]
            if pipeline.crew.deaths > deaths:
                deaths = pipeline.crew.deaths
                sign.unlink()
            executor.silence_s = 1.5 if sign.exists() else SILENCE_S
    finally:
        executor.close()

    assert Counter({"http 200": 39, "worker_crash": 1}) == Counter(
        row.error_class or f"http {row.status}" for row in rows
    )
    assert {"Its worker stopped answering for 1.5 s, twice when it ran alone."} == {row.error for row in rows} - {None}
