"""Who does which shard: leases, shares, and what is missed; on a fake clock, without a broker."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crawler.config import CrawlConfig
from crawler.fleet.roster import Out, Roster, shards_for
from crawler.fleet.words import Beat

CONFIG = CrawlConfig(robots=False, chunk_size=10)


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def beat(machine: str, count: int = 1, **fields: Any) -> Beat:
    known = {"term": 1, "run": "", "chunks": (), "chunks_most": 4, "entries": 1000} | fields
    return Beat(machine=machine, host=machine, count=count, **known)


def out(chunk: int, shard: int, entries: int = 3, *, solo: bool = False) -> Out:
    return Out(chunk, shard, {chunk * 100 + n for n in range(entries)}, solo=solo)


def roster(*machines: str, config: CrawlConfig = CONFIG, **fields: Any) -> tuple[Roster, Clock]:
    clock = Clock()
    made = Roster("run", config, clock)
    for name in machines:
        made.hear(beat(name, **fields), 0.0)
    return made, clock


def place(made: Roster, *outs: Out) -> list[str]:
    """The machines that these are given to, in turn; '' for one that waits."""
    for one in outs:
        made.add(one)
        made.place()
    return [one.machine for one in outs]


def begin(made: Roster, machine: str, count: int, *outs: Out) -> None:
    """The machine names these."""
    said = made.seats[machine].beat
    chunks = tuple(one.chunk for one in outs)
    made.hear(msgspec.structs.replace(said, count=count, run="run", chunks=chunks), 0.0)


def test_nobody_is_there() -> None:
    """Nothing is wanted, and what was sent waits; who spoke long ago or has left is not there."""
    made, _ = roster()
    made.hear(beat("dead"), 3600.0)
    made.hear(beat("gone", left=True), 0.0)

    assert (0, [""]) == (made.credit(0), place(made, out(1, 0)))


def test_there_are_shards_for_all_machines() -> None:
    """A prime, four a machine that is there and 61 at least; who is gone or silent counts for none."""
    there = [(beat(f"m{n}"), 0.5) for n in range(1000)]
    others = [(beat("gone", left=True), 0.0), (beat("dead"), 3600.0)]

    assert [61, 61, 67, 4001] == [shards_for([*there[:n], *others]) for n in (0, 15, 16, 1000)]


def test_a_thousand_machines_have_work() -> None:
    """Each of them gets shards, none more than its share."""
    made, _ = roster(*(f"m{n}" for n in range(1000)))
    given = place(made, *(out(n, n, 1) for n in range(1, 2001)))

    assert {2} == {given.count(f"m{n}") for n in range(1000)}


def test_shards_are_spread_and_stay() -> None:
    """A new shard goes to the machine with the fewest; a known one to where it is, under one number."""
    made, _ = roster("a", "b")
    outs = [out(1, 0), out(2, 1), out(3, 2), out(4, 0)]
    machines = place(made, *outs)

    assert ["a", "b"] == sorted(set(machines))
    assert (machines[0], outs[0].fence) == (machines[3], outs[3].fence)
    assert 3 == len({one.fence for one in outs})


def test_one_chunk_is_wanted_when_the_last_is_begun() -> None:
    """So that chunks do not pile up with a machine that is slow to begin; and not too many entries of one shard."""
    made, _ = roster("a", chunks_most=100)
    first, large = out(1, 0), out(2, 0, entries=40)
    place(made, first)
    before = made.credit(0)
    begin(made, "a", 2, first)
    then = made.credit(0)
    place(made, large)
    begin(made, "a", 3, first, large)

    assert (0, 1, 0) == (before, then, made.credit(0))


@pytest.mark.parametrize("limits", [{"chunks_most": 2}, {"entries": 6}])
def test_a_machine_takes_no_more_than_it_asks_for(limits: dict[str, int]) -> None:
    """Neither chunks nor entries; what is too much waits."""
    made, _ = roster("a", **limits)

    assert ["a", "a", ""] == place(made, out(1, 0), out(2, 1), out(3, 2))
    assert 0 == made.credit(3)


def test_who_works_for_another_run_or_lacks_the_function_gets_nothing() -> None:
    """A machine runs only what it was started with."""
    made, _ = roster(config=CrawlConfig(robots=False, parse="a.b:c"))
    made.hear(beat("busy", run="another", parse=("a.b:c",)), 0.0)
    made.hear(beat("plain"), 0.0)
    assert [""] == place(made, out(1, 0))
    made.hear(beat("able", parse=("x:y", "a.b:c")), 0.0)

    assert ["able"] == place(made, out(2, 1))


def test_a_machine_that_joins_gets_its_share() -> None:
    """Of the shards that are idle first; each rests before it changes hands, for as long as a host's delay."""
    made, clock = roster("a", config=CrawlConfig(robots=False, delay=10.0), chunks_most=100)
    outs = [out(n, n) for n in range(6)]
    place(made, *outs)
    begin(made, "a", 2, *outs)
    made.hear(beat("b", chunks_most=100), 0.0)
    made.balance()
    moving = [n for n in range(6) if not made.credit(n)]
    for n in moving:
        made.let_go(outs[n])
    clock.now += 9.0
    made.balance()
    early = [made.credit(n) for n in moving]
    clock.now += 2.0
    made.balance()

    assert (3, [0, 0, 0]) == (len(moving), early)
    assert ["b"] * 3 == place(made, *(out(10 + n, n) for n in moving))


