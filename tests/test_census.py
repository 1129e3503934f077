"""How many entries each host has."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from crawler.census import Census


@given(st.lists(st.lists(st.text("ab", max_size=3), max_size=9), max_size=9), st.integers(1, 9))
def test_counts(batches: list[list[str]], spill: int) -> None:
    """However often hosts become numbers, each is counted once for each entry, and the largest keep their names."""
    census = Census(spill)
    expected: Counter[str] = Counter()
    for batch in batches:
        census.add(batch)
        expected.update(batch)
    assert len(expected) == len(census)
    assert sorted(expected.items()) == sorted(census.largest(1_000))
    assert [count for _, count in expected.most_common(3)] == [count for _, count in census.largest(3)]


def test_a_host_that_stands_out_among_many_keeps_its_name() -> None:
    """Of more hosts than have names, those with the most entries are named, with all of their entries."""
    census = Census(5_000)
    for start in range(0, 40_000, 1_000):
        census.add([f"{n}.test" for n in range(start, start + 1_000)] + ["big.test", "large.test"] * 2 + ["big.test"])
    assert 40_002 == len(census)
    assert [("big.test", 120), ("large.test", 80)] == census.largest(2)
