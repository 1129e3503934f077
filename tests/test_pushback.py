"""Push-back: what a host gets after it asked for less."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.pushback import PushBack


def test_a_host_that_never_pushed_back_has_all_that_is_its_own() -> None:
    """Nothing is remembered of it, and nothing stands in its way."""
    pushback = PushBack(4)

    assert (4, -math.inf) == (pushback.places("a"), pushback.rests_until("a"))


def test_an_event_is_heeded_once() -> None:
    """Of eight requests that were in flight when the host had enough, the first to say so halves, the others do not."""
    pushback = PushBack(8)
    for n in range(8):
        pushback.heed("a", began=float(n), active=8 - n, asked_s=0, now=10.0 + n / 100)

    assert (4, 10.5) == (pushback.places("a"), pushback.rests_until("a"))


def test_the_longest_rest_of_an_event_holds() -> None:
    """What a later answer of the same event asks for is kept too."""
    pushback = PushBack(8)
    pushback.heed("a", began=1.0, active=8, asked_s=2, now=10.0)
    pushback.heed("a", began=2.0, active=8, asked_s=5, now=11.0)
    pushback.heed("a", began=3.0, active=8, asked_s=1, now=12.0)

    assert 16.0 == pushback.rests_until("a")


def test_the_rest_grows_with_each_event_in_a_row() -> None:
    """0.5, 1, 2, 4 seconds and no more, while the places fall to one; a good answer between begins anew."""
    pushback, now, rests, places = PushBack(8), 100.0, [], []
    for _ in range(6):
        pushback.heed("a", began=now - 0.01, active=8, asked_s=0, now=now)
        rests.append(pushback.rests_until("a") - now)
        places.append(pushback.places("a"))
        now += 10
    pushback.relax("a", began=now)
    pushback.heed("a", began=now, active=1, asked_s=0, now=now + 1)

    assert ([0.5, 1, 2, 4, 4, 4], [4, 2, 1, 1, 1, 1]) == (rests, places)
    assert now + 1.5 == pushback.rests_until("a")


@pytest.mark.parametrize(("per_host", "active"), [(4, 4), (4, 2), (1, 1), (math.inf, 100)])
def test_good_answers_give_all_back(per_host: float, active: int) -> None:
    """One more place for each round of them, until the host has what it had; then it is forgotten."""
    pushback = PushBack(per_host)
    pushback.heed("a", began=1.0, active=active, asked_s=0, now=2.0)
    seen = [pushback.places("a")]
    while pushback._pushed:
        pushback.relax("a", began=3.0)
        seen.append(pushback.places("a"))

    assert sorted(seen) == seen
    assert (max(1, active // 2), per_host) == (seen[0], seen[-1])
    assert all(after - before in (0, 1, math.inf) for before, after in itertools.pairwise(seen))


def test_what_was_in_flight_is_no_recovery() -> None:
    """A good answer to a request that began before the event says nothing about the time after it."""
    pushback = PushBack(2)
    pushback.heed("a", began=1.0, active=2, asked_s=0, now=5.0)
    for _ in range(9):
        pushback.relax("a", began=4.9)

    assert 1 == pushback.places("a")


def test_patience_ends() -> None:
    """A host that says nothing else for two minutes need not be asked again; not before, however often it says so.

    What waits is not held by its rest then.
    """
    pushback, now, answers = PushBack(4), 0.0, []
    while now <= 121:
        answers.append((now, pushback.heed("a", began=now - 0.1, active=1, asked_s=0, now=now)))
        now += 1

    assert 120.0 == next(at for at, over in answers if over)
    assert 121.0 == pushback.rests_until("a")


def test_memory_does_not_follow_the_list() -> None:
    """However many hosts push back, so many are remembered; the one that was quiet for longest is forgotten first."""
    pushback = PushBack(4, hosts=3)
    for name in "abcade":
        pushback.heed(name, began=1.0, active=4, asked_s=0, now=2.0)

    assert ["a", "d", "e"] == list(pushback._pushed)


@given(st.integers(1, 8), st.lists(st.tuples(st.booleans(), st.floats(0, 50), st.integers(1, 8)), max_size=60))
def test_places_are_within_bounds(per_host: int, answers: list[tuple[bool, float, int]]) -> None:
    """Whatever is answered in whatever order: at least one place, at most what is its own, and no rest over a bound."""
    pushback, now = PushBack(per_host), 0.0
    for good, age_s, active in answers:
        now += 1.0
        if good:
            pushback.relax("a", now - age_s)
        else:
            pushback.heed("a", now - age_s, active, 0, now)
        assert 1 <= pushback.places("a") <= per_host
        assert pushback.rests_until("a") <= now + 4
