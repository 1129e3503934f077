"""The frontier: many flows at once, scheduled by politeness, on a fake clock."""

from __future__ import annotations

import asyncio

from scripted import PUBLIC, World, answer, failure, state

from crawler.config import CrawlConfig
from crawler.exchange import Addresses, Exchange, Failure, Resolve
from crawler.fates import Fate
from crawler.frontier import Frontier, Known
from crawler.records import FlowState
from crawler.throttle import Throttle
from crawler.turns import Turn


def nothing_known(host: str) -> None:
    return None


def make(world: World, config: CrawlConfig | None = None, known: Known = nothing_known, in_hand: int = 64) -> Frontier:
    return Frontier(world.rules(config), known, Throttle(in_hand))


def test_every_entry_ends_once() -> None:
    """Whatever happens to them on the way, as many fates come out as entries went in, one each."""
    world = World(
        {
            "http://a.com/1": [answer()],
            "http://a.com/2": [failure("reset"), answer(503), answer()],
            "http://b.com/1": [answer(302, (("Location", "http://a.com/1"),))],
            "http://c.com/1": [failure("tls")],
        }
    )
    frontier = make(world, CrawlConfig(robots=False, per_host=1))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    endings = world.drain(frontier)

    assert [1, 2, 3, 4] == sorted(ending.state.seq for ending in endings if isinstance(ending, Fate))
    assert (0, None, 0) == (frontier.held, frontier.next(world.now), frontier.ready)


def test_a_host_never_has_more_in_flight_than_its_limit() -> None:
    """Also through redirects: an exchange holds a slot of the host that it talks to, and only of that one."""
    world = World(
        {f"http://{h}.com/{n}": [answer(302, (("Location", f"http://z.com/{h}{n}"),))] for h in "abc" for n in range(5)}
    )
    world._pages |= {f"http://z.com/{h}{n}": [answer()] for h in "abc" for n in range(5)}
    frontier = make(world, CrawlConfig(robots=False, per_host=2))
    frontier.add(state(url, seq) for seq, url in enumerate(list(world._pages)[:15], 1))

    flying = []
    most: dict[str, int] = {}
    while frontier.held:
        while (turn := frontier.next(world.now)) is not None:
            flying.append(turn)
        hosts = [turn.action.host for turn in flying if isinstance(turn.action, Exchange)]
        most |= {host: max(most.get(host, 0), hosts.count(host)) for host in hosts}
        turn = flying.pop(0)
        frontier.done(turn, world.do(turn.action), world.now)

    assert {"a.com": 2, "b.com": 2, "c.com": 2, "z.com": 2} == most


def test_a_wait_holds_neither_slot_nor_hand() -> None:
    """While one entry of a host waits for its retry, the next one goes, even with one slot."""
    world = World({"http://a.com/1": [failure("reset"), answer()], "http://a.com/2": [answer()]})
    frontier = make(world, CrawlConfig(robots=False, per_host=1), in_hand=1)
    frontier.add([state("http://a.com/1", 1), state("http://a.com/2", 2)])
    endings = world.drain(frontier)

    assert [2, 1] == [ending.state.seq for ending in endings]
    assert 1_000.5 == world.now


def test_what_is_known_is_not_asked() -> None:
    """A host whose addresses are cached goes straight to its exchange."""
    world = World({"http://a.com/1": [answer()]})
    frontier = make(world, known=lambda host: Addresses((PUBLIC,)))
    frontier.add([state("http://a.com/1")])
    turn = frontier.next(world.now)

    assert turn is not None
    assert isinstance(turn.action, Exchange)


def test_what_is_given_up_leaves_no_trace() -> None:
    """After `forget` only what the driver has in hand is held; its slots are free again, and its end is its fate."""
    world = World(
        {"http://a.com/1": [answer()], "http://a.com/2": [failure("reset"), answer()], "http://b.com/1": [answer()]}
    )
    frontier = make(world, CrawlConfig(robots=False, per_host=2), known=lambda host: Addresses((PUBLIC,)))
    frontier.add(state(url, seq) for seq, url in enumerate([*world._pages, "http://a.com/3", "http://a.com/4"], 1))
    turns = [frontier.next(world.now), frontier.next(world.now)]
    assert turns[1] is not None
    frontier.forget()

    assert (2, 0, None) == (frontier.held, frontier.ready, frontier.next(world.now))
    for turn in turns:
        assert turn is not None
        frontier.done(turn, world.do(turn.action), world.now)
    frontier.forget()
    assert 0 == frontier.held
    assert {} == {host: slot.active for host, slot in frontier._politeness._slots.items() if slot.active}


