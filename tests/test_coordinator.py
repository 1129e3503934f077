"""The coordinator's side of many machines, at a real broker: what it hears of them, and what it leaves there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import until
from fleet import Redis, running_redis
from scripted import state

from crawler.config import CrawlConfig
from crawler.depot import open_depot
from crawler.errors import ConfigError, StoreError
from crawler.executors import celery
from crawler.executors.base import Died, ExecutorEvent, Refused, Replaced, Said
from crawler.executors.celery import CeleryExecutor
from crawler.fleet.board import BEATS, LEAD, SPOKE, Board
from crawler.fleet.broker import Broker, connect
from crawler.fleet.words import Beat, Lead, Notice, chunk_name
from crawler.records import Chunk


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as redis:
        yield redis


@pytest.fixture
def board(redis: Redis) -> Board:
    return Board(connect(Broker(redis.url)))


@pytest.fixture
def executor(redis: Redis, tmp_path: Path) -> Iterator[CeleryExecutor]:
    """A coordinator with two shards."""
    depot = open_depot(str(tmp_path / "store"))
    with contextlib.closing(
        CeleryExecutor(Broker(redis.url), depot, CrawlConfig(), "archive", "coordinator", shards=2)
    ) as executor:
        yield executor


def beat(machine: str, count: int, run: str, **fields: Any) -> Beat:
    known: dict[str, Any] = {"term": 1, "chunks": (), "chunks_most": 8, "entries": 1_000} | fields
    return Beat(machine=machine, host=f"{machine}:1", count=count, run=run, **known)


def heard(executor: CeleryExecutor) -> list[ExecutorEvent]:
    """What it hears next."""
    events: list[ExecutorEvent] = []
    while not events:
        events = executor.events(None)
    return events


def begin(executor: CeleryExecutor, board: Board, *chunks: tuple[int, Chunk]) -> None:
    """A machine comes, gets these chunks, each of its shard, and says that it has begun them."""
    board.beat(beat("one", 1, ""))
    while not executor.credit(1):
        executor.events(None)
    for shard, chunk in chunks:
        executor.send(shard, chunk)
        until(lambda chunk=chunk: executor._depot.get(chunk_name(executor.run, chunk.id)) is not None)  # type: ignore[misc]
        board.notify(executor.run, Notice("begun", chunk.id))


def test_workers_that_died_on_machines_are_counted_once(executor: CeleryExecutor, board: Board) -> None:
    """A machine says how many there were in its term; what is news is an event, and another run's are none."""

    def say(count: int, deaths: int, cause: str) -> list[ExecutorEvent]:
        board.beat(beat("other", count, "another run", deaths=9, last_death="was ended by SIGSEGV"))
        board.beat(beat("one", count, executor.run, deaths=deaths, last_death=cause))
        return heard(executor)

    assert [Replaced(2, "on one:1 was ended by SIGKILL")] == say(1, 2, "was ended by SIGKILL")
    board.beat(beat("one", 2, executor.run, deaths=1))  # from before Redis was set back
    executor.events(None)
    assert [Replaced(1, "on one:1 was ended by SIGSEGV")] == say(3, 3, "was ended by SIGSEGV")


class TestHandedBack:
    """A machine has two chunks of a shard in hand, and gives them back."""

    @pytest.fixture
    def chunks(self, executor: CeleryExecutor, board: Board) -> list[Chunk]:
        chunks = [Chunk(n, tuple(state(seq=10 * n + m) for m in range(3))) for n in (1, 2)]
        begin(executor, board, (1, chunks[0]), (1, chunks[1]))
        while any(out.states is not None for out in executor._outs.values()):
            executor.events(None)
        return chunks

    def test_they_come_back_together(self, executor: CeleryExecutor, board: Board, chunks: list[Chunk]) -> None:
        """What the machine has read is kept in the store alone; from there it comes back, a shard's all at once."""
        board.beat(beat("one", 2, executor.run, term=2))
        (back,) = heard(executor)

        assert isinstance(back, Refused)
        assert [state for chunk in chunks for state in chunk.states] == sorted(back.states, key=lambda state: state.seq)
        assert {} == executor._outs

    @pytest.mark.parametrize("left", [None, b"half"])
    def test_the_store_has_lost_one(
        self, executor: CeleryExecutor, board: Board, chunks: list[Chunk], left: bytes | None
    ) -> None:
        """That ends the run with a sentence; what is recorded is not concerned."""
        name = chunk_name(executor.run, chunks[1].id)
        executor._depot.delete([name])
        if left is not None:
            executor._depot.put(name, left)
        board.beat(beat("one", 2, executor.run, term=2))
        with pytest.raises(StoreError, match="has lost a chunk that is not done"):
            heard(executor)


