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
from crawler.fleet.shift import HITCH_S
from crawler.fleet.words import LEASE_S, Beat, Lead, Order, Plan, chunk_name, plan_name


class Board:
    """A broker that remembers what it was told, or is away."""

    def __init__(self, lead: Lead | None) -> None:
        self.lead = lead
        self.away = False
        self.told: list[str] = []
        self.heard: list[Beat] = []

    def beat(self, beat: Beat) -> Lead | None:
        self.heard.append(beat)
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
            run=run, fault="", hitch="", hitched_s=0.0, finished=0, chunks=(), deaths=0, last_death="",
            status=lambda: None, add=add, end=ended.append,
        )  # fmt: skip

    ended: list[bool] = []
    monkeypatch.setattr(module, "Shift", shift)
    board: Any = Board(Lead("run", str(tmp_path / "depot"), "crawl"))
    made: Any = Machine(board, procs=1, conc=1, folder=tmp_path, say=said.append)
    made.board, made.ended, made.said = board, ended, said
    said.clear()
    return made


said: list[str] = []


def order(
    machine: Machine, chunk: int = 1, fence: int = 5, *, term: int = 1, run: str = "run", name: str = "",
    until: int | None = None,
) -> str:  # fmt: skip
    return machine.take(Order(run, chunk, 0, fence, name or machine.id, term, until))


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


def test_an_order_is_begun_in_its_time(machine: Any) -> None:
    """Who heard of a later beat knows that it was not, and may have given the chunk to another machine."""
    for _ in range(3):
        machine._beat()

    assert ["stale", "done", "done"] == [order(machine, until=2), order(machine, until=3), order(machine, 2)]
    assert ["begun"] * 2 == (machine._telling.shutdown(), machine.board.told)[1]


class TestTrouble:
    """What hinders a machine is a sentence: said once, and in its beats until it is over."""

    def trouble(self, machine: Any) -> str:
        machine._beat()
        return str(machine.board.heard[-1].trouble)

    def over(self, machine: Any) -> bool:
        """Whether it found, at its next beat, that nothing hinders it any more."""
        machine._tick()
        machine._looker.join()
        return not self.trouble(machine)

    def test_the_store_is_not_seen(self, machine: Any, tmp_path: Path) -> None:
        """The run leads, and its plan is not there: so this is not what was taken in already."""
        (tmp_path / "depot").rename(tmp_path / "elsewhere")
        answers = [order(machine), order(machine, 2)]

        assert ["refused"] * 2 == answers
        assert [self.trouble(machine)] == machine.said
        assert machine.said[0].startswith(f"The store {tmp_path}/depot does not hold run run here; mount what")
        assert not self.over(machine)
        (tmp_path / "elsewhere").rename(tmp_path / "depot")
        assert self.over(machine)
        assert "done" == order(machine)

    def test_the_store_is_gone_after_the_plan_was_read(self, machine: Any, tmp_path: Path) -> None:
        """A chunk that is not there has been taken in only where the plan still is."""
        order(machine)
        (tmp_path / "depot").rename(tmp_path / "elsewhere")

        assert ("refused", 1) == (order(machine, 2), len(machine.said) - 1)
        assert "does not hold run run here" in self.trouble(machine)

    def test_the_run_is_over(self, machine: Any, tmp_path: Path) -> None:
        """Then its plan is nowhere, and nobody hears of that."""
        FolderDepot(tmp_path / "depot").delete([plan_name("run")])
        machine._beat()
        machine.board.lead = None

        assert ("stale", []) == (order(machine), machine.said)

    def test_another_run_leads(self, machine: Any, tmp_path: Path) -> None:
        """What hindered one run does not hinder the next."""
        (tmp_path / "depot").rename(tmp_path / "elsewhere")
        order(machine)
        machine.board.lead = Lead("next", str(tmp_path / "elsewhere"), "crawl")
        machine._beat()

        assert "" == self.trouble(machine)

    def test_the_store_takes_nothing(self, machine: Any, tmp_path: Path) -> None:
        """Who can read it and not write to it fetches nothing, and goes on when it can."""
        trials = tmp_path / "depot" / "runs" / "run" / "machines"
        trials.write_bytes(b"where a folder should be")

        assert "refused" == order(machine)
        assert [self.trouble(machine)] == machine.said
        assert str(tmp_path) in machine.said[0]
        assert not self.over(machine)
        trials.unlink()
        assert self.over(machine)
        assert "done" == order(machine)

    def test_the_store_takes_nothing_any_more(self, machine: Any) -> None:
        """What is in hand is handed back when that has lasted for a while, not before; then nothing more is begun."""
        order(machine)
        machine._shift.end = lambda *, at_once: machine.ended.append(at_once)
        machine._shift.hitch, machine._shift.hitched_s = "The store is read-only.", HITCH_S - 1
        machine._tick()
        machine._shift.hitched_s = HITCH_S + 1
        machine.board.lead, lead = None, machine.board.lead  # whom the store is away for, too
        machine._tick()
        assert [] == machine.ended
        machine.board.lead = lead
        machine._tick()

        assert [True] == machine.ended
        assert "stale" == order(machine, 2)
        assert "The store is read-only." == self.trouble(machine)
        assert self.over(machine)
        assert "done" == order(machine, 2, term=2)

    def test_what_cannot_be_read(self, machine: Any, tmp_path: Path) -> None:
        """A plan or a chunk of another version is refused, not ordered for ever."""
        depot = FolderDepot(tmp_path / "depot")
        depot.put(chunk_name("run", 1), b"half")
        assert "refused" == order(machine)
        machine._shift = None
        depot.put(plan_name("run"), msgspec.msgpack.encode({"config": {"procs": "many"}}))
        assert "refused" == order(machine)

        assert [True, True] == ["of another version of this program" in text for text in machine.said[-2:]]

    def test_an_order_of_another_version(self, machine: Any) -> None:
        """It is refused like what cannot be done; one that can be read is done beside it."""
        machine._beat()
        assert "refused" == machine.hear({"run": "run", "chunks": [1]})
        assert self.trouble(machine).startswith("An order is of another version of this program")
        assert self.over(machine)
        assert "done" == machine.hear(msgspec.to_builtins(Order("run", 1, 0, 5, machine.id, 1)))

    def test_an_engine_that_is_not_installed(self, machine: Any, tmp_path: Path) -> None:
        """The plan is one that this machine cannot follow; it says which engine, and how to install it."""
        plan = msgspec.to_builtins(Plan(CrawlConfig(), "row", 5)) | {"config": {"engine": "steam"}}
        FolderDepot(tmp_path / "depot").put(plan_name("run"), msgspec.msgpack.encode(plan))

        assert "refused" == order(machine)
        assert self.trouble(machine).startswith("There is no engine 'steam'")


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