def test_hands_are_bounded() -> None:
    """However many entries could go, the driver gets no more exchanges at once than it said, and 100 lookups."""
    urls = [f"http://h{n}.com/" for n in range(250)]
    for known, kind, most in ((nothing_known, Resolve, 100), (lambda _: Addresses((PUBLIC,)), Exchange, 8)):
        frontier = make(World({}), in_hand=8, known=known)
        frontier.add(state(url, seq) for seq, url in enumerate(urls, 1))
        turns = [turn for _ in range(250) if (turn := frontier.next(1_000)) is not None]

        assert [kind] * most == [type(turn.action) for turn in turns]


def test_a_dead_name_server_holds_up_no_host_that_is_known() -> None:
    """Thousands of names that nobody answers stand in front: all that need none go, and more is asked for."""
    frontier = make(World({}), in_hand=8, known=lambda host: Addresses((PUBLIC,)) if host == "known.com" else None)
    frontier.add(state(f"http://dead{n}.com/", n) for n in range(1, 2_001))
    frontier.add(state(f"http://known.com/{n}", 2_000 + n) for n in range(1, 5))
    turns = [turn for _ in range(200) if (turn := frontier.next(1_000)) is not None]
    turns += [turn for _ in range(200) if frontier.wake_at() == 0 and (turn := frontier.next(1_000)) is not None]

    assert 4 == sum(isinstance(turn.action, Exchange) for turn in turns)
    assert (2_004, 0) == (frontier.held, frontier.ready)


def test_waiting_entries_are_no_tasks() -> None:
    """20,000 entries of one host are parked states: no generator, no task, two turns."""
    world = World({f"http://a.com/{n}": [answer()] for n in range(20_000)})
    frontier = make(world, CrawlConfig(robots=False, per_host=2))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    turns = [turn for _ in range(100) if (turn := frontier.next(world.now)) is not None]

    assert (2, 20_000) == (len(turns), frontier.held)
    slot = frontier._politeness._slots["a.com"]
    assert {FlowState} == {type(item) for item in slot.queue}


async def test_the_frontier_needs_no_loop() -> None:
    """It is pure: driving it inside a running loop makes no task."""
    before = len(asyncio.all_tasks())
    world = World({"http://a.com/1": [answer()]})
    frontier = make(world)
    frontier.add([state("http://a.com/1")])

    assert 1 == len(world.drain(frontier))
    assert before == len(asyncio.all_tasks())


def test_a_delay_holds_however_long_the_lookup_takes() -> None:
    """Entries that waited for one slow lookup do not go all at once when it ends: the delay is between exchanges."""
    world = World({f"http://a.com/{n}": [answer()] for n in range(4)})
    frontier = make(world, CrawlConfig(robots=False, delay=1.0))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    waiting: list[Turn] = []
    starts: list[float] = []
    while frontier.held:
        turn = frontier.next(world.now)
        if turn is None:
            if world.now >= 1_003 and waiting:
                for looked_up in waiting:
                    frontier.done(looked_up, world.do(looked_up.action), world.now)
                waiting = []
            else:
                wake = frontier.wake_at()
                world.now = max(world.now, 1_003 if wake is None else wake)
        elif isinstance(turn.action, Resolve):
            waiting.append(turn)
        else:
            starts.append(world.now)
            frontier.done(turn, world.do(turn.action), world.now)

    assert [1_003, 1_004, 1_005, 1_006] == starts


def test_a_lookup_costs_no_delay() -> None:
    """An entry that was looked up goes at once where nobody else of its host went meanwhile."""
    world = World({"http://a.com/1": [answer()], "http://a.com/2": [answer()]})
    frontier = make(world, CrawlConfig(robots=False, delay=10.0))
    frontier.add([state("http://a.com/1"), state("http://a.com/2", 2)])
    world.drain(frontier)

    assert 1_010 == world.now


def test_nothing_wakes_a_driver_whose_hands_are_full() -> None:
    """A host whose delay is over changes nothing while no further turn may be given: no time to wake at."""
    world = World({})
    frontier = make(world, CrawlConfig(robots=False, delay=1.0), known=lambda host: Addresses((PUBLIC,)), in_hand=2)
    frontier.add(state(f"http://h{n}.com/{m}") for n in range(3) for m in range(2))
    assert None not in [frontier.next(world.now) for _ in range(2)]

    assert (None, None) == (frontier.next(world.now + 2), frontier.wake_at())


