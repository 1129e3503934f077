"""Politeness: who may go now."""

from __future__ import annotations

from collections.abc import Callable

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


def test_a_host_that_pushed_back_rests() -> None:
    """Nothing of it starts before its time, nor more at once than half of what it had; other hosts go on."""
    politeness: Politeness[str] = Politeness(per_host=4, delay=0)
    for n in range(9):
        politeness.park("a", f"a{n}")
    assert ["a0", "a1", "a2", "a3"] == take_all(politeness, 100.0)
    politeness.pushed_back("a", 100.0, 3.0, 101.0)
    for _ in range(4):
        politeness.release("a")
    politeness.park("b", "b0")

    assert ["b0"] == take_all(politeness, 103.9)
    assert 104.0 == politeness.wake_at()
    assert ["a4", "a5"] == take_all(politeness, 104.0)
    assert [("a", 3, "limit", 0.0)] == politeness.waiting(3, 104.0)


def test_a_delay_that_began_anew_is_not_forgotten() -> None:
    """An exchange that began late, its name was looked up first, delays the next one from then, whoever woke since."""
    politeness: Politeness[str] = Politeness(per_host=4, delay=1.0)
    politeness.park("a", "a0")
    assert "a0" == politeness.next(0.0)
    assert politeness.start("a", 0.0, 0.9)
    politeness.release("a")
    assert None is politeness.next(1.05)
    politeness.park("a", "a1")

    assert (None, "a1") == (politeness.next(1.1), politeness.next(1.9))


def test_a_host_that_could_go_is_not_waited_for() -> None:
    """What waits for a place in the pool does not wait for its host."""
    politeness: Politeness[str] = Politeness(per_host=0, delay=0)
    for n in range(9):
        politeness.park("a", f"a{n}")
    politeness.next(1.0)

    assert [] == politeness.waiting(3, 1.0)


def test_push_back_holds_where_there_is_no_limit() -> None:
    """Half of what was in flight, and what rests is not ready: a worker would ask for no other work."""
    politeness: Politeness[int] = Politeness(per_host=0, delay=0)
    for n in range(50):
        politeness.park("a", n)
    for _ in range(20):
        politeness.next(0.0)
    politeness.pushed_back("a", 0.0, 0, 1.0)
    for _ in range(20):
        politeness.release("a")

    assert (None, 0, 30) == (politeness.next(1.4), politeness.ready, politeness.parked)
    assert list(range(20, 30)) == [politeness.next(1.5) for _ in range(10)]
    assert (None, 0) == (politeness.next(9.0), politeness.ready)
    assert [("a", 20, "limit", 0.0)] == politeness.waiting(3, 9.0)


def test_what_waited_for_its_place_heeds_the_rest_too() -> None:
    """An item that has a slot, but has not begun when its host pushes back, does not begin."""
    politeness: Politeness[str] = Politeness(per_host=2, delay=0)
    politeness.park("a", "a0")
    politeness.park("a", "a1")
    take_all(politeness, 0.0)
    politeness.pushed_back("a", 0.0, 0, 1.0)

    assert [False, True] == [politeness.start("a", 0.0, now) for now in (1.2, 1.5)]


def test_what_is_not_admitted_costs_nothing() -> None:
    """It leaves the queue without a slot and without a delay: the next one goes at once."""
    politeness: Politeness[int] = Politeness(per_host=1, delay=10.0)
    for n in range(100):
        politeness.park("a", n)

    assert (98, None) == (politeness.next(100.0, lambda n, now: n == 98), politeness.next(100.0))
    politeness.release("a")
    assert (99, 0) == (politeness.next(110.0), politeness.parked)


@given(
    st.integers(0, 3),
    st.sampled_from([0.0, 0.5]),
    st.lists(
        st.one_of(st.sampled_from("abc"), st.sampled_from(["take", "take", "deny", "good", "busy", "tick"])),
        max_size=200,
    ),
)
def test_push_back_loses_nothing(per_host: int, delay: float, steps: list[str]) -> None:
    """Whatever happens in whatever order: limits and rests hold, each item comes out once, each host recovers."""
    politeness: Politeness[tuple[str, int]] = Politeness(per_host, delay)
    now, parked, flying, taken = 0.0, 0, [], []
    rests = dict.fromkeys("abc", 0.0)

    def take(admits: Callable[[tuple[str, int], float], bool] = lambda item, now: True) -> None:
        item = politeness.next(now, admits)
        if item is not None:
            assert rests[item[0]] <= now
            flying.append((item, now))
            taken.append(item)

    def deny(item: tuple[str, int], now: float) -> bool:
        taken.append(item)
        return False

    for step in steps:
        now += 0.3 * (step == "tick")
        if step == "take":
            take()
        elif step == "deny":
            take(deny)
        elif step in "abc":
            politeness.park(step, (step, parked))
            parked += 1
        elif flying and step != "tick":
            (host, _), began = flying.pop(0)
            if step == "good":
                politeness.answered(host, began)
            elif step == "busy":
                politeness.pushed_back(host, began, 0.0, now)
                rests[host] = politeness._pushback.rests_until(host)
            politeness.release(host)
        assert not per_host or all(sum(host == item[0][0] for item in flying) <= per_host for host in "abc")
        assert politeness.ready <= politeness.parked or delay  # a host without work is listed until its delay is over

    while len(taken) < parked or flying:
        while flying:
            (host, _), began = flying.pop()
            politeness.answered(host, began)
            politeness.release(host)
        now += 1.0
        for _ in range(parked):
            take()
    politeness.next(now + 10)
    assert sorted(set(taken)) == sorted(taken)
    assert ({}, 0) == (politeness._slots, politeness.ready)
