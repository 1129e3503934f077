"""The flow: what happens to one URL, on a fake clock and without a socket."""

from __future__ import annotations

import weakref

import pytest
from scripted import PUBLIC, World, answer, failure, state

from crawler.config import CrawlConfig
from crawler.exchange import Addresses, Exchange, Failure, Wait
from crawler.fates import Fate
from crawler.flow import fetch
from crawler.records import FlowState

URL = "http://example.com/"


def fate(world: World, entry: FlowState | None = None, config: CrawlConfig | None = None) -> Fate:
    ending = world.run(entry or state(URL), config)
    assert isinstance(ending, Fate)
    return ending


@pytest.mark.parametrize("status", [200, 204, 301, 404, 410, 418, 500])
def test_an_answer_is_fetched_whatever_its_status(status: int) -> None:
    """A response came, so the outcome is `fetched`; a redirect without a target is a page like any other."""
    ending = fate(World({URL: [answer(status)]}))

    assert ("fetched", None, status, 1) == (ending.outcome, ending.error_class, ending.body.status, ending.attempts)


@pytest.mark.parametrize("error_class", ["connect", "timeout", "too_slow", "reset", "incomplete", "local"])
def test_what_can_pass_is_tried_again(error_class: str) -> None:
    """A failure that can pass is retried after a backoff, and the answer of the last try counts."""
    world = World({URL: [failure(error_class), failure(error_class), answer(200)]})
    ending = fate(world)

    assert ("fetched", 3) == (ending.outcome, ending.attempts)
    assert [0.5, 1.0] == world.waits


@pytest.mark.parametrize("error_class", ["tls", "protocol", "headers_too_large"])
def test_what_cannot_pass_is_not_tried_again(error_class: str) -> None:
    """A certificate does not get better by asking again."""
    ending = fate(World({URL: [failure(error_class)]}))

    assert ("failed", error_class, 1) == (ending.outcome, ending.error_class, ending.attempts)


def test_retries_end() -> None:
    """After `retries` further tries the failure is final."""
    world = World({URL: [failure("reset")]})
    ending = fate(world, config=CrawlConfig(retries=2))

    assert ("failed", "reset", 3, 3) == (ending.outcome, ending.error_class, ending.attempts, len(world.exchanges))


def test_a_limit_of_this_machine_has_tries_of_its_own() -> None:
    """They leave `retries` alone, last longer than a port's TIME_WAIT of 60 s, and each is counted."""
    world = World({URL: [failure("local", sent=False)]})
    ending = fate(world, config=CrawlConfig(retries=0))

    assert ("failed", "local", 9) == (ending.outcome, ending.error_class, ending.attempts)
    assert [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] == world.waits


def test_tries_of_both_kinds_do_not_mix() -> None:
    """What a site fails counts for `retries` alone, and backs off as if this machine had not failed in between."""
    world = World({URL: [failure("local"), failure("reset"), failure("local"), failure("reset"), answer()]})
    ending = fate(world, config=CrawlConfig(retries=2))

    assert ("fetched", 5) == (ending.outcome, ending.attempts)
    assert [0.5, 0.5, 1.0, 1.0] == world.waits


def test_a_post_that_may_have_arrived_is_not_sent_again_for_our_own_limits() -> None:
    """Memory that ran out over the answer says nothing about the request."""
    world = World({URL: [failure("local", sent=True), answer()]})
    ending = fate(world, state(URL, method="POST", body=b"pay"))

    assert ("failed", "local", 1) == (ending.outcome, ending.error_class, len(world.exchanges))


def test_a_wait_holds_no_body() -> None:
    """The part that came of an answer takes up no memory while its entry waits to be tried again."""
    flow = fetch(state(URL), World({}).rules())
    flow.send(None)
    exchange = flow.send(Addresses((PUBLIC,)))
    assert isinstance(exchange, Exchange)
    body = weakref.ref(exchange.body)
    assert isinstance(flow.send(Failure("local", "memory is short")), Wait)
    del exchange

    assert body() is None


def test_a_post_is_not_sent_twice_after_an_ambiguous_failure() -> None:
    """Where the request may have arrived, only an idempotent method goes again (RFC 9110 §9.2.2)."""
    world = World({URL: [failure("reset"), answer(200)]})
    ending = fate(world, state(URL, method="POST", body=b"pay"))

    assert ("failed", "reset", 1) == (ending.outcome, ending.error_class, len(world.exchanges))


def test_a_post_that_never_left_is_sent_again() -> None:
    """A refused connection is not ambiguous."""
    world = World({URL: [failure("connect", sent=False), answer(200)]})

    assert "fetched" == fate(world, state(URL, method="POST", body=b"pay")).outcome


