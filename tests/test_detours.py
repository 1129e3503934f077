"""Detours: a robots.txt that redirects to another worker's host is asked for by that worker."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import pytest
from conftest import running_origin
from hypothesis import given
from hypothesis import strategies as st
from scripted import PUBLIC, World, answer, failure, state

import crawler
from crawler.admission import AWAY_S
from crawler.config import CrawlConfig
from crawler.exchange import Addresses
from crawler.fates import Fate
from crawler.frontier import Frontier
from crawler.records import FlowState
from crawler.throttle import Throttle
from crawler.turns import Turn

HOSTS = ("a.com", "b.com", "c.com")
ROBOTS = "http://a.com/robots.txt"
TO_B, TO_C = (answer(302, (("Location", f"http://{host}/robots.txt"),)) for host in ("b.com", "c.com"))


def rules(text: str) -> object:
    return answer(200, payload=f"User-agent: *\n{text}\n".encode())


class Workers:
    """Three workers, each the home of one host, between which states travel as the parent would send them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[tuple[int, str]] = []
        """Which worker asked for which URL."""
        self.fates: list[Fate] = []
        self.frontiers = [
            Frontier(
                world.rules(CrawlConfig(per_host=2), at_home=lambda host, home=home: host == home),  # type: ignore[misc]
                lambda host: Addresses((PUBLIC,)),
                Throttle(64),
            )
            for home in HOSTS
        ]

    def add(self, states: Iterable[FlowState]) -> None:
        for entry in states:
            self.frontiers[HOSTS.index(entry.host)].add([entry])

    def turns(self) -> list[tuple[int, Turn]]:
        """All that can be done now."""
        found = []
        for number, frontier in enumerate(self.frontiers):
            while (turn := frontier.next(self.world.now)) is not None:
                self.asked.append((number, getattr(turn.action, "url", "")))
                found.append((number, turn))
        return found

    def do(self, number: int, turn: Turn) -> None:
        self.frontiers[number].done(turn, self.world.do(turn.action), self.world.now)

    def settle(self, lost: Iterable[int] = ()) -> None:
        """Take in what has left; entries in `lost` are gone when they change the worker."""
        for frontier in self.frontiers:
            while frontier.finished:
                ending = frontier.finished.popleft()
                if isinstance(ending, Fate):
                    self.fates.append(ending)
                elif ending.seq not in lost:
                    self.add([ending])

    def drain(self, lost: Iterable[int] = ()) -> dict[int, tuple[str, str | None]]:
        """Run to the end; by seq how each entry ended."""
        while any(frontier.held or frontier.finished for frontier in self.frontiers):
            self.settle(lost)
            turns = self.turns()
            for number, turn in turns:
                self.do(number, turn)
            if not turns and not any(frontier.finished for frontier in self.frontiers):
                wakes = [wake for frontier in self.frontiers if (wake := frontier.wake_at()) is not None]
                assert wakes or not any(frontier.held for frontier in self.frontiers), "they wait for nothing"
                self.world.now = max(self.world.now, min(wakes, default=0.0))
        return {fate.state.seq: (fate.outcome, fate.error_class) for fate in self.fates}


def test_the_home_of_its_host_asks_for_it() -> None:
    """Once, whoever waits; and all of them hear what it says, which is for the origin that they came from."""
    pages = {f"http://a.com/{n}": [answer()] for n in range(20)}
    world = World(pages | {ROBOTS: [TO_B], "http://b.com/robots.txt": [rules("Disallow: /1")]})
    workers = Workers(world)
    workers.add(state(url, seq) for seq, url in enumerate(pages))
    ended = workers.drain()

    assert [f"http://a.com/{n}" for n in (0, *range(2, 10))] == sorted(
        fate.state.target for fate in workers.fates if fate.outcome == "fetched"
    )
    assert {1, *range(10, 20)} == {seq for seq, ending in ended.items() if ending == ("denied", "robots")}
    assert [(0, ROBOTS), (1, "http://b.com/robots.txt")] == [ask for ask in workers.asked if "robots" in ask[1]]


def test_it_may_go_on_to_a_third() -> None:
    """Five redirects are followed from home to home, as they are within one; a page may be under way meanwhile."""
    pages = {"http://c.com/1": [answer(302, (("Location", "http://a.com/yes"),))], "http://a.com/yes": [answer()]}
    world = World(
        pages
        | {"http://c.com/robots.txt": [answer(404), rules("Disallow: /no")]}
        | {ROBOTS: [TO_B], "http://b.com/robots.txt": [TO_C]}
    )
    workers = Workers(world)
    workers.add([state("http://c.com/1", 1)])

    assert {1: ("fetched", None)} == workers.drain()
    assert [(2, "http://c.com/robots.txt"), (0, ROBOTS), (1, "http://b.com/robots.txt")] == [
        ask for ask in workers.asked if "robots" in ask[1]
    ][:3]


