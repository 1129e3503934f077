"""What redirects weigh, and that it has a bound whatever sites make of them."""

from __future__ import annotations

import dataclasses
import weakref

import msgspec
import pytest
from scripted import World, answer, state

from crawler.burden import Burden, bare, weight
from crawler.cookies import collect
from crawler.exchange import Exchange
from crawler.fates import Fate
from crawler.flow import fetch
from crawler.frontier import Frontier
from crawler.records import FlowState, Hop
from crawler.throttle import Throttle

HEAVY = answer(302, (("Location", "http://slow.test/"), ("X-Filling", "f" * 1_000)), b"b" * 1_000)


@pytest.mark.parametrize("most_bytes", [100_000, 6_000])
@pytest.mark.parametrize("leads", ["on", "away"])
def test_it_has_a_bound_and_is_gone_in_the_end(leads: str, most_bytes: int) -> None:
    """Hops that are too many lose body and fields, then no redirect is followed; and nothing is left over."""
    urls = [f"http://fast.test/{n}" for n in range(20)]
    world = World({url: [HEAVY] for url in urls} | {"http://slow.test/": [answer(200)]})
    burden = Burden(light_bytes=5_000, most_bytes=most_bytes)
    at_home = (lambda host: True) if leads == "on" else (lambda host: host == "fast.test")
    rules = dataclasses.replace(world.rules(at_home=at_home), burden=burden)
    frontier = Frontier(rules, lambda host: None, Throttle(100, None))
    frontier.add(state(url, seq) for seq, url in enumerate(urls, 1))
    most = 0
    while frontier.held:
        turn = frontier.next(world.now)
        assert turn is not None
        frontier.done(turn, world.do(turn.action), world.now)
        most = max(most, burden.bytes)

    hops = [hop for ending in frontier.finished for hop in _hops(ending)]
    refused = [ending for ending in frontier.finished if isinstance(ending, Fate) and ending.error_class == "local"]
    assert (0, 20) == (burden.bytes, len(hops) + len(refused))
    assert most <= max(5_000, most_bytes) + weight(hops[0])
    assert all(hop in (hops[0], bare(hops[0])) or hop.url != hops[0].url for hop in hops)


def test_a_bare_hop_still_leads_on() -> None:
    """Of its answer the status line and Location are left, and it is marked as cut."""
    hop = Hop("http://a/", "GET", (), b"", 302, "Found", "1.1", (("X", "y"),), b"body", "/b", None, 0.0)

    assert ((("Location", "/b"),), b"", "length") == (bare(hop).headers, bare(hop).payload, bare(hop).truncated)
    assert msgspec.structs.replace(bare(hop), headers=hop.headers, payload=b"body", truncated=None) == hop


def test_a_cookie_has_a_bound() -> None:
    """One of more than 4,096 bytes is not kept (RFC 6265 §6.1), the others are."""
    fields = (("Set-Cookie", f"large={'v' * 5_000}"), ("Set-Cookie", "small=v"))

    assert ["small"] == [cookie.name for cookie in collect((), "http://a.test/", fields)]


def _hops(ending: Fate | FlowState) -> tuple[Hop, ...]:
    return ending.state.hops if isinstance(ending, Fate) else ending.hops


def test_an_answer_that_led_on_is_let_go() -> None:
    """While its entry waits for the next host, nothing holds the redirect's body: its hop has what is kept."""
    world = World({"http://fast.test/": [HEAVY], "http://slow.test/": [answer(200)]})
    flow = fetch(state("http://fast.test/"), world.rules())
    action = flow.send(None)
    while not isinstance(action, Exchange):
        action = flow.send(world.do(action))
    body = weakref.ref(action.body)
    event = world.do(action)
    world.exchanges.clear()
    action = flow.send(event)
    del event

    assert body() is None
