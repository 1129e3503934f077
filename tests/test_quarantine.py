"""Deaths condemn nobody else: quarantine, the record of flights, and real workers that really die."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from conftest import Origin
from hypothesis import given
from hypothesis import strategies as st
from scripted import state

import crawler
from crawler.flights import Flights, make_record, read_record
from crawler.quarantine import Quarantine

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


def test_suspects_run_alone_one_after_the_other() -> None:
    """A worker with suspects is reserved until the last of them is through."""
    quarantine, suspects = Quarantine(), [state(seq=n) for n in (1, 2)]
    quarantine.add(0, suspects)

    assert (True, False, 2) == (quarantine.holds(0), quarantine.holds(1), quarantine.waiting)
    assert (suspects[0], None) == (quarantine.next(0), quarantine.next(0))
    quarantine.cleared(0)
    assert suspects[1] == quarantine.next(0)
    quarantine.cleared(0)
    assert (False, None, 0) == (quarantine.holds(0), quarantine.next(0), quarantine.waiting)


def test_one_death_alone_proves_nothing() -> None:
    """Somebody else may have killed the worker: only the second death of the same entry alone condemns it."""
    quarantine, suspect = Quarantine(), state(seq=1)
    verdicts = []
    for _ in range(2):
        quarantine.add(0, [suspect])
        assert suspect == quarantine.next(0)
        verdicts.append(quarantine.condemned(0, [suspect]))

    assert [None, suspect] == verdicts


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


@pytest.mark.parametrize("engine", ["asyncio", "gevent", "threads"])
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
