"""Hosts that push back, hosts that are dead, and many names on one machine: a frontier on a fake clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import PUBLIC, World, answer, failure, state
from test_frontier import flying, make

from crawler.config import CrawlConfig
from crawler.exchange import Addresses, Exchange
from crawler.fates import Fate
from crawler.frontier import Frontier
from crawler.records import FlowState
from crawler.throttle import Throttle
from crawler.turns import Turn


def ended(endings: list[Fate | FlowState]) -> dict[tuple[str, str | None, int], int]:
    """How many entries ended with each outcome, error class and number of attempts."""
    fates = [(ending.outcome, ending.error_class, ending.attempts) for ending in endings if isinstance(ending, Fate)]
    return {kind: fates.count(kind) for kind in fates}


REFUSED = failure("connect", sent=False)


@pytest.mark.parametrize("robots", [False, True])
@pytest.mark.parametrize("per_host", [0, 1, 4])
def test_a_dead_host_costs_few_tries_and_no_other_host_anything(per_host: int, robots: bool) -> None:
    """Of two thousand entries a dozen tries are made; the rest fails as `host_down` without one, after 20 seconds."""
    dead = {f"http://dead.com/{n}": [REFUSED] for n in range(2_000)}
    live = {f"http://h{n % 100}.com/{n}": [answer()] for n in range(2_000)}
    files = {"http://dead.com/robots.txt": [REFUSED]} | {
        f"http://h{n}.com/robots.txt": [answer(404)] for n in range(100)
    }
    world = World(dead | live | files)
    frontier = make(world, CrawlConfig(per_host=per_host, robots=robots), in_hand=512)
    frontier.add(state(url, seq) for seq, url in enumerate(dead | live, 1))
    endings = world.drain(frontier)
    counts = ended(endings)

    assert 2_000 == counts.pop(("fetched", None, 1))
    assert 2_000 == sum(counts.values())
    assert 1_950 <= counts["failed", "host_down", 0]
    assert sum(exchange.host == "dead.com" for exchange in world.exchanges) <= 15
    assert 1_020 <= world.now <= 1_040
    assert {"fetched"} == {ending.outcome for ending in endings[:2_000] if isinstance(ending, Fate)}


def test_a_host_that_never_answers_is_given_up_too() -> None:
    """It takes connections and says nothing on them: after thirty in a row and three tries it is given up."""
    mute = {f"http://mute.com/{n}": [failure("timeout")] for n in range(2_000)}
    live = {f"http://h{n % 100}.com/{n}": [answer()] for n in range(2_000)}
    world = World(mute | live)
    frontier = make(world, CrawlConfig(robots=False), in_hand=512)
    frontier.add(state(url, seq) for seq, url in enumerate(mute | live, 1))
    counts = ended(world.drain(frontier))

    assert 2_000 == counts.pop(("fetched", None, 1))
    assert 2_000 == sum(counts.values())
    assert 1_950 <= counts["failed", "host_down", 0]
    assert sum(exchange.host == "mute.com" for exchange in world.exchanges) <= 40


def test_a_host_that_answers_now_and_then_is_not_given_up() -> None:
    """Of four pages that are asked for only one comes in time: each of them is asked for all the same."""
    pages = {f"http://slow.com/{n}": [failure("timeout") if n % 4 else answer()] for n in range(400)}
    world = World(dict(pages))
    frontier = make(world, CrawlConfig(robots=False, retries=0))
    frontier.add(state(url, seq) for seq, url in enumerate(pages, 1))

    assert {("fetched", None, 1): 100, ("failed", "timeout", 1): 300} == ended(world.drain(frontier))


def test_a_host_that_is_back_has_lost_nothing() -> None:
    """It was away for fifteen seconds: whatever was tried meanwhile is tried again, and all is fetched."""
    world = World({f"http://a.com/{n}": [answer()] for n in range(500)})
    back = world.now + 15
    world._pages = {url: [lambda body: (answer() if world.now > back else REFUSED)(body)] for url in world._pages}
    frontier = make(world, CrawlConfig(robots=False))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))

    assert {"fetched"} == {outcome for outcome, _, _ in ended(world.drain(frontier))}
    assert len(world.exchanges) <= 520
    assert not frontier._reach._outages


def test_another_port_of_a_dead_one_is_well() -> None:
    """What is set aside is an origin: on the same host with the same limits the entries of another go on."""
    dead = {f"http://a.com:81/{n}": [REFUSED] for n in range(100)}
    live = {f"http://a.com/{n}": [answer()] for n in range(100)}
    world = World(dead | live)
    frontier = make(world, CrawlConfig(per_host=1, delay=1.0, robots=False))
    frontier.add(state(url, seq) for seq, url in enumerate(dead | live, 1))
    endings = world.drain(frontier)

    assert 100 == ended(endings)["fetched", None, 1]
    assert {"connect", "host_down"} >= {kind for outcome, kind, _ in ended(endings) if outcome == "failed"}
    assert world.now <= 1_150


def test_one_entry_is_tried_as_often_as_it_may_be() -> None:
    """A host with one page is not down: its own retries say all there is to say."""
    world = World({"http://a.com/": [REFUSED]})
    frontier = make(world, CrawlConfig(retries=7, robots=False))
    frontier.add([state("http://a.com/")])

    assert {("failed", "connect", 8): 1} == ended(world.drain(frontier))


def test_push_back_is_heeded_by_all_of_the_host() -> None:
    """While the host rests nothing of it starts; its entries lose no try over it, and other hosts go on."""
    busy = {f"http://busy.com/{n}": [answer()] for n in range(200)}
    busy["http://busy.com/0"] = [answer(429, (("Retry-After", "30"),)), answer()]
    world = World(busy | {f"http://b.com/{n}": [answer()] for n in range(50)})
    frontier = make(world, CrawlConfig(per_host=4, robots=False))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    starts: list[tuple[str, float]] = []
    in_flight: list[Turn] = []
    while frontier.held:
        while (turn := frontier.next(world.now)) is not None:
            if isinstance(turn.action, Exchange):
                starts.append((turn.action.host, world.now))
            in_flight.append(turn)
        if in_flight:
            turn = in_flight.pop(0)
            frontier.done(turn, world.do(turn.action), world.now)
        else:
            world.now = max(world.now, frontier.wake_at() or 0.0)

    assert {("fetched", None, 1): 249, ("fetched", None, 2): 1} == ended(list(frontier.finished))
    assert 4 == [host for host, at in starts if at < 1_030].count("busy.com")
    assert 50 == [host for host, at in starts if at < 1_030].count("b.com")


@pytest.mark.parametrize(
    ("per_host", "asked_s", "ends"), [(4, 0, 1_130), (0, 0, 1_130), (4, 7, 1_140), (4, 120, 2_330)]
)
def test_a_host_that_only_pushes_back_is_given_up(per_host: int, asked_s: int, ends: float) -> None:
    """Two minutes of nothing else are enough: not one request for each of its entries, and none is without a fate."""
    world = World({f"http://busy.com/{n}": [answer(503, (("Retry-After", f"{asked_s}"),))] for n in range(2_000)})
    frontier = make(world, CrawlConfig(per_host=per_host, robots=False))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    counts = ended(world.drain(frontier))

    assert 2_000 == sum(counts.values())
    assert {("fetched", None), ("failed", "host_down")} == {kind[:2] for kind in counts}
    assert len(world.exchanges) <= 110
    assert 1_120 <= world.now <= ends


def test_no_answer_is_no_good_one() -> None:
    """A host that asked for less, and then answers no more at all, is not given its full measure back."""
    frontier = Frontier(
        World({}).rules(CrawlConfig(robots=False, retries=0, per_host=4)),
        lambda host: Addresses((PUBLIC,)),
        Throttle(64),
    )
    frontier.add(state(f"http://a.com/{n}", n) for n in range(1, 100))
    hand = [frontier.next(1_000) for _ in range(4)]
    for event, now in ((answer(503), 1_000.1), *[(failure("timeout", sent=True), 1_010.0 + 10 * n) for n in range(5)]):
        for turn in hand:
            assert turn is not None
            assert isinstance(turn.action, Exchange)
            frontier.done(turn, event(turn.action.body), now)
        hand = []
        while (turn := frontier.next(now + 5)) is not None:
            hand.append(turn)
        assert 2 == len(hand)


def test_a_few_pages_that_are_always_503_are_recorded_as_such() -> None:
    """Patience is longer than ten such pages need."""
    world = World({f"http://busy.com/{n}": [answer(503)] for n in range(10)})
    frontier = make(world, CrawlConfig(robots=False))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))

    assert {("fetched", None, 3): 10} == ended(world.drain(frontier))


@pytest.mark.parametrize(("per_address", "most"), [(None, 8), (3, 3), (0, 40)])
def test_many_names_on_one_machine_are_bounded_together(per_address: int | None, most: int) -> None:
    """By default four hosts' worth at one address; who waits there holds nobody up who goes elsewhere."""
    crowd = {f"http://h{n}.com/{m}": [answer()] for n in range(20) for m in range(5)}
    world = World(crowd | {"http://x.com/": [answer()]})
    addresses = {"x.com": Addresses(("93.184.215.15",))}
    config = CrawlConfig(per_host=2, per_address=per_address, robots=False)
    frontier = Frontier(world.rules(config), lambda host: addresses.get(host, Addresses((PUBLIC,))), Throttle(64))
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    in_flight = flying(frontier, world.now)
    seen = [{turn.host for turn in in_flight} >= {"x.com"}, len([turn for turn in in_flight if turn.host != "x.com"])]
    while in_flight:
        turn = in_flight.pop()
        frontier.done(turn, world.do(turn.action), world.now)
        in_flight += flying(frontier, world.now)
        seen.append(len([turn for turn in in_flight if turn.host != "x.com"]))

    assert seen[0]
    assert most == max(seen[1:])
    assert {("fetched", None, 1): 101} == ended(list(frontier.finished))
    assert {} == frontier._machines._machines