@pytest.mark.parametrize(
    ("method", "status", "tries"), [("GET", 503, 3), ("POST", 503, 1), ("POST", 429, 3), ("GET", 500, 1)]
)
def test_statuses_that_can_pass(method: str, status: int, tries: int) -> None:
    """429, 502, 503 and 504 pass; but after a 5xx a POST may have been done."""
    world = World({URL: [answer(status)]})
    ending = fate(world, state(URL, method=method))

    assert ("fetched", status, tries) == (ending.outcome, ending.body.status, len(world.exchanges))


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ("7", 7.0),
        ("99999", 120.0),
        ("-5", 0.5),
        ("soon", 0.5),
        ("", 0.5),
        ("²", 0.5),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
    ],
)
def test_retry_after_is_honoured_within_a_bound(value: str, pause: float) -> None:
    """Seconds or a date (RFC 9110 §10.2.3), capped; nonsense leaves the backoff."""
    world = World({URL: [answer(503, (("Retry-After", value),)), answer(200)]})
    fate(world)

    assert [pause] == world.waits


def test_a_date_is_meant_by_the_servers_own_clock() -> None:
    """Whoever is a day off, the server or we, `Date` (RFC 9110 §6.6.1) tells how long the wait is meant to be."""
    fields = (("Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"))
    world = World({URL: [answer(503, fields), answer(200)]})
    fate(world)

    assert [10.0] == world.waits


def test_redirects_are_followed_and_recorded() -> None:
    """Each hop stands in the state, the last answer is the page, and the first URL stays the entry's."""
    world = World(
        {
            URL: [answer(301, (("Location", "/a"),), b"moved")],
            "http://example.com/a": [answer(302, (("Location", "http://other.org/b#part"),))],
            "http://other.org/b": [answer(200, payload=b"page")],
        }
    )
    ending = fate(world)

    assert (URL, "http://other.org/b", b"page") == (ending.state.url, ending.state.target, ending.body.payload)
    assert [(URL, 301, b"moved"), ("http://example.com/a", 302, b"")] == [
        (hop.url, hop.status, hop.payload) for hop in ending.state.hops
    ]


def test_redirects_end() -> None:
    """More than ten redirects are a failure that names itself; ten are not."""
    world = World({URL: [answer(302, (("Location", URL),))]})
    ending = fate(world)

    assert ("failed", "redirect", 11) == (ending.outcome, ending.error_class, len(world.exchanges))


@pytest.mark.parametrize(
    ("location", "outcome", "error_class"),
    [
        ("ftp://example.com/", "denied", "scheme"),
        ("javascript:alert(1)", "denied", "scheme"),
        ("http://", "failed", "redirect"),
    ],
)
def test_redirects_that_lead_nowhere(location: str, outcome: str, error_class: str) -> None:
    """A redirect to another scheme is denied; one to no URL is a failure."""
    ending = fate(World({URL: [answer(302, (("Location", location),))]}))

    assert (outcome, error_class) == (ending.outcome, ending.error_class)


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ],
)
def test_methods_change_as_browsers_change_them(status: int, method: str, after: str) -> None:
    """WHATWG Fetch §4.4: 303 makes a GET, so do 301 and 302 of a POST; 307 and 308 keep method and body."""
    world = World({URL: [answer(status, (("Location", "/b"),))], "http://example.com/b": [answer()]})
    fate(world, state(URL, method=method, body=b"x", headers=(("Content-Type", "text/plain"),)))

    last = world.exchanges[-1]
    kept = after == method
    assert (after, b"x" if kept else b"", kept) == (last.method, last.content, "Content-Type" in dict(last.headers))


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/same", True),
        ("http://other.org/", False),
        ("https://example.com/", False),
        ("http://example.com:8080/", False),
    ],
)
def test_own_headers_stay_with_their_origin(target: str, kept: bool) -> None:
    """The caller's header fields are not told to another origin (scheme, host or port)."""
    world = World({URL: [answer(302, (("Location", target),))]})
    world._pages |= {
        url: [answer()] for url in ("http://example.com/same", "http://other.org/", "https://example.com/")
    }
    world._pages["http://example.com:8080/"] = [answer()]
    fate(world, state(URL, headers=(("Authorization", "Basic x"),)), CrawlConfig(header=(("X-Key", "k"),)))

    names = dict(world.exchanges[-1].headers)
    assert (kept, kept) == ("Authorization" in names, "X-Key" in names)


def test_cookies_live_for_one_chain() -> None:
    """A consent page that sets a cookie and redirects to itself is passed; the next entry starts without it."""
    wall = [answer(302, (("Location", URL), ("Set-Cookie", "ok=1; Path=/"))), answer(200)]
    world = World({URL: [*wall, answer(200)]})
    fate(world)
    fate(world)

    assert [None, "ok=1", None] == [dict(exchange.headers).get("Cookie") for exchange in world.exchanges]


