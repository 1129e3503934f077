"""The load: workers, hosts that are waited for, and the one line that says what limits a run."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from crawler.bottleneck import Pressure, bottleneck
from crawler.config import CrawlConfig
from crawler.load import LoadMeter, WorkerLoad
from crawler.records import Result, Row, Status, Waiting
from crawler.shortage import MEMORY
from crawler.tally import Tally

CALM = Pressure(
    workers=2, worker_cpu=0.1, parent_cpu=0.1, consumer=0.1, in_flight=10, places=256, open=100, parked=0, hosts=0,
    window_full=False, unread=True, starved=False,
)  # fmt: skip


def pipeline(*statuses: Status, consumed_s: float = 0.0, read: int = 100, length: int = 100, **config: Any) -> Any:
    """What a load looks at: the workers' statuses, and a list that is read to its end."""
    return SimpleNamespace(
        executor=SimpleNamespace(statuses=lambda: dict(enumerate(statuses)), started=len(statuses)),
        crew=SimpleNamespace(router=SimpleNamespace(waiting=0, full=False), in_hand=50, deaths=0, last_death=""),
        feed=SimpleNamespace(finished=True, empty=True),
        source=SimpleNamespace(length=length, total_bytes=None, position=0),
        config=CrawlConfig(**config),
        consumed_s=consumed_s,
        stops_at=None,
        read=read,
        open=50,
    )


@pytest.mark.parametrize(
    ("pressure", "kind", "words"),
    [
        ({"workers": 0}, "starting", "starting"),
        ({"shortage": MEMORY, "consumer": 0.95}, "machine", "this machine: memory"),
        ({"looking_up": 11, "starved": True}, "dns", "DNS: 11 hosts being looked up"),
        ({"consumer": 0.95}, "disk", "disk"),
        ({"parent_cpu": 0.95}, "parent", "CPU"),
        ({"worker_cpu": 0.95}, "cpu", "CPU"),
        ({"in_flight": 250}, "places", "network"),
        ({"starved": True}, "list", "the list"),
        ({"window_full": True, "parked": 900}, "order", "the order of the list"),
        ({"parked": 900, "hosts": 1}, "politeness", "politeness: 900 entries wait for 1 host (--per-host, --delay)"),
        (
            {"parked": 900, "hosts": 3, "why": "push-back"},
            "push-back",
            "politeness: 900 entries wait for 3 hosts that ask",
        ),
        (
            {"parked": 10**6, "hosts": 9, "why": "no connection"},
            "unreachable",
            "politeness: 1,000,000 entries wait for 9 hosts",
        ),
        ({"unread": False}, "end", "the end of the list"),
        ({"unread": False, "open": 300}, "nothing", "nothing yet"),
        ({}, "nothing", "nothing yet"),
    ],
    ids=str,
)
def test_one_line_says_what_limits(pressure: dict[str, Any], kind: str, words: str) -> None:
    """Each state has one answer, and it fits a terminal beside its label."""
    limit = bottleneck(dataclasses.replace(CALM, **pressure))

    assert kind == limit.kind
    assert limit.text.startswith(words)
    assert len(limit.text) <= 72


def test_hosts_that_are_free_for_a_moment() -> None:
    """Thousands of entries of a few hosts wait for these, also at the moment when all of their places are free."""
    few, many = (Status(0, 128, 30_000, ready, 0.0, 0) for ready in (3, 20_000))

    assert "politeness" == LoadMeter().read(pipeline(few), 1.0).kind
    assert "end" == LoadMeter().read(pipeline(many), 1.0).kind
    assert "end" == LoadMeter().read(pipeline(few, per_host=0), 1.0).kind


def test_processor_shares_are_over_a_second() -> None:
    """A worker's share is its processor time over the time between two statuses; memory is that of all."""
    meter = LoadMeter(cost=lambda: (0.0, 5_000_000))
    meter.read(pipeline(Status(3, 8, 20, 1, 10.0, 1_000_000)), 100.0)
    load = meter.read(pipeline(Status(4, 8, 20, 1, 10.5, 1_000_000)), 101.0)

    assert (WorkerLoad(0, 4, 8, 0.5),) == load.workers
    assert 6_000_000 == load.memory_bytes