def test_a_limited_host_holds_nobody_back() -> None:
    """First in the list are 5,000 entries of a host that takes one at a time; a hundred others are done long before."""
    slow = {f"http://slow.com/{n}": [answer()] for n in range(5_000)}
    others = {f"http://h{n}.com/": [answer()] for n in range(100)}
    world = World(slow | others)
    frontier = make(world, CrawlConfig(per_host=1, robots=False), in_hand=16)
    frontier.add(state(url, seq) for seq, url in enumerate(world._pages, 1))
    due: list[tuple[float, Turn]] = []
    while frontier.held:
        while (turn := frontier.next(world.now)) is not None:
            due.append((world.now + (0.05 if turn.host == "slow.com" else 0.01), turn))
        due.sort(key=lambda entry: entry[0])
        world.now, turn = due.pop(0)
        frontier.done(turn, world.do(turn.action), world.now)

    hosts = [ending.state.host for ending in frontier.finished if isinstance(ending, Fate)]
    assert 100 == sum(host != "slow.com" for host in hosts[:110])


@given(
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from(["a.com", "b.com", "c.com:81", "c.com"]),
            st.lists(st.sampled_from(["ok", "429", "503", "refused", "reset", "away"]), max_size=4),
        ),
        max_size=40,
    ),
)
def test_every_entry_ends_whatever_hosts_do(
    per_host: int, per_address: int, robots: bool, entries: list[tuple[str, list[str]]]
) -> None:
    """Push-back, outages, redirects and a crowded address in any order: one fate each, and nothing is left behind."""
    kinds = {
        "ok": answer(),
        "429": answer(429, (("Retry-After", "3"),)),
        "503": answer(503),
        "refused": REFUSED,
        "reset": failure("reset"),
        "away": answer(302, (("Location", "http://b.com/end"),)),
    }
    pages = {f"http://{host}/{n}": [*map(kinds.get, script), answer()] for n, (host, script) in enumerate(entries)}
    files = {f"http://{host}/robots.txt": [answer(404)] for host in ("a.com", "b.com", "c.com:81", "c.com")}
    world = World(pages | files | {"http://b.com/end": [answer()]})  # type: ignore[operator]
    config = CrawlConfig(per_host=per_host, per_address=per_address, robots=robots)
    frontier = make(world, config, in_hand=8)
    frontier.add(state(url, seq) for seq, url in enumerate(pages, 1))
    endings = world.drain(frontier)

    assert list(range(1, len(pages) + 1)) == sorted(end.state.seq for end in endings if isinstance(end, Fate))
    assert (0, {}) == (frontier.in_flight, frontier._machines._machines)
    assert {} == {host: slot.active for host, slot in frontier._politeness._slots.items() if slot.active}
