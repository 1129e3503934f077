"""Machines: how many exchanges go to one address."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.machines import Machines


def test_an_address_has_no_more_than_its_limit() -> None:
    """The third waits until one of the first two leaves, and has its place then; another address is not concerned."""
    machines: Machines[str] = Machines(2)

    assert [True, True, False, True] == [machines.enter("::1", "a"), machines.enter("::1", "b"),
                                         machines.enter("::1", "c"), machines.enter("::2", "d")]  # fmt: skip
    assert ("c", None) == (machines.leave("::1"), machines.leave("::1"))


def test_zero_lifts_the_limit() -> None:
    """Nobody waits, and nothing is remembered."""
    machines: Machines[int] = Machines(0)

    assert all(machines.enter("::1", n) for n in range(1_000))
    assert (None, {}) == (machines.leave("::1"), machines._machines)


@given(st.integers(1, 3), st.lists(st.sampled_from(["enter", "enter", "leave"]), max_size=100))
def test_places_are_exact_and_go_round_in_order(most: int, steps: list[str]) -> None:
    """Never more than the limit inside, nobody waits beside a free place, first come first served, none is lost."""
    machines: Machines[int] = Machines(most)
    inside: list[int] = []
    waiting: list[int] = []
    for number, step in enumerate(steps):
        if step == "enter":
            (inside if machines.enter("::1", number) else waiting).append(number)
        elif inside:
            inside.pop(0)
            heir = machines.leave("::1")
            assert (waiting.pop(0) if waiting else None) == heir
            inside += [heir] if heir is not None else []
        assert len(inside) <= most
        assert not waiting or len(inside) == most
    assert waiting == machines.forget()
    for _ in inside:
        machines.leave("::1")

    assert {} == machines._machines
