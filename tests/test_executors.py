"""The contract of all executors: chunks in, fates out, and nobody left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ADDRESSES, Origin
from fleet import running_machine, running_redis
from scripted import state

from crawler.chunks import home_of
from crawler.config import CrawlConfig
from crawler.depot import open_depot
from crawler.errors import WorkerError
from crawler.executors import pipes
from crawler.executors.base import Died, Executor, ExecutorEvent, Moved, Refused, Replaced, Settled
from crawler.executors.celery import CeleryExecutor
from crawler.executors.child import two_pipes
from crawler.executors.inline import InlineExecutor
from crawler.executors.pipes import SILENCE_S, Child, PipeExecutor
from crawler.executors.processes import ProcessExecutor, make_executor
from crawler.executors.spare import Spare
from crawler.fleet.broker import Broker
from crawler.pipeline import Pipeline
from crawler.records import Chunk
from crawler.sources.iterable import IterableSource
from crawler.wire import Kind, Settings, frame, read_first
from crawler.worker import serve

Make = Callable[..., Executor]
CONFIG = CrawlConfig(procs=2, conc=8, allow_private=True, engine="asyncio")


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def descriptors() -> set[tuple[str, int]]:
    """The pipes and shared memories that are open here, each with the inode that is its own.

    Not by number, and nothing else: threads of other tests may still be closing theirs, or talk to the origin.
    """
    found: set[tuple[str, int]] = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            found.add((str(entry.readlink()), entry.stat().st_ino))
    return {(name, inode) for name, inode in found if name.startswith(("pipe:", "/memfd:"))}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker, and one machine that works for whoever leads there."""
    folder = tmp_path_factory.mktemp("broker")
    with running_redis(folder) as redis, running_machine(redis.url, folder):
        yield redis.url