def test_a_worker_that_lacks_something_says_so_for_all() -> None:
    """What one of the workers is short of is what the line says, before all else."""
    short = Status(1, 8, 9, 0, 0.0, 0, shortage="no local port is free")

    assert (
        "this machine: no local port is free" == LoadMeter().read(pipeline(Status(1, 8, 9, 0, 0.0, 0), short), 1).limit
    )


def test_a_worker_that_was_replaced() -> None:
    """Its processor time begins anew: no share is ever below nothing."""
    meter = LoadMeter(cost=lambda: (0.0, 0))
    meter.read(pipeline(Status(3, 8, 20, 1, 10.0, 0)), 100.0)

    assert (WorkerLoad(0, 4, 8, 0.0),) == meter.read(pipeline(Status(4, 8, 20, 1, 0.5, 0)), 101.0).workers


def test_the_foremost_hosts_are_named() -> None:
    """Of all workers' hosts the three that most entries wait for."""
    waiting = [tuple(Waiting(f"h{n}{w}.com", n, "limit") for n in (1, 5)) for w in (0, 1)]
    statuses = [Status(1, 8, 9, 0, 0.0, 0, hosts) for hosts in waiting]

    assert [5, 5, 1] == [host.entries for host in LoadMeter().read(pipeline(*statuses), 1.0).waiting]


def test_what_most_entries_wait_for_is_named() -> None:
    """Of all workers' hosts together; who waits for one page that takes its time waits for no politeness."""
    whys = (("a.com", 6, "limit"), ("b.com", 5, "push-back"), ("c.com", 4, "push-back"), ("d.com", 99, "slow"))
    waiting = tuple(Waiting(host, entries, why) for host, entries, why in whys)  # type: ignore[arg-type]

    assert LoadMeter().read(pipeline(Status(1, 8, 50, 0, 0.0, 0, waiting)), 1.0).limit.endswith("that asked for less")


def test_politeness_does_not_fool_the_eta() -> None:
    """A host whose entries must go two seconds apart takes its time, however fast all the others went."""
    slow = Status(1, 8, 50, 0, 0.0, 0, (Waiting("slow.com", 40, "delay"),))

    assert 80.0 == running_tally().read(pipeline(slow, delay=2.0)).eta_s
    assert 10.0 == running_tally().read(pipeline(Status(1, 8, 50, 0, 0.0, 0))).eta_s


def test_a_run_that_stands_still_has_no_eta() -> None:
    """Where nothing ends for a while, no pace says when the rest will; a delay does."""
    still = running_tally()
    seen = [still.read(pipeline(Status(1, 8, 50, 0, 0.0, 0))).eta_s for _ in range(3)]
    slow = Status(1, 8, 50, 0, 0.0, 0, (Waiting("slow.com", 40, "delay"),))

    assert [10.0, None, None] == seen
    assert 80.0 == still.read(pipeline(slow, delay=2.0)).eta_s


def test_a_slow_host_is_named_once() -> None:
    """Several slow pages of one host are one entry: how many, and how long the longest takes."""
    waiting = (Waiting("a.com", 1, "slow", 6.0), Waiting("a.com", 1, "slow", 9.0))

    assert (Waiting("a.com", 2, "slow", 9.0),) == LoadMeter().read(
        pipeline(Status(2, 8, 2, 0, 0, 0, waiting)), 1.0
    ).waiting


def running_tally() -> Tally:
    """Ten seconds in, with fifty pages of a hundred entries."""
    times = itertools.chain([1_000.0], itertools.repeat(1_010.0))
    tally = Tally(lambda: next(times))
    row = Row(1, "list", 1, "u", None, None, "fetched", 200, total_ms=10.0)
    tally.add([Result(row)] * 50)
    return tally
