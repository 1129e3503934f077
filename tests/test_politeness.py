"""Politeness: who may go now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.politeness import Politeness


def take_all(politeness: Politeness[str], now: float) -> list[str]:
    taken = []
    while (item := politeness.next(now)) is not None:
        taken.append(item)
    return taken


def test_a_host_has_no_more_than_its_limit_in_flight() -> None:
    """The third item of a host waits until one of the first two is released."""
    politeness: Politeness[str] = Politeness(per_host=2, delay=0)
    for item in ("a1", "a2", "a3"):
        politeness.park("a", item)

    assert ["a1", "a2"] == take_all(politeness, 0.0)
    politeness.release("a")
    assert ["a3"] == take_all(politeness, 0.0)


def test_hosts_take_turns() -> None:
    """A host with many items does not hold back a host with one."""
    politeness: Politeness[str] = Politeness(per_host=1, delay=0)
    for n in range(100):
        politeness.park("a", f"a{n}")
    politeness.park("b", "b0")

    assert ["a0", "b0"] == take_all(politeness, 0.0)


def test_starts_of_a_host_are_a_delay_apart() -> None:
    """With a delay, the next item of a host goes that many seconds after the one before, released or not."""
    politeness: Politeness[str] = Politeness(per_host=4, delay=2.0)
    politeness.park("a", "a1")
    politeness.park("a", "a2")

    assert "a1" == politeness.next(10.0)
    assert None is politeness.next(11.9)
    assert 12.0 == politeness.wake_at()
    assert "a2" == politeness.next(12.0)


def test_the_delay_outlasts_the_queue() -> None:
    """A host that has nothing left to do is remembered until its delay is over."""
    politeness: Politeness[str] = Politeness(per_host=4, delay=2.0)
    politeness.park("a", "a1")
    assert "a1" == politeness.next(0.0)
    politeness.release("a")
    assert None is politeness.next(1.0)
    politeness.park("a", "a2")

    assert None is politeness.next(1.5)
    assert "a2" == politeness.next(2.0)


def test_what_goes_first_goes_first() -> None:
    """An item that is already under way goes ahead of fresh ones of its host."""
    politeness: Politeness[str] = Politeness(per_host=1, delay=0)
    politeness.park("a", "fresh")
    politeness.park("a", "redirected", first=True)

    assert "redirected" == politeness.next(0.0)


def test_zero_lifts_the_limit() -> None:
    """With neither limit nor delay everything is ready at once."""
    politeness: Politeness[int] = Politeness(per_host=0, delay=0)
    for n in range(50):
        politeness.park("a", n)

    assert 50 == politeness.ready
    assert list(range(50)) == [politeness.next(0.0) for _ in range(50)]


@given(
    st.integers(1, 3),
    st.sampled_from([0.0, 0.5]),
    st.lists(st.one_of(st.sampled_from("abc"), st.just("take"), st.just("release"), st.just("tick")), max_size=200),
)
def test_limits_hold_and_nothing_is_lost(per_host: int, delay: float, steps: list[str]) -> None:
    """Whatever happens in whatever order: limits hold, each item comes out once, and no host is remembered for ever."""
    politeness: Politeness[tuple[str, int]] = Politeness(per_host, delay)
    now, parked, flying, taken = 0.0, 0, [], []
    for step in steps:
        if step == "tick":
            now += 0.3
        elif step == "release" and flying:
            politeness.release(flying.pop(0)[0])
        elif step == "take":
            item = politeness.next(now)
            if item is not None:
                flying.append(item)
                taken.append(item)
        elif step in "abc":
            politeness.park(step, (step, parked))
            parked += 1
        assert all(sum(host == item[0] for item in flying) <= per_host for host in "abc")

    while len(taken) < parked or flying:
        while flying:
            politeness.release(flying.pop()[0])
        now += 1.0
        while (item := politeness.next(now)) is not None:
            flying.append(item)
            taken.append(item)
    politeness.next(now + 10)
    assert sorted(set(taken)) == sorted(taken)
    assert {} == politeness._slots
