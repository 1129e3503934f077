"""The mistakes of the recipes that people copy, each answered: the same laws under every engine."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Origin

import crawler
from crawler.chunks import needs_homes
from crawler.config import CrawlConfig
from crawler.executors.base import Settled
from crawler.executors.inline import InlineExecutor
from crawler.executors.processes import ProcessExecutor
from crawler.pipeline import Pipeline
from crawler.sources.iterable import IterableSource
from crawler.wire import Settings
from crawler.worker import serve

ENGINES = ("curl", "asyncio", "gevent", "threads", "serial")


@pytest.fixture(params=ENGINES)
def config(request: pytest.FixtureRequest) -> CrawlConfig:
    return CrawlConfig(procs=2, conc=32, engine=request.param, allow_private=True, chunk_size=100)


@pytest.fixture
def executor(config: CrawlConfig) -> Iterator[ProcessExecutor]:
    homes = config.procs if needs_homes(config) else 0
    executor = ProcessExecutor(config.procs, Settings(config, 0, homes, "row", tuple(sys.path)))
    yield executor
    executor.close()


def outcomes(urls: list[str], executor: ProcessExecutor, config: CrawlConfig) -> Counter[tuple[int, str]]:
    pipeline = Pipeline(IterableSource(urls), executor, config, b"key")
    return Counter((result.row.seq, result.row.outcome) for batch in pipeline.run() for result in batch)


def test_no_count_is_lost_and_nobody_hangs(config: CrawlConfig, executor: ProcessExecutor, origin: Origin) -> None:
    """Two processes with many exchanges each, on several hosts: as many rows as entries, one each, and an end."""
    urls = [origin.url(f"/204?{n}", host=f"127.0.0.{1 + n % 3}") for n in range(1_500)]

    assert Counter({(seq, "fetched"): 1 for seq in range(1, 1_501)}) == outcomes(urls, executor, config)


def test_an_ordered_end_for_everybody(config: CrawlConfig, executor: ProcessExecutor, origin: Origin) -> None:
    """Every worker writes its last frame, says goodbye and leaves with status 0; none is killed, none is a zombie."""
    outcomes([origin.url(f"/204?{n}", host=f"127.0.0.{1 + n % 3}") for n in range(50)], executor, config)
    processes = [line.child._process for line in executor._lines.values()]  # type: ignore[attr-defined]
    executor.close()

    assert [0] * executor.started == [process.returncode for process in processes]
    assert [False] * executor.started == [Path(f"/proc/{process.pid}").exists() for process in processes]


def test_workers_are_not_copies_of_their_parent(config: CrawlConfig, executor: ProcessExecutor, origin: Origin) -> None:
    """What piles up in the caller (here 400 MB) is in no worker: they are fresh interpreters, not forks."""
    ballast = b"x" * (400 * 1024**2)
    outcomes([origin.url("/204")], executor, config)
    ((_, status),) = executor.statuses().items()

    assert len(ballast) > 2 * status.memory_bytes > 0


def test_a_slow_page_idles_nobody(config: CrawlConfig, executor: ProcessExecutor, origin: Origin) -> None:
    """While one page never comes, many chunks of others do: there is no barrier between chunks."""
    if config.engine == "serial":
        return  # it has one place, and the slow page has it
    key = f"recipes-{config.engine}"
    urls = [origin.url(f"/hold/{key}"), *(origin.url(f"/204?{key}{n}") for n in range(1_000))]
    pipeline = Pipeline(IterableSource(urls), executor, config, b"key")
    seen: list[int] = []
    for batch in pipeline.run():
        seen += [result.row.seq for result in batch]
        if len(seen) == 1_000:
            origin.release(key)

    assert (1_001, 1) == (len(seen), seen[-1])


@pytest.mark.parametrize("engine", ["threads", "asyncio", "curl"])
def test_what_waits_has_no_thread(origin: Origin, engine: str) -> None:
    """A thousand entries of one host that allows two at once: two threads at work, whatever `conc` allows."""
    config = CrawlConfig(procs=1, conc=500, per_host=2, engine=engine, allow_private=True)
    executor = InlineExecutor(1, Settings(config, 0, 1, "row"), serve)
    most = 0
    before = threading.active_count()
    pipeline = Pipeline(IterableSource([origin.url(f"/204?{n}") for n in range(1_000)]), executor, config, b"key")  # type: ignore[arg-type]
    for _ in pipeline.run():
        most = max(most, threading.active_count() - before)
    executor.close()

    # The worker, its frames, the list, the watchdog, a lookup; two that exchange, some that have just begun to rest.
    assert most <= 16


def test_processes_do_not_follow_the_list(origin: Origin) -> None:
    """A hundred chunks or one: no more processes than `procs`, none started for a place that has no work."""
    with crawler.Pool(procs=3, conc=8, chunk_size=10, per_host=0, allow_private=True) as pool:
        started = [len(list(pool.fetch([origin.url(f"/204?{n}") for n in range(count)]))) for count in (5, 1_000)]
        (executor,) = pool._idle

    assert [5, 1_000] == started
    assert 1 <= executor.started <= 3


def test_results_come_while_the_list_is_read(config: CrawlConfig, executor: ProcessExecutor, origin: Origin) -> None:
    """`pool.map` of a recipe takes the whole list first; here the first page comes long before the list ends."""
    read = 0

    def urls() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield origin.url(f"/204?{config.engine}{read}")

    events = Pipeline(IterableSource(urls()), executor, config, b"key").run()
    assert next(result for batch in events for result in batch).row.outcome == "fetched"
    events.close()
    assert read < 200_000


def test_descriptors_do_not_leak_into_workers(executor: ProcessExecutor, config: CrawlConfig, origin: Origin) -> None:
    """A worker has its two pipe ends and what it opens itself, not the caller's files or its siblings' pipes."""
    read_fd, write_fd = os.pipe()
    os.set_inheritable(write_fd, True)
    outcomes([origin.url("/204")], executor, config)
    (line,) = executor._lines.values()
    pid = line.child._process.pid  # type: ignore[attr-defined]
    mine = Path(f"/proc/self/fd/{write_fd}").stat().st_ino
    theirs = {path.stat().st_ino for path in Path(f"/proc/{pid}/fd").iterdir() if path.exists()}
    os.close(read_fd)
    os.close(write_fd)

    assert mine not in theirs


def test_settled_is_final(executor: ProcessExecutor, config: CrawlConfig, origin: Origin) -> None:
    """Each entry is settled exactly once, also where it is retried and redirected on the way."""
    urls = [origin.url(f"/redirect/3?{config.engine}"), origin.url(f"/flaky/{config.engine}-recipes/1")]
    settled = outcomes(urls, executor, config)

    assert Counter({(1, "fetched"): 1, (2, "fetched"): 1}) == settled
    assert [] == [event for event in executor.events(0) if isinstance(event, Settled)]