@pytest.mark.parametrize("there", [failure("dns"), failure("tls"), failure("connect", sent=False)])
def test_what_fails_there_fails_here(there: object) -> None:
    """A robots.txt that cannot be reached gives its class to the pages that wait for it."""
    world = World({ROBOTS: [TO_B], "http://b.com/robots.txt": [there]})  # type: ignore[list-item]
    workers = Workers(world)
    workers.add(state(f"http://a.com/{n}", n) for n in range(3))
    failures = set(workers.drain().values())

    assert 1 == len(failures)
    assert {("failed", "host_down")} | failures <= {("failed", c) for c in ("dns", "tls", "connect", "host_down")}


def test_who_waits_does_not_wait_for_ever() -> None:
    """The entry that went to ask met its end on the way: after ten minutes the robots.txt is followed from here."""
    pages = {f"http://a.com/{n}": [answer()] for n in range(3)}
    world = World(pages | {ROBOTS: [TO_B], "http://b.com/robots.txt": [answer(404)]})
    workers = Workers(world)
    workers.add(state(url, seq) for seq, url in enumerate(pages))

    assert {1: ("fetched", None), 2: ("fetched", None)} == workers.drain(lost={0})
    assert (0, "http://b.com/robots.txt") in workers.asked
    assert 1_000 + AWAY_S <= world.now <= 1_001 + AWAY_S


def test_what_is_given_up_leaves_nothing() -> None:
    """A run that is stopped while the robots.txt is on its way has no entry left, here or there."""
    world = World({ROBOTS: [TO_B], "http://b.com/robots.txt": [answer(404)]})
    workers = Workers(world)
    workers.add(state(f"http://a.com/{n}", n) for n in range(3))
    for number, turn in workers.turns():
        for frontier in workers.frontiers:
            frontier.forget()
        workers.do(number, turn)

    assert [0, 0, 0] == [frontier.held for frontier in workers.frontiers]
    assert {} == workers.drain()


@given(st.data())
def test_every_entry_ends_once_and_every_host_is_asked_from_its_home(data: st.DataObject) -> None:
    """Whatever the sites answer, wherever they lead, in whatever order it comes."""
    scripts = st.sampled_from(
        [answer(404), rules("Disallow: /1"), answer(503), failure("reset"), failure("connect", sent=False)]
        + [answer(302, (("Location", f"http://{host}/{path}"),)) for host in HOSTS for path in ("robots.txt", "0")]
    )
    pages = {f"http://{host}/{n}": [answer()] for host in HOSTS for n in range(3)}
    pages["http://a.com/2"] = [answer(302, (("Location", "http://b.com/1"),))]
    pages["http://b.com/2"] = [answer(302, (("Location", "http://c.com/2"),))]
    world = World(pages | {f"http://{host}/robots.txt": data.draw(st.lists(scripts, min_size=1)) for host in HOSTS})
    workers = Workers(world)
    workers.add(state(url, seq) for seq, url in enumerate(pages))
    flying: list[tuple[int, Turn]] = []
    while any(frontier.held or frontier.finished for frontier in workers.frontiers):
        workers.settle()
        flying += workers.turns()
        if flying:
            workers.do(*flying.pop(data.draw(st.integers(0, len(flying) - 1))))
        elif not any(frontier.finished for frontier in workers.frontiers):
            wakes = [wake for frontier in workers.frontiers if (wake := frontier.wake_at()) is not None]
            world.now = max(world.now, min(wakes, default=0.0))

    assert list(range(9)) == sorted(fate.state.seq for fate in workers.fates)
    assert all(url.startswith(f"http://{HOSTS[number]}/") for number, url in workers.asked)


@pytest.mark.parametrize("engine", ["asyncio", "threads"])
def test_as_the_server_counts(engine: str, tmp_path: object) -> None:
    """Forty sites send all that ask for their robots.txt to one host: it never sees more at once than it may."""
    with running_origin(tmp_path, ["lo"]) as sites, running_origin(tmp_path) as target:  # type: ignore[arg-type]
        rules_at = target.url("/slow-head?s=0.02", "127.0.0.2")
        hosts = [f"127.1.{n}.1" for n in range(40)]
        for n, host in enumerate(hosts):
            away = "/redirect-to?url=" + quote(f"{rules_at}&{n}")
            sites.ask(f"/_robots/{host}?as={quote(away)}")
        pages = crawler.fetch(
            [sites.url("/page/1", host) for host in hosts],
            procs=2, conc=100, per_host=1, engine=engine, allow_private=True,
        )  # fmt: skip
        fetched = [page.status for page in pages]
        stats = target.stats()

    assert ([200] * 40, 1, 40) == (fetched, stats["most_in_flight"], stats["requests"])
