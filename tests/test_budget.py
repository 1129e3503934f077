"""What the bodies of a worker hold in memory, and the file that takes the rest."""

from __future__ import annotations

import base64
import dataclasses
import errno
import gzip
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Origin
from hypothesis import given
from hypothesis import strategies as st
from origin import body_bytes
from scripted import World, answer, state

from crawler.body import Body, Verdict
from crawler.budget import BLOCK_BYTES, MEMORY_BYTES, Budget, Buffer
from crawler.config import CrawlConfig
from crawler.executors.base import Settled
from crawler.executors.processes import ProcessExecutor
from crawler.fates import Fate
from crawler.frontier import Frontier
from crawler.records import Chunk, Keep
from crawler.throttle import Throttle
from crawler.wire import Settings

SIZE = 10_000_000
COUNT = 40
PACKED = gzip.compress(b"the same again and again " * 1000)


def filled(budget: Budget, pieces: list[bytes]) -> Buffer:
    buffer = Buffer(budget)
    for piece in pieces:
        buffer.add(piece)
    return buffer


def body_of(budget: Budget, data: bytes, **rest: object) -> Body:
    body = Body(max_bytes=2**24, budget=budget, **rest)  # type: ignore[arg-type]
    body.head(200, "OK", "1.1", ())
    body.feed(data)
    return body


def disk_bytes(budget: Budget) -> int:
    descriptor = budget._spool._descriptor
    return 0 if descriptor is None else os.fstat(descriptor).st_size


@given(
    bodies=st.lists(st.lists(st.integers(0, 3 * BLOCK_BYTES), max_size=6), max_size=5),
    most=st.integers(0, 8 * BLOCK_BYTES),
)
def test_what_comes_is_what_there_is(bodies: list[list[int]], most: int) -> None:
    """Whatever a budget allows and however bodies alternate: each is whole, and the budget holds what it says."""
    budget = Budget(most)
    pieces = [[os.urandom(size) for size in sizes] for sizes in bodies]
    buffers = [Buffer(budget) for _ in pieces]
    for turn in range(6):
        for buffer, parts in zip(buffers, pieces, strict=True):
            if turn < len(parts):
                buffer.add(parts[turn])

    assert [b"".join(parts) for parts in pieces] == [buffer.value() for buffer in buffers]
    assert budget.held_bytes <= most
    total = sum(len(part) for parts in pieces for part in parts)
    assert total - budget.held_bytes - budget.spooled_bytes <= len(bodies) * BLOCK_BYTES  # what is less than a block
    buffers.clear()
    buffer = Buffer(budget)
    assert (0, 0) == (budget.held_bytes, disk_bytes(budget))


def test_what_fits_stays_in_memory() -> None:
    """Up to the last byte of the budget there is no file."""
    budget = Budget(100_000)
    first, second = filled(budget, [b"a" * 60_000]), filled(budget, [b"b" * 40_000])

    assert (100_000, 0) == (budget.held_bytes, budget.spooled_bytes)
    assert (b"a" * 60_000, b"b" * 40_000) == (first.value(), second.value())


def test_room_is_used_again() -> None:
    """What one body gives back another one takes; the file is as long as what was in it at once, at most."""
    budget = Budget(0)
    for _ in range(5):
        first, second = filled(budget, [bytes(4 * BLOCK_BYTES)]), filled(budget, [bytes(4 * BLOCK_BYTES)])
        assert 8 * BLOCK_BYTES == disk_bytes(budget)
        del first
        third = filled(budget, [os.urandom(4 * BLOCK_BYTES)])
        assert 8 * BLOCK_BYTES == disk_bytes(budget)
        del second, third

    assert (0, 60 * BLOCK_BYTES) == (disk_bytes(budget), budget.spooled_bytes)


def test_threads_share_a_budget() -> None:
    """Bodies that come and go in many threads at once get their own bytes, and leave nothing behind."""
    budget, wrong = Budget(20 * BLOCK_BYTES), []

    def work(number: int) -> None:
        for turn in range(50):
            pieces = [bytes([number, turn]) * BLOCK_BYTES] * 3
            if filled(budget, pieces).value() != b"".join(pieces):
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ([], 0, 0) == (wrong, budget.held_bytes, disk_bytes(budget))


def test_the_file_has_no_name(tmp_path: Path) -> None:
    """Whatever ends the worker, nothing is left behind in the folder."""
    budget = Budget(0, str(tmp_path))
    buffer = filled(budget, [bytes(BLOCK_BYTES)])

    assert [] == list(tmp_path.iterdir())
    assert bytes(BLOCK_BYTES) == buffer.value()
    assert str(tmp_path) in str(Path(f"/proc/self/fd/{budget._spool._descriptor}").readlink())