def test_a_lease_that_nobody_needs_ends() -> None:
    """Once it has rested; the next one has a higher number."""
    made, clock = roster("a")
    first, second = out(1, 0), out(2, 0)
    place(made, first)
    made.let_go(first)
    clock.now += 60.0
    made.balance()
    place(made, second)

    assert second.fence > first.fence


def test_what_a_machine_does_not_name_is_ordered_again() -> None:
    """After some beats, if it has not begun; what it had begun is missed, and looked for."""
    made, _ = roster("a")
    lost, begun = out(1, 0), out(2, 1)
    place(made, lost, begun)
    begin(made, "a", 2, begun)
    again = [made.hear(beat("a", count, run="run"), 0.0) for count in range(3, 7)]

    assert [[], [lost], [], []] == again
    assert (False, True) == (lost.missed, begun.missed)


def test_a_shard_that_a_machine_does_not_begin_is_anothers() -> None:
    """Ordered twice more, and not before the machine has said that it will not begin the last order; then the lease is
    over at once, as nothing of it was fetched, and others come before that machine.
    """
    made, clock = roster("a", "b")
    first = out(1, 0)
    (name,) = place(made, first)
    lost_at, again = 0, []
    while first.lost is None:
        lost_at = made.seats[name].beat.count + 1
        again += [lost_at] * len(made.hear(beat(name, lost_at, run="run"), 0.0))
    while_over = made.credit(0), place(made, out(2, 0))
    made.let_go(first)
    made.balance()
    clock.now += 1.0
    (second,) = made.place()

    assert ([4, 7], 14) == (again, lost_at)
    assert f"on {name} did not begin it" == first.lost
    assert (0, [""]) == while_over
    assert ({"a", "b"} - {name}, True) == ({second.machine}, second.fence > first.fence)
    assert [name] == [host for host, _ in made.troubles()]


def test_a_lease_of_which_something_is_in_hand_stays() -> None:
    """However often another chunk of it is not begun: else two machines would fetch from its hosts."""
    made, _ = roster("a", "b")
    begun, missing = out(1, 0), out(2, 0)
    (name, _) = place(made, begun, missing)
    for count in range(2, 40):
        begin(made, name, count, begun)

    assert (None, None, True) == (begun.lost, missing.lost, missing.again > 10)
    made.let_go(begun)
    for count in range(40, 50):
        begin(made, name, count)
    assert f"on {name} did not begin it" == missing.lost


