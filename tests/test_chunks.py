"""Chunks: which worker gets what, and when."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from scripted import state

from crawler.chunks import WINDOW_ENTRIES, Router, home_of, needs_homes
from crawler.config import CrawlConfig
from crawler.records import Hop


def drain(router: Router, credit: dict[int, int], *, paused: bool) -> list[tuple[int, list[str]]]:
    sent = []
    for worker, chunk in router.chunks(lambda worker: credit[worker], paused=paused):
        credit[worker] -= 1
        sent.append((worker, [entry.host for entry in chunk.states]))
    return sent


def test_a_domain_has_one_home() -> None:
    """All hosts of a registrable domain go to the same worker, in every run."""
    homes = {home_of(host, 7) for host in ("example.co.uk", "www.example.co.uk", "a.b.example.co.uk")}

    assert 1 == len(homes)
    assert 7 == len({home_of(f"site{n}.com", 7) for n in range(200)})


def test_a_full_chunk_waits_for_credit() -> None:
    """Nothing is sent to a worker that did not ask."""
    router = Router(1, chunk_size=2, homes=True)
    for n in range(5):
        router.add(state(f"http://h{n}.com/", n))

    assert [] == drain(router, {0: 0}, paused=True)
    assert [(0, ["h0.com", "h1.com"])] == drain(router, {0: 1}, paused=True)
    assert 3 == router.waiting


def test_a_part_of_a_chunk_goes_when_the_source_pauses() -> None:
    """While the list flows, chunks fill up; when it pauses, what is there goes."""
    router = Router(1, chunk_size=10, homes=True)
    router.add(state("http://a.com/"))

    assert [] == drain(router, {0: 1}, paused=False)
    assert [(0, ["a.com"])] == drain(router, {0: 1}, paused=True)


def test_without_limits_any_worker_will_do() -> None:
    """With neither host limit nor delay, one host's entries are spread over all workers."""
    assert not needs_homes(CrawlConfig(per_host=0, robots=False))
    assert needs_homes(CrawlConfig(per_host=0))  # each origin's robots.txt is asked for once
    router = Router(2, chunk_size=2, homes=False)
    for n in range(4):
        router.add(state("http://a.com/", n))

    assert [(0, ["a.com"] * 2), (1, ["a.com"] * 2)] == drain(router, {0: 1, 1: 1}, paused=False)


def test_the_window_is_bounded() -> None:
    """A list that is all of one busy worker's hosts stops being read; so do huge entries."""
    router = Router(2, chunk_size=10, homes=True)
    for n in range(WINDOW_ENTRIES):
        assert not router.full
        router.add(state("http://a.com/", n))
    assert router.full

    heavy = Router(1, chunk_size=10, homes=True)
    for n in range(9):
        heavy.add(state("http://a.com/", n, body=b"x" * 8 * 1024**2))
    assert heavy.full


@given(st.lists(st.integers(0, 30), max_size=300), st.integers(1, 5), st.integers(1, 20), st.booleans())
def test_nothing_is_lost_or_doubled(hosts: list[int], workers: int, size: int, homes: bool) -> None:
    """Every entry leaves once, to its home, in chunks of at most `chunk_size`, with ids of their own."""
    router = Router(workers, size, homes=homes)
    for seq, host in enumerate(hosts):
        router.add(state(f"http://h{host}.com/", seq))
    sent: list[int] = []
    ids: list[int] = []
    for worker, chunk in router.chunks(lambda worker: 1, paused=True):
        sent += [entry.seq for entry in chunk.states]
        ids.append(chunk.id)
        assert 1 <= len(chunk.states) <= size
        assert not homes or {worker} == {home_of(entry.host, workers) for entry in chunk.states}

    assert Counter(range(len(hosts))) == Counter(sent)
    assert (0, False) == (router.waiting, router.full)
    assert len(ids) == len(set(ids))


def test_whatever_is_large_counts() -> None:
    """Header fields, `extra` and the redirects of an entry fill the window and the chunk as its body does."""
    hop = Hop("u", "GET", (), b"", 302, "", "1.1", (("A", "x" * 1024**2),), b"", "/", None, 0.0)
    large: list[dict[str, object]] = [
        {"extra": {"a": "x" * 1024**2}},
        {"headers": (("A", "x" * 1024**2),)},
        {"hops": (hop,)},
    ]
    for fields in large:
        router = Router(1, chunk_size=1_000, homes=True)
        for n in range(64):
            router.add(state("http://a.com/", n, **fields))
        assert router.full
        _, chunk = next(router.chunks(lambda worker: 1, paused=True))
        assert 2 == len(chunk.states)