@pytest.mark.parametrize("coding", [(), (("Content-Encoding", "gzip"),)])
def test_both_forms_count(coding: tuple[tuple[str, str], ...]) -> None:
    """The payload and, where it is kept, the decoded body; nothing is held when the body is gone."""
    budget = Budget()
    body = Body(max_bytes=2**24, keep_decoded=True, budget=budget)
    body.head(200, "OK", "1.1", coding)
    body.feed(PACKED)
    forms = {body.payload, body.decoded}

    assert sum(map(len, forms)) == budget.held_bytes
    del body
    assert 0 == budget.held_bytes


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets so many blocks through, then says that the disk is full."""

    def make(blocks: int) -> None:
        write, left = os.pwrite, iter(range(blocks))

        def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(descriptor, data, offset)

        monkeypatch.setattr(os, "pwrite", pwrite)

    return make


def test_a_full_disk_is_a_limit_of_this_machine(full_disk: Callable[[int], None], tmp_path: Path) -> None:
    """The body ends with what fitted, digests and all, as `local`; the sentence names folder and limit."""
    full_disk(4)
    budget = Budget(0, str(tmp_path))
    body = body_of(budget, b"a" * 3 * BLOCK_BYTES)
    verdict = body.feed(b"b" * 3 * BLOCK_BYTES)

    assert (Verdict.STOP, "local", "disconnect") == (verdict, body.problem, body.truncated)
    assert f"no room for bodies in {tmp_path} (No space left on device)" == body.problem_text
    assert b"a" * 3 * BLOCK_BYTES == body.payload
    assert body_of(Budget(), body.payload).digest == body.digest
    del body
    assert 0 == disk_bytes(budget)


def test_a_folder_that_cannot_be_written_is_one_too(tmp_path: Path) -> None:
    """Nor is it a crash where there is no file to be had."""
    body = body_of(Budget(0, str(tmp_path / "gone")), bytes(BLOCK_BYTES))

    assert ("local", 0) == (body.problem, body.bytes_wire)


def test_a_page_that_no_disk_takes_is_nobodys_failure(tmp_path: Path) -> None:
    """It is tried again until there is room; where there never is, its row says `local`, and the limit."""
    world = World({"http://a.com/": [answer(200, (), bytes(BLOCK_BYTES))]})
    gone = tmp_path / "gone"
    rules = dataclasses.replace(world.rules(), budget=Budget(0, str(gone)))
    frontier = Frontier(rules, lambda host: None, Throttle(4))
    frontier.add([state("http://a.com/")])
    (fate,) = world.drain(frontier)

    assert isinstance(fate, Fate)
    assert ("failed", "local", 9) == (fate.outcome, fate.error_class, fate.attempts)
    assert f"no room for bodies in {gone} (No such file or directory)" == fate.error


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize(
    ("engine", "keep"),
    [
        ("curl", "page"),
        ("curl", "archive"),
        ("asyncio", "page"),
        ("asyncio", "archive"),
        ("threads", "page"),
        ("gevent", "page"),
    ],
)
def test_bodies_that_nobody_takes_yet(origin: Origin, engine: str, keep: Keep, tmp_path: Path) -> None:
    """All of them came whole before the parent read a byte: the worker holds its budget and one that it sends."""
    config = CrawlConfig(robots=False, per_host=0, conc=COUNT, allow_private=True, engine=engine)
    executor = ProcessExecutor(1, Settings(config, 0, 0, keep, spool=os.fsencode(tmp_path)))
    targets = [f"/bytes/{SIZE}?{engine}-{keep}-{n}" for n in range(COUNT)]
    body, before, digests = body_bytes(SIZE), origin.stats()["requests"], []
    try:
        executor.send(0, Chunk(1, tuple(state(origin.url(target), n) for n, target in enumerate(targets, 1))))
        while (stats := origin.stats())["requests"] - before < COUNT or stats["in_flight"]:
            pass
        while len(digests) < COUNT:
            events = [event for event in executor.events(30) if isinstance(event, Settled)]
            settled = [result for event in events for result in event.results]
            digests += [result.row.digest for result in settled]
            assert all(keep == "archive" or body == result.payload for result in settled)
        (pid,) = (line.child._process.pid for line in executor._lines.values())  # type: ignore[attr-defined]
        peak = peak_bytes(pid)
    finally:
        executor.close()

    expected = base64.b32encode(hashlib.sha1(body).digest()).decode()
    assert COUNT * [f"sha1:{expected}"] == digests
    assert peak < MEMORY_BYTES + 20 * SIZE < COUNT * SIZE