def test_a_delay_counts_from_the_start_of_an_exchange() -> None:
    """One that had to wait for its place in the pool begins late, and so do those of its host behind it."""
    world = World({f"http://a.com/{n}": [answer()] for n in range(2)})
    frontier = make(world, CrawlConfig(robots=False, delay=1.0), known=lambda host: Addresses((PUBLIC,)))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    turn = frontier.next(1_000)
    assert turn is not None

    assert frontier.started(turn, 1_005)
    assert None is frontier.next(1_005.5)
    assert None is not frontier.next(1_006)


def flying(frontier: Frontier, now: float) -> list[Turn]:
    """The exchanges that the driver gets now."""
    turns = []
    while (turn := frontier.next(now)) is not None:
        turns.append(turn)
    return turns


def test_a_limit_of_this_machine_lowers_what_is_handed_out() -> None:
    """Once an event, however many were in flight; what waits for its place holds nobody else of its host up twice."""
    world = World({f"http://h{n}.com/": [answer()] for n in range(40)})
    throttle = Throttle(8)
    frontier = Frontier(world.rules(), lambda host: Addresses((PUBLIC,)), throttle)
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    turns = flying(frontier, 1_000)
    assert (8, 8) == (len(turns), frontier.in_flight)
    for turn in turns:
        frontier.done(turn, Failure("local", "memory is short", sent=False), 1_001)

    assert (4, "memory is short") == (throttle.places, frontier.shortage)
    assert 4 == len(flying(frontier, 1_001))
    assert 0 < frontier.ready


def test_a_lookup_that_met_a_limit_lowers_it_too() -> None:
    """It takes descriptors as an exchange does; and lookups go on while no exchange has a place."""
    world = World({f"http://h{n}.com/": [answer()] for n in range(9)})
    throttle = Throttle(4)
    frontier = Frontier(world.rules(), lambda host: None, throttle)
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    lookups = flying(frontier, 1_000)
    assert [Resolve] * 9 == [type(turn.action) for turn in lookups]
    for turn in lookups[:4]:
        frontier.done(turn, Addresses((PUBLIC,)), 1_001)
    assert [Exchange] * 4 == [type(turn.action) for turn in flying(frontier, 1_001)]
    frontier.done(lookups[4], Failure("local", "no descriptor", sent=False), 1_001)

    assert 2 == throttle.places


def test_every_entry_ends_however_short_the_machine_is() -> None:
    """With limits that are met again and again, as many fates come out as entries went in, and all are fetched."""
    world = World({f"http://h{n % 7}.com/{n}": [failure("local", sent=False)] * 3 + [answer()] for n in range(50)})
    frontier = Frontier(world.rules(CrawlConfig(robots=False, delay=0.1)), nothing_known, Throttle(4))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    endings = world.drain(frontier)

    assert list(range(1, 51)) == sorted(ending.state.seq for ending in endings if isinstance(ending, Fate))
    assert {("fetched", 4)} == {(ending.outcome, ending.attempts) for ending in endings if isinstance(ending, Fate)}
    assert (0, None) == (frontier.in_flight, frontier.next(world.now))


def test_a_delay_holds_for_exchanges_that_waited_for_their_place() -> None:
    """Two of one host that got their slots long ago do not start together when there is room again."""
    world = World({"http://a.com/0": [answer()], "http://b.com/1": [answer()], "http://b.com/2": [answer()]})
    frontier = Frontier(world.rules(CrawlConfig(robots=False, delay=1.0)), nothing_known, Throttle(1))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    lookups = [frontier.next(1_000), frontier.next(1_000), frontier.next(1_001)]
    for turn in lookups:
        assert turn is not None
        frontier.done(turn, Addresses((PUBLIC,)), 1_010)
    starts = []
    now = 1_010.0
    while frontier.held:
        turn = frontier.next(now)
        if turn is None:
            now = frontier.wake_at() or now
            continue
        starts.append((turn.host, now))
        frontier.done(turn, world.do(turn.action), now)

    assert [("a.com", 1_010.0), ("b.com", 1_010.0), ("b.com", 1_011.0)] == starts