def test_a_redirect_to_another_workers_host_is_handed_over() -> None:
    """The flow ends with a state that says all that its next worker must know."""
    world = World({URL: [answer(302, (("Location", "http://other.org/"),))]})
    ending = world.run(state(URL), at_home=lambda host: host == "example.com")

    assert isinstance(ending, FlowState)
    assert ("http://other.org/", "other.org", 1, 0.01) == (ending.target, ending.host, len(ending.hops), ending.spent_s)


def test_a_flow_goes_on_from_its_state() -> None:
    """Handed over or not, the same entry meets the same fate."""
    pages = {URL: [answer(302, (("Location", "http://other.org/"),))], "http://other.org/": [answer(200, payload=b"x")]}
    moved = World(dict(pages)).run(state(URL), at_home=lambda host: host == "example.com")
    assert isinstance(moved, FlowState)
    over, straight = fate(World(dict(pages)), moved), fate(World(dict(pages)))

    assert (straight.state, straight.outcome, straight.attempts) == (over.state, over.outcome, over.attempts)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "64:ff9b::7f00:1"])
def test_private_addresses_are_denied(address: str) -> None:
    """Judged on the address that would be connected; nothing is sent."""
    world = World({URL: [answer()]}, addresses=[address])
    ending = fate(world)

    assert ("denied", "blocked_address", 0, []) == (
        ending.outcome,
        ending.error_class,
        ending.attempts,
        world.exchanges,
    )


def test_only_public_addresses_of_a_name_are_connected() -> None:
    """A name with a private address among public ones is fetched from the public ones."""
    world = World({URL: [answer()]}, addresses=["10.0.0.1", PUBLIC])
    fate(world)

    assert [(PUBLIC,)] == [exchange.addresses for exchange in world.exchanges]


def test_every_hop_is_judged() -> None:
    """A redirect to a private address is denied, and its hop is on record."""
    world = World({URL: [answer(302, (("Location", "http://inside.example/"),))]})
    world.do_resolve = world.do

    def do(action: object) -> object:
        world._addresses = ("10.0.0.1",) if getattr(action, "host", "") == "inside.example" else (PUBLIC,)
        return world.do_resolve(action)

    world.do = do
    ending = fate(world)

    assert ("denied", "blocked_address", 1, 1) == (
        ending.outcome, ending.error_class, len(ending.state.hops), len(world.exchanges),
    )  # fmt: skip


def test_a_deadline_that_came_early_by_a_hair() -> None:
    """Where no time is left that is worth a try, there is none, and the part that came is kept."""
    world = World({"http://example.com/": [failure("timeout", ms=59_999.9)]})
    fate = world.run(state(), CrawlConfig(max_time=60))

    assert isinstance(fate, Fate)
    assert (1, "timeout", []) == (fate.attempts, fate.error_class, world.waits)


def test_the_deadline_is_for_the_whole_url() -> None:
    """Redirects and retries share `max_time`; waiting for a retry does not count."""
    world = World(
        {
            URL: [answer(302, (("Location", "/b"),), ms=600)],
            "http://example.com/b": [failure("reset", ms=300), answer()],
        }
    )
    fate(world, config=CrawlConfig(max_time=1.0))

    assert [1.0, 0.4, 0.1] == [round(exchange.time_s, 3) for exchange in world.exchanges]


def test_time_that_is_used_up_ends_the_tries() -> None:
    """Nothing is sent when no time is left."""
    world = World({URL: [failure("timeout", ms=1000)]})
    ending = fate(world, config=CrawlConfig(max_time=1.0))

    assert ("failed", "timeout", 1) == (ending.outcome, ending.error_class, len(world.exchanges))


def test_a_type_that_is_not_wanted_is_denied() -> None:
    """`accept_type` is judged on the head."""
    world = World({URL: [answer(200, (("Content-Type", "image/png"),), b"png")]})
    ending = fate(world, config=CrawlConfig(accept_type=("text/*",)))

    assert ("denied", "type", 1) == (ending.outcome, ending.error_class, ending.attempts)


def test_a_broken_coding_is_a_failure() -> None:
    """Half a gzip stream with the right length is not a page."""
    ending = fate(World({URL: [answer(200, (("Content-Encoding", "gzip"),), b"\x1f\x8b\x08")]}))

    assert ("failed", "decode") == (ending.outcome, ending.error_class)


def test_cookies_of_the_chain_join_the_callers_own() -> None:
    """A cookie that a redirect sets is sent beside those of `--header`; the newer one of the same name counts."""
    first = answer(302, (("Location", "/b"), ("Set-Cookie", "lang=de"), ("Set-Cookie", "seen=2")))
    world = World({"http://example.com/": [first], "http://example.com/b": [answer()]})
    world.run(state(), CrawlConfig(header=(("Cookie", "session=mine; seen=1"),)))

    assert ["session=mine; seen=1", "session=mine; lang=de; seen=2"] == [
        dict(exchange.headers)["Cookie"] for exchange in world.exchanges
    ]