def test_a_machine_with_trouble_gets_no_new_shard() -> None:
    """While it says so; and what it has not begun is not ordered again, but another's once it cannot begin it."""
    made, _ = roster("a")
    first = out(1, 0)
    place(made, first)
    for count in range(2, 9):
        assert first.lost is None
        assert [] == made.hear(beat("a", count, trouble="The store is not there."), 0.0)
    assert first.lost is not None
    assert ([("a", "The store is not there.")], 0) == (list(made.troubles()), made.credit(1))
    made.hear(beat("b"), 0.0)
    assert ["b"] == place(made, out(2, 1))
    made.lose(made.seats["b"], "left", guilty=False)
    made.hear(beat("a", 9), 0.0)

    assert ["a"] == place(made, out(3, 2))


def test_the_same_word_twice_is_one() -> None:
    """What the broker still has of a machine is no sign of life."""
    made, _ = roster("a")
    made.seats["a"].silent_s = 5.0
    made.hear(beat("a"), 0.0)
    silent = made.seats["a"].silent_s
    made.hear(beat("a", 2), 0.0)

    assert (5.0, 0.0) == (silent, made.seats["a"].silent_s)


def test_a_new_term_hands_back() -> None:
    """Whatever the machine had in the last one is not there any more, by no fault of the entries."""
    made, _ = roster("a")
    one = out(1, 0)
    place(made, one)
    begin(made, "a", 2, one)
    made.hear(beat("a", 3, term=2), 0.0)

    assert ("handed it back", False) == (one.lost, one.guilty)


def test_a_death_makes_guilty_what_was_begun() -> None:
    """And frees the shards, for others to take at once."""
    made, _ = roster("a")
    begun, waiting = out(1, 0), out(2, 1)
    place(made, begun, waiting)
    begin(made, "a", 2, begun)
    made.lose(made.seats["a"], "was not heard of for 20 s", guilty=True)
    made.hear(beat("b"), 0.0)

    assert [(True, "on a was not heard of for 20 s"), (False, "on a was not heard of for 20 s")] == [
        (one.guilty, one.lost) for one in (begun, waiting)
    ]
    assert ["b"] == place(made, out(3, 0))


def test_a_suspect_gets_a_machine_of_its_own() -> None:
    """Nothing else is given to it meanwhile, so that nobody dies of another's page, or is condemned for it."""
    made, _ = roster("a")
    busy, suspect, other = out(1, 0), out(2, 1, 1, solo=True), out(3, 2)
    assert ["a", "", ""] == place(made, busy, suspect, other)
    made.let_go(busy)
    (placed,) = made.place()
    assert (suspect, 0) == (placed, made.credit(5))
    made.let_go(suspect)

    assert [other] == made.place()


def test_a_suspect_keeps_one_machine_waiting() -> None:
    """That where it waits for the others to end is everybody's again, if it finds room elsewhere before."""
    made, _ = roster("a", "b")
    here, there, more, suspect = out(1, 0), out(2, 1), out(3, 1), out(4, 2, 1, solo=True)
    assert ["a", "b", "b", ""] == place(made, here, there, more, suspect)
    made.let_go(there)
    made.let_go(more)
    assert [suspect] == made.place()
    assert "b" == suspect.machine

    assert ["a"] == place(made, out(5, 0))


def test_words_are_small_json() -> None:
    """What goes through the broker is text that every tool reads."""
    data = msgspec.json.encode(beat("a", chunks=tuple(range(100))))

    assert len(data) < 1000
    assert beat("a", chunks=tuple(range(100))) == msgspec.json.decode(data, type=Beat)


def test_why_nobody_can_work_is_known() -> None:
    """Nobody is there, nobody has the function, everybody is hindered, or all work for others; and when one can, ''."""
    made, _ = roster(config=CrawlConfig(robots=False, parse="a.b:c"))
    said = [made.hindrance]
    for number, fields in enumerate(
        ({}, {"parse": ("a.b:c",), "trouble": "No store."}, {"parse": ("a.b:c",), "run": "another"}), 1
    ):
        made.hear(beat(f"m{number}", **fields), 0.0)  # type: ignore[arg-type]
        said.append(made.hindrance)
    made.hear(beat("able", parse=("a.b:c",)), 0.0)

    assert [
        "no machine is there; start some with crawl worker",
        "1 machine is there, it was not started with --parse a.b:c",
        "2 machines are there, none can work, as was said",
        "3 machines are there, none can work, as was said",
    ] == said
    assert "" == made.hindrance