def test_a_machine_dies_once(executor: CeleryExecutor, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one death, however many shards it had; what it had begun is suspected, in each shard by itself."""
    monkeypatch.setattr(celery, "_DEAD_S", 3.0)
    begin(executor, board, *((shard, Chunk(1 + shard, (state(seq=shard),))) for shard in (0, 1)))
    events: list[ExecutorEvent] = []
    while len(events) < 3:
        events += executor.events(None)

    replaced, *died = events
    assert isinstance(replaced, Replaced)
    assert replaced.cause.startswith("on one:1 was not heard of for ")
    # Their entries are read in the store again side by side, and whichever is there first goes back first.
    expected = [Died(shard, replaced.cause, (state(seq=shard),), (), counts=0) for shard in (0, 1)]
    assert (1, expected) == (replaced.deaths, sorted(died, key=lambda event: event.worker))


def test_a_machine_with_trouble_begins_nothing(executor: CeleryExecutor, board: Board) -> None:
    """People hear of it once; what it was ordered comes back, and is another's before its lease could have rested."""
    chunk = Chunk(1, (state(seq=1), state(seq=2)))
    board.beat(beat("one", 1, ""))
    while not executor.credit(1):
        executor.events(None)
    executor.send(1, chunk)
    board.beat(beat("one", 50, "", trouble="The store is not there."))
    events = [*heard(executor), *heard(executor)]
    board.beat(beat("two", 1, ""))
    while not executor.credit(1):
        board.beat(beat("one", 51 + executor._roster.seats["one"].beat.count, "", trouble="The store is not there."))
        assert [] == executor.events(None)
    executor.send(1, Chunk(2, chunk.states))

    assert [Said("Machine one:1: The store is not there."), Refused(1, "on one:1 did not begin it", chunk.states)] == (
        events
    )
    assert ["two"] == [out.machine for out in executor._outs.values()]


def test_what_is_of_another_version_is_left_out(executor: CeleryExecutor, redis: Redis) -> None:
    """A machine that says it in another way gets nothing, and people hear of it; a coordinator's lead is respected."""
    client = redis.client()
    client.hset(BEATS, "old", '{"machine": "old"}')
    client.zadd(SPOKE, {"old": client.time()[0]})
    client.rpush(f"crawler:notices:{executor.run}", "{}")
    said: list[str] = []
    while not said:
        said += [event.text for event in executor.events(None) if isinstance(event, Said)]

    another = "It is of another version of this program; install the same one on all machines."
    assert [f"Machine old: {another}"] == said
    assert "1 machine is there, it cannot work, as was said" == executor.hindrance
    assert 0 == executor.credit(0)
    client.set(LEAD, '{"led": "otherwise"}')
    with pytest.raises(ConfigError, match="Whoever leads on this broker is of another version"):
        Board(client).lead(Lead("a", "b", "c"))


def test_a_machine_of_another_version_that_goes_on_is_there(redis: Redis, board: Board) -> None:
    """Each of its words is another, so that it is not taken for dead; and its name may be any bytes."""
    client = redis.client()
    client.hset(BEATS, b"\xff", "old")
    client.rpush(b"crawler.\xfe", "an order")
    counts = []
    for at_s in (100, 102, 102):
        client.zadd(SPOKE, {b"\xff": at_s})
        board.sweep()
        counts += [beat.count for beat, _ in board.beats()]

    assert [100, 102, 102] == counts


def test_a_broker_that_refuses_meanwhile(executor: CeleryExecutor, redis: Redis) -> None:
    """People hear once why nothing comes, however often it is asked; and once that it is back."""
    client = redis.client()

    def refused() -> int:
        return int(client.info("commandstats").get("cmdstat_eval", {}).get("rejected_calls", 0))

    client.execute_command("ACL", "SETUSER", "default", "-eval")
    until(lambda: refused() >= 2)
    client.execute_command("ACL", "SETUSER", "default", "+eval")
    why = "this user has no permissions to run the 'eval' command (NoPermissionError)"

    assert [[Said(f"The broker does not answer: {why}.")], [Said("The broker is back.")]] == [
        heard(executor),
        heard(executor),
    ]


def test_what_came_back_to_a_machine_that_is_gone(redis: Redis, board: Board) -> None:
    """Redis gives back what it had not acknowledged, also after everybody forgot it: who leads next deletes it."""
    client = redis.client()
    board.beat(beat("here", 1, ""))
    for machine in ("here", "gone"):
        client.rpush(f"crawler.{machine}", "an order")
        client.sadd(f"_kombu.binding.crawler.{machine}", "a binding")
    client.sadd("crawler.other", "no queue")
    board.sweep()

    left = [b"_kombu.binding.crawler.here", b"crawler.here", b"crawler.other", b"crawler:beats", b"crawler:spoke"]
    assert left == sorted(client.keys("*"))  # type: ignore[arg-type, type-var]  # of a client that waits
