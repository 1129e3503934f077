"""Outages: origins that cannot be reached are set aside, tried again, given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.outages import Outages

A = "http://a.com"


def set_aside(outages: Outages[int], now: float = 100.0) -> None:
    for seq in range(5):
        assert [] == outages.failed(A, seq, now - 1, "refused", now)


def test_five_failures_set_an_origin_aside() -> None:
    """Four do not; and five of one entry prove nothing about its host."""
    outages: Outages[int] = Outages()
    for seq in range(4):
        outages.failed(A, seq, 99.0, "refused", 100.0)
    assert "go" == outages.admit(A, 5, 100.0)
    outages.failed(A, 4, 99.0, "refused", 100.0)
    for _ in range(9):
        outages.failed("http://b.com", 1, 99.0, "refused", 100.0)

    assert ("kept", "go") == (outages.admit(A, 5, 100.0), outages.admit("http://b.com", 1, 100.0))


def test_an_answer_between_begins_anew() -> None:
    """Failures are counted in a row."""
    outages: Outages[int] = Outages()
    for seq in range(40):
        outages.failed(A, seq, 99.0, "refused", 100.0)
        if seq % 4 == 3:
            outages.answered(A)

    assert "go" == outages.admit(A, 5, 100.0)
    assert not outages


def test_one_at_a_time_tries_again() -> None:
    """After 1, 2, 4, 8, 8 seconds, whatever comes of the one before; the others stay where they are."""
    outages: Outages[int] = Outages()
    set_aside(outages)
    assert ["kept"] * 50 == [outages.admit(A, seq, 100.0) for seq in range(50)]
    gone = []
    while len(gone) < 6:
        now = outages.wake_at()
        assert now is not None
        while (item := outages.due(now)) is not None:
            if outages.admit(A, item, now) == "go":
                gone.append((item, now - 100))

    assert [(0, 1.0), (1, 3.0), (2, 7.0), (3, 15.0), (4, 23.0), (5, 31.0)] == gone


def test_an_answer_lets_all_go() -> None:
    """A server that is back loses nothing: all that was kept comes out, and the origin is as any other."""
    outages: Outages[int] = Outages()
    set_aside(outages)
    for seq in range(50):
        outages.admit(A, seq, 100.0)

    assert list(range(50)) == outages.answered(A)
    assert ("go", None) == (outages.admit(A, 7, 100.0), outages.due(200.0))


def test_it_is_given_up_after_three_tries_and_twenty_seconds() -> None:
    """Not before, and what was in flight when it was set aside is no try; then all that was kept comes out."""
    outages: Outages[int] = Outages()
    set_aside(outages)
    for seq in range(9):
        outages.admit(A, seq, 100.0)
    assert [[], []] == [outages.failed(A, 20, began, "refused", 130.0) for began in (99.0, 100.0)]
    assert [[], [], []] == [outages.failed(A, 20, 101.0, "refused", now) for now in (101.0, 103.0, 119.9)]

    assert list(range(9)) == outages.failed(A, 20, 115.0, "no route", 120.0)
    assert ("refused", "no route") == (outages.admit(A, 9, 120.1), outages.reason(A))


def test_one_in_two_minutes_tries_what_was_given_up() -> None:
    """The others are refused; an answer to the one ends it."""
    outages: Outages[int] = Outages()
    set_aside(outages)
    outages.give_up(A, 1, "refused", 120.0)
    times = (120.0, 239.9, 240.0, 240.1, 359.9, 360.0)
    assert ["refused", "refused", "go", "refused", "refused", "go"] == [outages.admit(A, 1, at) for at in times]
    outages.answered(A)

    assert "go" == outages.admit(A, 1, 360.1)


def test_memory_does_not_follow_the_list() -> None:
    """However many origins fail, so many are remembered; but nothing that waits is forgotten."""
    outages: Outages[int] = Outages(origins=10)
    set_aside(outages)
    outages.admit(A, 7, 100.0)
    for n in range(1_000):
        outages.failed(f"http://h{n}.com", n, 99.0, "refused", 100.0)

    assert 10 == len(outages._outages)
    assert [7] == outages.forget()


@given(st.lists(st.tuples(st.sampled_from(["add", "fail", "fail", "answer", "tick", "give up"]), st.integers(0, 1))))
def test_nothing_is_lost(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, each item is let go, refused or given out, and none twice or never."""
    outages: Outages[int] = Outages(origins=2)
    inside: set[int] = set()
    now, items = 0.0, 0

    def out(given: list[int]) -> None:
        assert inside.issuperset(given)
        inside.difference_update(given)

    for step, number in steps:
        origin = f"http://h{number}.com"
        if step == "add":
            items += 1
            if outages.admit(origin, items, now) == "kept":
                inside.add(items)
        elif step == "fail":
            out(outages.failed(origin, items, now, "refused", now + 0.1))
        elif step == "answer":
            out(outages.answered(origin))
        elif step == "give up":
            out(outages.give_up(origin, items, "503", now))
        now += 0.7
        assert not inside or outages.wake_at() is not None
        while (item := outages.due(now)) is not None:
            out([item])
    out(outages.forget())

    assert set() == inside
