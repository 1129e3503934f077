"""What a machine does with orders that come twice, late, or not for it; and without a broker."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import redis

from crawler.config import CrawlConfig
from crawler.depot.folder import FolderDepot
from crawler.fleet import machine as module
from crawler.fleet.machine import Machine
from crawler.fleet.words import LEASE_S, Beat, Lead, Order, Plan, chunk_name, plan_name


class Board:
    """A broker that remembers what it was told, or is away."""

    def __init__(self, lead: Lead | None) -> None:
        self.lead = lead
        self.away = False
        self.told: list[str] = []

    def beat(self, beat: Beat) -> Lead | None:
        if self.away:
            raise redis.ConnectionError("refused")
        return self.lead

    def leader(self) -> Lead | None:
        return self.lead

    def notify(self, run: str, notice: Any) -> None:
        self.told.append(notice.kind)

    def forget(self, machine: str) -> None: ...


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with a shift that is done as soon as it has a chunk."""
    depot = FolderDepot(tmp_path / "depot")
    depot.put(plan_name("run"), msgspec.msgpack.encode(Plan(CrawlConfig(), "row", 5)))
    for chunk in (1, 2, 3):
        depot.put(chunk_name("run", chunk), msgspec.msgpack.encode(()))

    def shift(run: str, *_: object) -> Any:
        known: set[int] = set()

        def add(chunk: int, shard: int, states: object) -> Any:
            if chunk in known:
                return None
            known.add(chunk)
            return lambda: None

        return SimpleNamespace(
            run=run, fault="", hitch="", finished=0, chunks=(), deaths=0, last_death="", status=lambda: None,
            add=add, end=ended.append,
        )  # fmt: skip

    ended: list[bool] = []
    monkeypatch.setattr(module, "Shift", shift)
    board: Any = Board(Lead("run", str(tmp_path / "depot"), "crawl"))
    made: Any = Machine(board, procs=1, conc=1, folder=tmp_path, say=said.append)
    made.board, made.ended, made.said = board, ended, said
    said.clear()
    return made


said: list[str] = []


def order(machine: Machine, chunk: int = 1, fence: int = 5, *, term: int = 1, run: str = "run", name: str = "") -> str:
    return machine.take(Order(run, chunk, 0, fence, name or machine.id, term))


def test_a_chunk_is_done_once(machine: Any) -> None:
    """A message that the queue doubles, or gives again after its time, does nothing."""
    assert ["done", "known", "done"] == [order(machine), order(machine), order(machine, 2)]


def test_orders_that_are_late_or_not_for_us(machine: Any) -> None:
    """Of another term, another machine, another run, an older lease; and of a chunk that was taken in already."""
    order(machine, fence=7)

    assert ["stale"] * 5 == [
        order(machine, 2, term=0),
        order(machine, 2, name="another"),
        order(machine, 2, run="another"),
        order(machine, 2, fence=6),
        order(machine, 9, fence=8),
    ]


def test_a_function_that_it_was_not_started_with_is_not_called(machine: Any, tmp_path: Path) -> None:
    """Whatever the plan says."""
    plan = Plan(CrawlConfig(parse="os:getcwd"), "row", 5)
    FolderDepot(tmp_path / "depot").put(plan_name("run"), msgspec.msgpack.encode(plan))

    assert "refused" == order(machine)
    assert ["start it with crawl worker --parse" in text for text in machine.said] == [True]


def test_it_lets_go_when_its_lease_is_over(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before; and what it is ordered then belongs to the past."""
    ends: list[bool] = []
    order(machine)
    machine._shift.end = lambda *, at_once: ends.append(at_once)
    machine._beat()
    machine.board.away = True
    now = time.monotonic()
    for later in (LEASE_S - 1, LEASE_S + 1):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda later=later: now + later))
        with pytest.raises(redis.ConnectionError):
            machine._beat()
        machine._mind(redis.ConnectionError("refused"))
        ends.append(machine._shift is None)

    assert [False, True, True] == ends
    assert "stale" == order(machine, 2, term=1)
    assert "done" == order(machine, 2, term=2)


def test_a_new_run_ends_the_old_one(machine: Any) -> None:
    """In order: what is in flight has its time."""
    ends: list[bool] = []
    order(machine)
    machine._shift.end = lambda *, at_once: ends.append(at_once)
    machine.board.lead = Lead("next", machine.board.lead.depot, "crawl")
    machine._beat()

    assert ([False], 2, "stale") == (ends, machine._term, order(machine, 2))