@pytest.fixture(params=["processes", "inline", "celery"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[Executor] = []

    def build(workers: int = 2, homes: int = 0, config: CrawlConfig = CONFIG) -> Executor:
        settings = Settings(config, 0, homes, "archive", tuple(sys.path))
        if request.param == "processes":
            made.append(ProcessExecutor(workers, settings))
        elif request.param == "inline":
            made.append(InlineExecutor(workers, settings, serve))
        else:
            broker, depot = Broker(request.getfixturevalue("broker")), open_depot(str(tmp_path / f"{len(made)}"))
            made.append(CeleryExecutor(broker, depot, config, "archive", "contract", shards=workers, homes=homes))
        return made[-1]

    if request.param == "celery":
        request.getfixturevalue("broker")

    yield build
    for executor in made:
        executor.close()


def collect(executor: Executor, count: int) -> list[ExecutorEvent]:
    """Events of so many entries, each of one; what is refused is sent again, as a crew would."""
    events: list[ExecutorEvent] = []
    while len(events) < count:
        for event in executor.events(30):
            if isinstance(event, Settled):
                events += [Settled(event.worker, [result]) for result in event.results]
            elif isinstance(event, Refused):
                executor.send(event.worker, Chunk(99, event.states))
            elif not isinstance(event, Replaced):
                events.append(event)
    return events


def test_every_entry_of_a_chunk_comes_back_once(make: Make, origin: Origin) -> None:
    """As many fates as entries, from the worker that had them."""
    executor = make()
    for worker in range(2):
        states = (state(origin.url(f"/bytes/{n}"), worker * 10 + n) for n in range(5))
        executor.send(worker, Chunk(worker + 1, tuple(states)))
    events = collect(executor, 10)

    assert {(w, w * 10 + n, n) for w in range(2) for n in range(5)} == {
        (event.worker, result.row.seq, result.row.bytes_body)
        for event in events
        if isinstance(event, Settled)
        for result in event.results
    }


def test_workers_start_when_their_first_chunk_arrives(make: Make, origin: Origin) -> None:
    """A place that is never used costs nothing, and counts as having one credit."""
    executor = make(workers=8)
    before = executor.started
    executor.send(3, Chunk(1, (state(origin.url("/bytes/1")),)))
    collect(executor, 1)

    assert (0, 1) == (before, executor.started)
    assert [1] * 7 == [executor.credit(worker) for worker in range(8) if worker != 3]


def test_credit_is_asked_for_again(make: Make, origin: Origin) -> None:
    """A chunk takes a credit; a worker that has little left to do gives a new one."""
    executor = make()
    executor.send(0, Chunk(1, (state(origin.url("/bytes/1")),)))
    assert 0 == executor.credit(0)
    while not executor.credit(0):
        executor.events(30)
    assert 1 == executor.credit(0)


def test_a_redirect_to_another_workers_host_comes_back(make: Make, origin: Origin) -> None:
    """Where hosts have homes, a worker hands over what leads to another's, and its home goes on from there."""
    here, there = next((a, b) for a in ADDRESSES for b in ADDRESSES if home_of(a, 5) != home_of(b, 5))
    executor = make(workers=5, homes=5)
    target = origin.url("/bytes/3", host=there)
    executor.send(home_of(here, 5), Chunk(1, (state(origin.url(f"/redirect-to?url={target}&status=302", host=here)),)))
    (moved,) = collect(executor, 1)

    assert isinstance(moved, Moved)
    assert (target, 1) == (moved.state.target, len(moved.state.hops))
    executor.send(home_of(there, 5), Chunk(2, (moved.state,)))
    (settled,) = collect(executor, 1)
    assert isinstance(settled, Settled)
    assert [(target, 200)] == [(result.row.final_url, result.row.status) for result in settled.results]


def test_a_chunk_larger_than_the_pipe_does_not_block(make: Make, origin: Origin) -> None:
    """What the pipe does not take waits in the parent, which goes on hearing results."""
    executor = make(workers=1)
    states = tuple(state(origin.url("/bytes/1"), n, body=b"x" * 4096) for n in range(400))
    executor.send(0, Chunk(1, states))

    settled = [event for event in collect(executor, 400) if isinstance(event, Settled)]
    assert set(range(400)) == {result.row.seq for event in settled for result in event.results}


def test_wake_ends_a_wait(make: Make) -> None:
    """Another thread can make a waiting `events` return; it has nothing to say then."""
    executor = make()
    threading.Thread(target=executor.wake).start()

    assert [] == executor.events(30)


def test_close_leaves_nobody(make: Make, origin: Origin) -> None:
    """Idle or busy, with a page that never comes: after close there is no child and no thread."""
    before, threads = children(), threading.active_count()
    executor = make()
    executor.send(0, Chunk(1, (state(origin.url("/bytes/1")),)))
    collect(executor, 1)
    executor.send(1, Chunk(2, (state(origin.url("/hold/executors-close")),)))
    executor.close()
    executor.close()
    origin.release("executors-close")

    assert before == children()
    assert threads >= threading.active_count()


def test_a_dead_worker_is_noticed_at_once(origin: Origin) -> None:
    """Its pipe says so: no waiting, what it was doing and what it only held are told apart, and nobody is left."""
    executor = ProcessExecutor(1, Settings(CrawlConfig(procs=1, conc=2, per_host=0, allow_private=True), 0, 0, "page"))
    before = children()
    executor.send(0, Chunk(1, tuple(state(origin.url(f"/hold/executors-kill?{n}"), n) for n in range(1, 6))))
    (worker,) = children() - before
    while sum(origin.hits(f"/hold/executors-kill?{n}") for n in range(1, 6)) < 2:
        pass
    os.kill(worker, signal.SIGKILL)
    (died,) = [event for event in collect(executor, 1) if isinstance(event, Died)]
    origin.release("executors-kill")

    assert ("was ended by SIGKILL (perhaps the system is out of memory)", {1, 2}, {3, 4, 5}) == (
        died.cause,
        {suspect.seq for suspect in died.suspects},
        {other.seq for other in died.others},
    )
    assert before == children()
    executor.close()


def test_a_place_whose_worker_died_is_used_again(origin: Origin) -> None:
    """After a rest a fresh worker takes its place."""
    executor = ProcessExecutor(1, Settings(CONFIG, 0, 0, "page"))
    before = children()
    executor.send(0, Chunk(1, (state(origin.url("/hold/executors-again")),)))
    (worker,) = children() - before
    os.kill(worker, signal.SIGKILL)
    collect(executor, 1)
    while not executor.credit(0):
        executor.events(0.01)
    executor.send(0, Chunk(2, (state(origin.url("/bytes/7")),)))
    (settled,) = [event for event in collect(executor, 1) if isinstance(event, Settled)]
    executor.close()

    assert [7] == [len(result.payload) for result in settled.results]


def test_workers_that_cannot_start_end_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where workers die of nothing that they do, starting them again leads nowhere: one sentence says so."""
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(7)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    executor = ProcessExecutor(1, Settings(CONFIG, 0, 0, "page"))
    entry = state("http://127.0.0.1:9/")

    def until_it_gives_up() -> None:
        while True:
            if executor.credit(0):
                executor.send(0, Chunk(1, (entry,)))
            executor.events(0.01)

    with pytest.raises(WorkerError, match=r"^Worker 0 ended with exit status 7, 5 times in a row .* to go on\.$"):
        until_it_gives_up()
    executor.close()


def test_a_worker_whose_parent_is_gone_ends() -> None:
    """The end of its input is the end of its parent: it leaves by itself, at once, with whatever it holds."""
    before = children()
    executor = ProcessExecutor(1, Settings(CONFIG, 0, 0, "page"))
    executor.send(0, Chunk(1, (state("http://127.0.0.1:9/"),)))
    (worker,) = children() - before
    line = executor._lines[0]
    os.close(line.write_fd)
    line.write_fd = -1

    assert (worker, 0) == os.waitpid(worker, 0)
    executor.close()


def test_a_worker_that_dies_while_it_is_written_to() -> None:
    """Both its pipes may say so at once, in any order: it is lost once, and nothing is written to it any more."""
    dying, dead = threading.Event(), threading.Event()

    def die(read_fd: int, write_fd: int) -> None:
        read_first(read_fd)
        os.write(write_fd, b"".join(frame(Kind.CREDIT)))
        dying.wait()
        os.close(read_fd)
        os.close(write_fd)
        dead.set()

    executor = InlineExecutor(1, Settings(CONFIG, 0, 0, "row"), die)
    executor.send(0, Chunk(1, tuple(state(f"http://a/{n}", n, body=b"x" * 10_000) for n in range(300))))
    assert [] == executor.events(30)
    dying.set()
    dead.wait()
    while not (events := executor.events(30)):
        pass  # what it said before, and that its pipe has room, are no events
    executor.close()
    (died,) = events

    assert isinstance(died, Died)
    assert 300 == len(died.others)


def test_a_worker_that_leaves_unasked_is_lost() -> None:
    """It may say goodbye: nobody had told it to go, and somebody else must do what it has."""

    def leave(read_fd: int, write_fd: int) -> None:
        read_first(read_fd)
        os.write(write_fd, b"".join(frame(Kind.BYE)))
        os.close(read_fd)
        os.close(write_fd)

    executor = InlineExecutor(1, Settings(CONFIG, 0, 0, "row"), leave)
    entry = state("http://a/")
    executor.send(0, Chunk(1, (entry,)))
    while not (events := executor.events(30)):
        pass
    executor.close()
    (died,) = events

    assert isinstance(died, Died)
    assert (entry,) == died.others


@pytest.mark.parametrize("count", [1, 2, 3])
def test_our_descriptors_are_no_standard_streams(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a program was started without them, their numbers are the next to be given; a child has its own there."""
    low = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    monkeypatch.setattr("crawler.descriptors._STANDARD", max(low))
    for descriptor in low:
        os.close(descriptor)
    ends = two_pipes()
    try:
        assert min(ends) > max(low)
        os.write(ends[1], b"a")
        os.write(ends[3], b"b")
        assert b"ab" == os.read(ends[0], 2) + os.read(ends[2], 2)
    finally:
        for end in ends:
            os.close(end)


def test_a_worker_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of the system is said in a sentence, and no descriptor is left open."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    executor = ProcessExecutor(1, Settings(CONFIG, 0, 0, "row"))
    before = descriptors()
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(WorkerError, match="Worker 0 cannot be started: Resource temporarily unavailable"):
        executor.send(0, Chunk(1, (state("http://a/"),)))

    assert descriptors() <= before
    executor.close()


def test_the_grace_is_one_for_all() -> None:
    """However many workers hang, closing waits for them side by side."""
    graces: list[float] = []

    class Hanging(InlineExecutor):
        def _start_child(self, worker: int, read_fd: int, write_fd: int) -> Child:
            child = super()._start_child(worker, read_fd, write_fd)
            real = child.end

            def end(within_s: float) -> None:
                graces.append(within_s)
                real(within_s)

            child.end = end  # type: ignore[method-assign]
            return child

    executor = Hanging(3, Settings(CONFIG, 0, 0, "row"), serve)
    for worker in range(3):
        executor.send(worker, Chunk(worker + 1, (state("http://127.0.0.1:9/"),)))
    executor.close()

    assert sorted(graces, reverse=True) == graces
    assert graces[0] > graces[2]


def held_worker(executor: PipeExecutor, origin: Origin, key: str, entries: int) -> int:
    """Start a worker that is stuck with a site: its process, once the last of so many requests has arrived."""
    before = children()
    targets = [f"/hold/{key}?{n}" for n in range(1, entries + 1)]
    executor.send(0, Chunk(1, tuple(state(origin.url(target), n) for n, target in enumerate(targets, 1))))
    while sum(map(origin.hits, targets)) < entries:
        executor.events(0)
    (worker,) = children() - before
    return worker


def test_a_worker_that_stops_answering_is_ended(origin: Origin) -> None:
    """It lives, and its pipe is open, but nothing comes of it: that is a death like any other, and nobody is left."""
    executor = ProcessExecutor(1, Settings(CONFIG, 0, 0, "page"))
    before = children()
    os.kill(held_worker(executor, origin, "executors-silent", 2), signal.SIGSTOP)
    executor.silence_s = 0.5
    (died,) = collect(executor, 1)
    origin.release("executors-silent")

    assert isinstance(died, Died)
    assert ("stopped answering for 0.5 s", {1, 2}, ()) == (
        died.cause, {suspect.seq for suspect in died.suspects}, died.others
    )  # fmt: skip
    assert before == children()
    executor.close()


def test_a_stopped_worker_costs_nothing(origin: Origin) -> None:
    """Whoever waits without a time limit hears of it, too; then another fetches what it had in flight."""
    config = dataclasses.replace(CONFIG, procs=1)
    executor, key = ProcessExecutor(1, Settings(config, 0, 0, "page")), "executors-stopped"
    targets = [f"/hold/{key}?{n}" for n in range(4)]
    pipeline = Pipeline(IterableSource(map(origin.url, targets)), executor, config, b"key")
    running, before, rows = pipeline.run(), children(), []
    try:
        while sum(map(origin.hits, targets)) < 4:
            rows += next(running)
        (worker,) = children() - before
        os.kill(worker, signal.SIGSTOP)
        executor.silence_s = 0.5
        while not pipeline.crew.deaths:
            rows += next(running)
        executor.silence_s = SILENCE_S
        origin.release(key)
        rows += [result for batch in running for result in batch]
    finally:
        executor.close()

    assert [(n, "fetched") for n in range(1, 5)] == sorted((result.row.seq, result.row.outcome) for result in rows)


def test_only_time_in_which_it_was_listened_to_counts(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that is busy for minutes, a job that was stopped (Ctrl-Z), a laptop that slept: no worker dies."""
    executor = ProcessExecutor(1, Settings(CONFIG, 0, 0, "page"))
    worker = held_worker(executor, origin, "executors-busy", 1)
    now = time.monotonic()
    monkeypatch.setattr(pipes, "time", SimpleNamespace(monotonic=lambda: now))
    os.kill(worker, signal.SIGSTOP)  # whatever it says, it was not heard meanwhile
    for _ in range(int(SILENCE_S / 2)):
        now += 300
        assert [] == executor.events(0)
    os.kill(worker, signal.SIGCONT)
    status = executor.statuses()[0]
    while status == executor.statuses()[0]:
        assert [] == executor.events(30)
    for _ in range(int(SILENCE_S / 2)):
        now += 300
        assert [] == executor.events(0)
    origin.release("executors-busy")
    (settled,) = collect(executor, 1)
    executor.close()

    assert isinstance(settled, Settled)


def test_a_stuck_worker_does_not_survive_close(origin: Origin) -> None:
    """One that hears neither the end of its pipe nor anything else is killed, within the one grace for all."""
    before = children()
    executor = ProcessExecutor(1, Settings(CONFIG, 0, 0, "page"))
    os.kill(held_worker(executor, origin, "executors-stuck", 1), signal.SIGSTOP)
    executor.close()
    origin.release("executors-stuck")

    assert before == children()


def test_too_few_descriptors_for_another_worker(origin: Origin) -> None:
    """Its entries come back and its place rests, as long as another works; and no descriptor is left open.

    Each pipe end, the record and what starting a process takes are refused in turn.
    """
    executor = ProcessExecutor(2, Settings(CONFIG, 0, 0, "row"))
    held_worker(executor, origin, "executors-few", 1)
    before = descriptors()
    entry = state("http://127.0.0.1:9/", 2)
    refused, rests = [], []
    for room in range(7):
        with descriptors_left(room):
            executor.send(1, Chunk(2, (entry,)))
            refused += executor.events(0)
            rests.append(executor.credit(1) == 0)
    after = descriptors()
    origin.release("executors-few")
    executor.close()

    assert [Refused(1, "cannot be started: Too many open files", (entry,))] * 7 == refused
    assert [True] * 7 == rests
    assert after <= before


def test_too_few_descriptors_for_the_only_worker() -> None:
    """Where nobody works nothing would change by waiting: one sentence names the limit."""
    executor = ProcessExecutor(1, Settings(CONFIG, 0, 0, "row"))
    with descriptors_left(1), pytest.raises(WorkerError) as caught:
        executor.send(0, Chunk(1, (state("http://a/"),)))
    executor.close()

    assert (
        "Worker 0 cannot be started: Too many open files; raise `ulimit -n`, or use fewer (--procs)."
        == str(caught.value)
    )  # fmt: skip


@contextlib.contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Room for so many more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    free = [number for number in range(max(taken) + count + 2) if number not in taken]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_path_that_is_no_text_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ignores what is no string in `sys.path`; it stops no crawl either."""
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/nowhere"), "/\udcff"])
    executor = make_executor(CONFIG, "row")
    executor.send(0, Chunk(1, ()))
    executor.close()


@pytest.mark.parametrize(("held", "timeout_s", "rests"), [(64, 30.0, [0.005]), (63, 30.0, []), (64, 0.0, [])])
def test_results_gather_where_many_are_to_come(
    held: int, timeout_s: float, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who crawls in bulk reads results by the dozen; who waits for a few gets each at once, and 0 never waits."""
    slept: list[float] = []

    class Mute(PipeExecutor):
        def _start_child(self, worker: int, read_fd: int, write_fd: int) -> Child:
            self.ends = read_fd, write_fd
            return SimpleNamespace(end=lambda within_s: None)

    monkeypatch.setattr(pipes, "time", SimpleNamespace(monotonic=lambda: 1.0, sleep=slept.append))
    executor = Mute(1, Settings(CONFIG, 0, 0, "row"))
    executor.send(0, Chunk(1, tuple(state("http://a/", n) for n in range(held))))
    executor.wake()
    executor.events(timeout_s)
    executor.close()
    for end in executor.ends:
        os.close(end)

    assert rests == slept


def test_the_spare_is_the_first_worker(origin: Origin) -> None:
    """Whichever place starts first takes it, once; it works as any other, and one that nobody took is ended."""
    spares = [Spare("threads", CONFIG.conc) for _ in range(2)]
    pids = [spare._made[0]._process.pid for spare in spares if spare._made is not None]
    config = CrawlConfig(procs=2, conc=CONFIG.conc, engine="threads", allow_private=True)
    executor = ProcessExecutor(2, Settings(config, 0, 0, "page"), spare=spares[0])
    executor.send(1, Chunk(1, (state(origin.url("/bytes/7")),)))
    executor.send(0, Chunk(2, (state(origin.url("/bytes/7"), 2),)))
    events = collect(executor, 2)
    lines = {line.worker: line.child._process.pid for line in executor._lines.values()}  # type: ignore[attr-defined]
    executor.close()
    spares[1].close()

    assert {1, 2} == {result.row.seq for event in events if isinstance(event, Settled) for result in event.results}
    assert (True, False) == (lines[1] == pids[0], lines[0] in pids)
    assert [False, False] == [Path(f"/proc/{pid}").exists() for pid in pids]
