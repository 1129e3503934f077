"""robots.txt: what it says, who asks for it, and what comes of it."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from command import crawl, rows, write_list
from conftest import Origin, running_origin
from hypothesis import given
from hypothesis import strategies as st
from scripted import PUBLIC, World, answer, failure, state

import crawler
from crawler.config import CrawlConfig
from crawler.exchange import Addresses, Exchange, Failure, Resolve
from crawler.fates import Fate
from crawler.frontier import Frontier
from crawler.permits import FAILED_S, KNOWN_S, Permits
from crawler.politeness import Politeness
from crawler.robots import CRAWL_DELAY_MOST_S, LIMIT_BYTES, NO_RULES, Rules, parse, product_token
from crawler.throttle import Throttle
from crawler.turns import Turn

ROBOTS = "http://a.com/robots.txt"
SITE = "http://example.com"


def allowed(text: str | bytes, path: str, token: str = "foobot") -> bool:
    data = text if isinstance(text, bytes) else text.encode()
    return parse(data, token).refusal(SITE + path) is None


class TestRules:
    SIMPLE = """\
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""

    @pytest.mark.parametrize(
        ("token", "path", "may"),
        [
            ("nobody", "/pictures/a.gif", False),
            ("nobody", "/example/b", False),
            ("nobody", "/publications/a", True),
            ("foobot", "/example/page.html", True),
            ("foobot", "/example/allowed.gif", True),
            ("foobot", "/", False),
            ("barbot", "/example/page.html", False),
            ("bazbot", "/example/page.html", False),
            ("bazbot", "/example/other", True),
            ("quxbot", "/example/page.html", True),
        ],
    )
    def test_the_simple_example(self, token: str, path: str, may: bool) -> None:
        """RFC 9309 §5.1."""
        assert may == allowed(self.SIMPLE, path, token)

    def test_the_longest_match_wins(self) -> None:
        """RFC 9309 §5.2, whatever the order of the lines; and of two that are as long, Allow (§2.2.2)."""
        text = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n"

        assert not allowed(text, "/example/page/disallowed.gif")
        assert allowed(text, "/example/page/a.gif")
        assert allowed("User-agent: *\nDisallow: /a\nAllow: /a", "/a")
        assert allowed("User-agent: *\nAllow: /a\nDisallow: /a", "/a")

    @pytest.mark.parametrize(
        ("pattern", "path"),
        [
            ("/foo/bar?baz=quz", "/foo/bar?baz=quz"),
            ("/foo/bar?baz=http://foo.bar", "/foo/bar?baz=http%3A%2F%2Ffoo.bar".replace("%2F", "/")),
            ("/foo/bar/ツ", "/foo/bar/%E3%83%84"),
            ("/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84"),
            ("/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84"),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
            ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html"),
            ("/path/foo-%24", "/path/foo-$"),
            ("/a%3cd.html", "/a%3Cd.html"),
            ("/*.php$", "/x/y.php"),
            ("/this/*/exactly", "/this/that/exactly"),
            ("*", "/"),
        ],
    )
    def test_what_a_pattern_matches(self, pattern: str, path: str) -> None:
        """RFC 9309 §2.2.2 and §2.2.3: octets are compared as they stand in a URL; `*` is anything, `$` the end."""
        assert not allowed(f"User-agent: *\nDisallow: {pattern}", path)

    @pytest.mark.parametrize(
        ("pattern", "path"),
        [("/fish/", "/fish"), ("/Fish", "/fish"), ("/*.php$", "/x.php?a"), ("/a%2Fb", "/a/b"), ("fish", "/fish")],
    )
    def test_what_a_pattern_does_not_match(self, pattern: str, path: str) -> None:
        """Paths are compared with their case, and an encoded slash is no slash."""
        assert allowed(f"User-agent: *\nDisallow: {pattern}", path)

    def test_octets_that_are_no_utf_8_match_themselves(self) -> None:
        """A path in Latin-1, here and in the URL, is the same path."""
        assert not allowed(b"User-agent: *\nDisallow: /caf\xe9", "/caf%E9")

    @pytest.mark.parametrize(
        ("agent", "ours"),
        [
            ("foobot", True), ("FooBot", True), ("foobot/2.1", True), ("foobot 2", True),
            ("foo", False), ("bot", False), ("foobot-news", False), ("xfoobot", False), ("", False),
        ],
    )  # fmt: skip
    def test_a_group_is_ours_by_the_whole_product_token(self, agent: str, ours: bool) -> None:
        """RFC 9309 §2.2.1: case does not matter, a version is no part of it, and a part of it is another crawler."""
        assert ours != allowed(f"User-agent: {agent}\nDisallow: /", "/")

    def test_groups_of_one_crawler_are_one(self) -> None:
        """RFC 9309 §2.2.1, its example; a group of ours makes that of all others none of our business."""
        text = "user-agent: foobot\ndisallow: /x\n\nuser-agent: *\ndisallow: /a\n\nuser-agent: FooBot\ndisallow: /b\n"

        assert [False, False, True] == [allowed(text, path) for path in ("/x", "/b", "/a")]

    def test_what_nobody_knows_ends_no_group(self) -> None:
        """RFC 9309 §2.2.4: other records must not interfere."""
        text = "User-agent: foobot\nSitemap: /s.xml\nNoindex: /\n\nCrawl-delay: 3\nUser-agent: other\nDisallow: /a"

        assert (False, 3.0) == (allowed(text, "/a"), parse(text.encode(), "foobot").crawl_delay)

    @pytest.mark.parametrize(
        "text",
        [
            b"\xef\xbb\xbfUser-agent: *\nDisallow: /a",
            b"User-agent: *\rDisallow: /a\r",
            b"User-agent: *\r\n\r\nDisallow: /a # why\r\n",
            b"  USER-AGENT :*\n\tdisallow\t:\t/a\t\n",
            b"user agent: *\ndissalow: /a",
            b"User-agent *\nDisallow /a",
            b"# first\x00\nUser-agent: * # all\n\x0b\nDisallow: /a",
        ],
    )
    def test_lines_as_people_write_them(self, text: bytes) -> None:
        """A byte order mark, all line ends, comments, blanks, a colon that is missing, common misspellings."""
        assert not allowed(text, "/a")
        assert allowed(text, "/b")

    @pytest.mark.parametrize(
        "text",
        [
            "", "Disallow: /", "User-agent: *\nDisallow:", "User-agent: *\nDisallow: # /",
            "User-agent: other\nDisallow: /",
            "<html><body>User-agent: *\n", "User-agent: *\nDisallow\u2028: /",
        ],
    )  # fmt: skip
    def test_what_forbids_nothing(self, text: str) -> None:
        """No rule for us, an empty one, one outside of every group, no robots.txt at all."""
        assert allowed(text, "/a")

    def test_the_file_itself_may_always_be_fetched(self) -> None:
        """RFC 9309 §2.2.2."""
        assert allowed("User-agent: *\nDisallow: /", "/robots.txt")

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("2", 2.0), ("0.5", 0.5), ("86400", CRAWL_DELAY_MOST_S), ("-1", 0.0),
         ("nan", 0.0), ("inf", 0.0), ("soon", 0.0)],
    )  # fmt: skip
    def test_the_crawl_delay(self, value: str, seconds: float) -> None:
        """Seconds, within a bound; nonsense is none."""
        assert seconds == parse(f"User-agent: *\nCrawl-delay: {value}".encode(), "foobot").crawl_delay

    @pytest.mark.parametrize(
        ("agent", "token"),
        [("crawler/0.1 (bulk fetcher)", "crawler"), ("My-Bot_x", "my-bot_x"),
         ("Bot2000/1", "bot"), ("42", ""), ("", "")],
    )  # fmt: skip
    def test_our_product_token(self, agent: str, token: str) -> None:
        """RFC 9309 §2.2.1: letters, hyphen and underscore, from the beginning of the User-Agent."""
        assert token == product_token(agent)

    def test_who_has_no_token_is_everybody(self) -> None:
        """A User-Agent that begins with no letter obeys what is said to all."""
        assert not allowed("User-agent: *\nDisallow: /a\nUser-agent: 42\nAllow: /", "/a", "")

    def test_half_a_line_is_no_line(self) -> None:
        """What is cut off in the middle of `Disallow: /private` must not forbid all."""
        data = b"User-agent: *\nDisallow: /b\nDisallow: /"

        assert None is parse(data, "foobot", cut=True).refusal(SITE + "/a")
        assert None is not parse(data, "foobot", cut=True).refusal(SITE + "/b")

    def test_all_that_is_read_counts(self) -> None:
        """The last of as many rules as fit into what is read is obeyed."""
        head, line = b"User-agent: *\n", b"Disallow: /%09d\n"
        count = (LIMIT_BYTES - len(head)) // len(line % 0)
        rules = parse(head + b"".join(line % n for n in range(count)), "foobot")

        assert (count, None) == (rules.count, rules.refusal(f"{SITE}/{count:09d}"))
        assert None is not rules.refusal(f"{SITE}/{count - 1:09d}")


LINE = st.sampled_from(
    [
        b"User-agent: *",
        b"User-agent: foobot",
        b"Disallow: /",
        b"Allow: /a",
        b"Disallow: /*a*a*$",
        b"Crawl-delay: 9",
        b"",
    ]
)


class TestHostileBytes:
    @given(st.one_of(st.binary(), st.lists(st.one_of(LINE, st.binary()), max_size=20).map(b"\n".join)), st.binary())
    def test_never_raises(self, data: bytes, path: bytes) -> None:
        """Whatever the bytes are, rules come out, and any URL can be judged by them."""
        rules = parse(data, "foobot")

        assert rules.refusal(f"{SITE}/{quote(path)}") in (None, "robots.txt disallows this URL.")
        assert 0 <= rules.crawl_delay <= CRAWL_DELAY_MOST_S

    @given(st.lists(LINE, max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
    def test_line_ends_do_not_matter(self, lines: list[bytes], end: bytes) -> None:
        """The same lines are the same rules, however they end."""
        expected, actual = parse(b"\n".join(lines), "foobot"), parse(end.join(lines), "foobot")

        assert (expected.count, expected.crawl_delay) == (actual.count, actual.crawl_delay)
        assert expected.refusal(SITE + "/ab") == actual.refusal(SITE + "/ab")

    def test_a_group_that_names_us_often_has_its_rules_once(self) -> None:
        """Agents times rules would be memory without a bound."""
        text = b"User-agent: *\nUser-agent: foobot\n" * 5_000 + b"Disallow: /a\n" * 5_000

        assert 5_000 == parse(text, "foobot").count

    @pytest.mark.parametrize("line", [b"Disallow: /" + b"*a" * 100_000, b" " * LIMIT_BYTES, b":" * LIMIT_BYTES])
    def test_lines_without_end(self, line: bytes) -> None:
        """A line of a megabyte is read in one pass, and stars without number match in one, too."""
        assert None is parse(b"User-agent: *\n" + line, "foobot").refusal(f"{SITE}/{'a' * 500}b")

    def test_work_is_bounded(self) -> None:
        """Patterns times the length of a URL is a worker's time: beyond a bound the URL is refused, not judged."""
        text = b"User-agent: *\n" + b"".join(b"Disallow: /*ab%x\n" % n for n in range(20_000))
        rules = parse(text, "foobot")

        assert None is rules.refusal(f"{SITE}/{'a' * 100}")
        assert "too many patterns" in (rules.refusal(f"{SITE}/{'a' * 60_000}") or "")


class TestPermits:
    ONE = parse(b"User-agent: *\nDisallow: /a", "foobot")

    def test_rules_are_good_for_a_day_and_failures_for_minutes(self) -> None:
        """RFC 9309 §2.4."""
        permits = Permits()
        permits.put("a", self.ONE, 0.0)
        permits.put("b", Failure("robots", "503"), 0.0)

        assert (self.ONE, None) == (permits.get("a", FAILED_S), permits.get("b", FAILED_S))
        assert None is permits.get("a", KNOWN_S)

    @pytest.mark.parametrize("error_class", ["local", "dns", "connect", "host_down"])
    def test_what_is_not_the_sites_own_is_not_remembered(self, error_class: str) -> None:
        """A limit of this machine says nothing about the site; and the resolver and the frontier know of the others."""
        permits = Permits()
        permits.put("a", Failure(error_class, "why"), 0.0)  # type: ignore[arg-type]

        assert None is permits.get("a", 0.0)

    def test_it_does_not_grow(self) -> None:
        """So many origins, the least recently used dropped first."""
        permits = Permits(origins=2)
        for origin in "abac":
            if permits.get(origin, 0.0) is None:
                permits.put(origin, NO_RULES, 0.0)

        assert [NO_RULES, None, NO_RULES] == [permits.get(origin, 0.0) for origin in "abc"]

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3), st.floats(0, 3 * KNOWN_S))))
    def test_the_rules_of_all_are_bounded(self, steps: list[tuple[str, int, float]]) -> None:
        """However they come and go, no more rules are remembered than allowed, but for one that is larger alone."""
        permits = Permits(origins=4, rules=4)
        for origin, count, now in sorted(steps, key=lambda step: step[2]):
            if permits.get(origin, now) is None:
                permits.put(origin, Rules([("Disallow", f"/{n}") for n in range(count)]), now)
            known = [entry.answer.count for entry in permits._known.values() if isinstance(entry.answer, Rules)]
            assert (sum(known), True) == (permits._count, sum(known) <= 4 and len(known) <= 4)


def frontier(world: World, in_hand: int = 64, **settings: object) -> Frontier:
    return Frontier(world.rules(CrawlConfig(**settings)), lambda host: Addresses((PUBLIC,)), Throttle(in_hand))  # type: ignore[arg-type]


def rules(text: str) -> object:
    return answer(200, payload=f"User-agent: *\n{text}\n".encode())


def asked(world: World) -> list[str]:
    return [exchange.url for exchange in world.exchanges]


def fates(endings: list[object]) -> dict[int, tuple[str, str | None, int]]:
    """By seq: outcome, error class and attempts."""
    return {e.state.seq: (e.outcome, e.error_class, e.attempts) for e in endings if isinstance(e, Fate)}


class TestFrontier:
    def test_one_request_for_all_entries_of_an_origin(self) -> None:
        """Also with one slot, which those that wait do not hold."""
        world = World({ROBOTS: [rules("Disallow: /no")]} | {f"http://a.com/{n}": [answer()] for n in range(300)})
        held = frontier(world, per_host=1)
        held.add(state(f"http://a.com/{n}", n) for n in range(300))
        held.add([state("http://a.com/no", 999)])
        ended = fates(world.drain(held))

        assert (1, 301) == (asked(world).count(ROBOTS), len(asked(world)))
        assert ("denied", "robots", 0) == ended.pop(999)
        assert {("fetched", None, 1)} == set(ended.values())
        assert (0, 0, None, None) == (held.held, held.ready, held.next(world.now), held.wake_at())

    def test_one_request_for_each_origin(self) -> None:
        """Scheme and port make another (RFC 9309 §2.3)."""
        urls = ["http://a.com/", "https://a.com/", "http://a.com:81/", "http://www.a.com/"]
        world = World({url: [answer()] for url in urls} | {f"{url}robots.txt": [answer(404)] for url in urls})
        held = frontier(world)
        held.add(state(url, seq) for seq, url in enumerate(urls * 2))
        world.drain(held)

        assert sorted([*urls, *urls, *(f"{url}robots.txt" for url in urls)]) == sorted(asked(world))

    def test_entries_that_wait_are_no_flows(self) -> None:
        """20,000 entries of one host wait as what they were, for one lookup."""
        world = World({})
        held = Frontier(world.rules(CrawlConfig()), lambda host: None, Throttle(64))
        held.add(state(f"http://a.com/{n}", n) for n in range(20_000))
        turns = []
        while held.wake_at() is not None or not turns:
            turns += [turn] if (turn := held.next(world.now)) is not None else []

        assert ([Resolve], 20_000) == ([type(turn.action) for turn in turns], held.held)

    def test_secrets_stay_at_home(self) -> None:
        """The user's own fields go with no request to an origin that only a redirect led to, robots.txt included."""
        world = World(
            {
                "https://a.com/1": [answer(302, (("Location", "https://evil.net/x"),))],
                "https://evil.net/x": [answer()],
                "https://a.com/robots.txt": [answer(404)],
                "https://evil.net/robots.txt": [answer(404)],
            }
        )
        config = CrawlConfig(header=(("Authorization", "Bearer secret"),))
        held = Frontier(world.rules(config), lambda host: None, Throttle(8))
        held.add([state("https://a.com/1")])
        world.drain(held)

        told = {exchange.url for exchange in world.exchanges if "Authorization" in dict(exchange.headers)}
        assert 4 == len(world.exchanges)
        assert {"https://a.com/robots.txt", "https://a.com/1"} == told

    def test_hands_are_bounded(self) -> None:
        """However many origins are unknown, the driver gets no more turns at once than it said."""
        world = World({})
        held = Frontier(world.rules(CrawlConfig()), lambda host: Addresses((PUBLIC,)), Throttle(8))
        held.add(state(f"http://h{n}.com/", n) for n in range(50))

        assert 8 == len([turn for _ in range(100) if (turn := held.next(world.now)) is not None])

    def test_a_denied_entry_costs_no_delay(self) -> None:
        """A thousand of them end at once, however long the delay is."""
        world = World({ROBOTS: [rules("Disallow: /no")], "http://a.com/yes": [answer()]})
        held = frontier(world, delay=10.0, per_host=1)
        held.add(state(f"http://a.com/no/{n}", n) for n in range(1_000))
        held.add([state("http://a.com/yes", 1_000)])
        ended = fates(world.drain(held))

        assert (1_001, 1_010.0) == (len(ended), world.now)

    def test_a_long_list_of_denials_is_not_one_step(self) -> None:
        """The driver is asked back between them: judging by the worst of all files must not stop its heart."""
        world = World({ROBOTS: [rules("Disallow: /")]})
        held = frontier(world)
        held.add(state(f"http://a.com/{n}", n) for n in range(100))
        turn = held.next(world.now)
        assert turn is not None
        held.done(turn, world.do(turn.action), world.now)

        assert (None, 0.0) == (held.next(world.now), held.wake_at())
        assert 0 < len(held.finished) < 100

    @pytest.mark.parametrize(
        ("status", "tries", "ending"),
        [
            (404, 1, ("fetched", None, 1)),
            (403, 1, ("fetched", None, 1)),
            (429, 3, ("fetched", None, 1)),
            (304, 1, ("fetched", None, 1)),
            (500, 3, ("denied", "robots", 0)),
            (503, 3, ("denied", "robots", 0)),
        ],
    )
    def test_what_a_status_means(self, status: int, tries: int, ending: tuple[str, str | None, int]) -> None:
        """RFC 9309 §2.3.1.3: 4xx allows all. §2.3.1.4: 5xx forbids all, after it was tried again with a back-off."""
        world = World({ROBOTS: [answer(status)], "http://a.com/": [answer()]})
        held = frontier(world)
        held.add([state("http://a.com/", 1), state("http://a.com/", 2)])
        ended = fates(world.drain(held))

        assert ({1: ending, 2: ending}, tries) == (ended, asked(world).count(ROBOTS))

    def test_a_server_error_that_passes(self) -> None:
        """Who waited goes on by the rules that came at last."""
        world = World({ROBOTS: [answer(500), rules("Disallow: /no")], "http://a.com/": [answer()]})
        held = frontier(world)
        held.add([state("http://a.com/", 1), state("http://a.com/no", 2)])

        assert {1: ("fetched", None, 1), 2: ("denied", "robots", 0)} == fates(world.drain(held))

    @pytest.mark.parametrize(
        ("error_class", "tries"),
        [("tls", 1), ("protocol", 1), ("reset", 3), ("too_slow", 3), ("incomplete", 3), ("local", 9)],
    )
    def test_what_cannot_be_reached_fails_by_its_own_class(self, error_class: str, tries: int) -> None:
        """All who wait fail so, once it was tried as often as a page is, and are told that it was robots.txt."""
        world = World({ROBOTS: [failure(error_class)]})
        held = frontier(world)
        held.add(state(f"http://a.com/{n}", n) for n in range(3))
        endings = world.drain(held)

        assert dict.fromkeys(range(3), ("failed", error_class, tries)) == fates(endings)
        assert [ROBOTS] * tries == asked(world)
        assert {f"robots.txt could not be fetched: scripted {error_class}"} == {ending.error for ending in endings}

    def test_a_name_that_does_not_resolve_stays_dns(self) -> None:
        """The page's class is that of the lookup."""
        held = Frontier(
            World({}).rules(CrawlConfig()), lambda host: Failure("dns", "no such name", final=True), Throttle(8)
        )
        held.add([state("http://a.com/", 1)])

        assert {1: ("failed", "dns", 1)} == fates(World({}).drain(held))

    def test_a_private_address_is_denied(self) -> None:
        """The address rule holds for robots.txt as for a page, and nothing is sent."""
        world = World({}, addresses=["10.0.0.1"])
        held = Frontier(world.rules(CrawlConfig()), lambda host: None, Throttle(8))
        held.add([state("http://a.com/", 1)])

        assert ({1: ("denied", "blocked_address", 0)}, []) == (fates(world.drain(held)), world.exchanges)

    def test_an_origin_without_a_connection_is_given_the_time_to_restart(self) -> None:
        """While many wait, its robots.txt is asked for until the origin is given up, or is back."""
        down = failure("connect", sent=False)
        world = World({ROBOTS: [*[down] * 5, answer(404)]} | {f"http://a.com/{n}": [answer()] for n in range(500)})
        held = frontier(world)
        held.add(state(f"http://a.com/{n}", n) for n in range(500))
        ended = list(fates(world.drain(held)).values())

        assert [("fetched", None, 1)] * 500 == ended

    def test_a_dead_origin_costs_few_requests(self) -> None:
        """With thousands of entries it is asked a dozen times at most; the others are not tried at all."""
        world = World({ROBOTS: [failure("connect", sent=False)]})
        held = frontier(world)
        held.add(state(f"http://a.com/{n}", n) for n in range(5_000))
        ended = list(fates(world.drain(held)).values())

        assert ([("failed", "host_down", 0)] * 5_000, True) == (ended, len(world.exchanges) <= 12)

    def test_redirects_are_followed_to_other_authorities(self) -> None:
        """RFC 9309 §2.3.1.2: what is found there are the rules of the first."""
        there = "http://b.com/elsewhere"
        world = World({ROBOTS: [answer(301, (("Location", there),))], there: [rules("Disallow: /no")]})
        held = frontier(world, max_redirects=0)
        held.add([state("http://a.com/no", 1)])

        assert ({1: ("denied", "robots", 0)}, [ROBOTS, there]) == (fates(world.drain(held)), asked(world))

    @pytest.mark.parametrize(
        ("location", "most"), [(ROBOTS, 6), ("ftp://a.com/", 1), ("http://", 1)]
    )  # fmt: skip
    def test_redirects_that_lead_nowhere_forbid_nothing(self, location: str, most: int) -> None:
        """More than five of them, or one to what cannot be fetched: there is no robots.txt."""
        world = World({ROBOTS: [answer(302, (("Location", location),))], "http://a.com/": [answer()]})
        held = frontier(world)
        held.add([state("http://a.com/", 1)])

        assert ({1: ("fetched", None, 1)}, most) == (fates(world.drain(held)), asked(world).count(ROBOTS))

    def test_every_hop_of_a_page_is_asked_for(self) -> None:
        """A redirect to another origin, or to another path of the same one, obeys what is said there."""
        world = World(
            {
                ROBOTS: [rules("Disallow: /no")],
                "http://b.com/robots.txt": [rules("Disallow: /")],
                "http://a.com/1": [answer(302, (("Location", "http://b.com/"),))],
                "http://a.com/2": [answer(302, (("Location", "/no"),))],
            }
        )
        held = frontier(world)
        held.add([state("http://a.com/1", 1), state("http://a.com/2", 2)])
        ended = fates(world.drain(held))

        assert {1: ("denied", "robots", 1), 2: ("denied", "robots", 1)} == ended
        assert {"http://a.com/1", "http://a.com/2", ROBOTS, "http://b.com/robots.txt"} == set(asked(world))

    def test_the_crawl_delay_is_the_hosts_own(self) -> None:
        """Its requests, that for robots.txt included, are so far apart; those of other hosts are not."""
        pages = {f"http://{host}.com/{n}": [answer()] for host in "ab" for n in range(3)}
        world = World({ROBOTS: [rules("Crawl-delay: 5")], "http://b.com/robots.txt": [answer(404)], **pages})
        held = frontier(world)
        held.add(state(url, seq) for seq, url in enumerate(pages))
        starts: dict[str, list[float]] = {"a.com": [], "b.com": []}
        while held.held:
            turn = held.next(world.now)
            if turn is None:
                world.now = max(world.now, held.wake_at() or 0.0)
                continue
            starts[turn.host].append(world.now - 1_000)
            held.done(turn, world.do(turn.action), world.now)

        assert {"a.com": [0, 5, 10, 15], "b.com": [0, 0, 0, 0]} == starts

    def test_a_longer_delay_of_ours_stays(self) -> None:
        """The larger one counts."""
        pages = {f"http://a.com/{n}": [answer()] for n in range(2)}
        world = World({ROBOTS: [rules("Crawl-delay: 5")], **pages})
        held = frontier(world, delay=7.0)
        held.add(state(url, seq) for seq, url in enumerate(pages))
        world.drain(held)

        assert 1_014 == world.now

    def test_what_is_given_up_leaves_no_trace(self) -> None:
        """Those that wait for robots.txt are dropped, its flow ends where it stands, and nothing is counted twice."""
        world = World({ROBOTS: [answer(503)], "http://b.com/robots.txt": [answer(404)]})
        held = frontier(world)
        held.add([*(state(f"http://a.com/{n}", n) for n in range(40)), state("http://b.com/", 99)])
        first = held.next(world.now)
        assert first is not None
        held.done(first, world.do(first.action), world.now)  # it waits to be tried again
        while (second := held.next(world.now)) is None:
            assert 0.0 == held.wake_at()  # it takes in a part of them at a time
        held.forget()

        assert (0, 0, None) == (held.held, held.ready, held.next(world.now))
        held.done(second, world.do(second.action), world.now)
        held.forget()
        assert (0, 0, 0, []) == (held.held, held.in_flight, held.ready, list(held.finished))

    def test_it_is_asked_for_again_after_a_day(self) -> None:
        """RFC 9309 §2.4; until then not once more."""
        world = World({ROBOTS: [answer(404), rules("Disallow: /")], "http://a.com/": [answer()]})
        held = frontier(world)
        for hours in (0, 23, 25):
            world.now = 1_000 + hours * 3_600.0
            held.add([state("http://a.com/", hours)])
            world.drain(held)

        assert {0: "fetched", 23: "fetched", 25: "denied"} == {
            n: o for n, (o, *_) in fates(list(held.finished)).items()
        }
        assert 2 == asked(world).count(ROBOTS)

    def test_it_is_asked_for_as_a_page_is(self) -> None:
        """By GET and with our User-Agent, whatever the entry's own method, header fields and body are."""
        world = World({ROBOTS: [answer(404)], "http://a.com/": [answer()]})
        held = frontier(world, user_agent="mybot/1 (me@example.com)")
        held.add([state("http://a.com/", 1, method="POST", body=b"x", headers=(("Authorization", "secret"),))])
        world.drain(held)

        first: Exchange = world.exchanges[0]
        assert ("GET", ROBOTS, b"") == (first.method, first.url, first.content)
        assert ("mybot/1 (me@example.com)", None) == (
            dict(first.headers)["User-Agent"], dict(first.headers).get("Authorization"),
        )  # fmt: skip

    @given(st.data())
    def test_every_entry_ends_once(self, data: st.DataObject) -> None:
        """Whatever the sites answer, in whatever order it comes, as many fates come out as entries went in."""
        scripts = st.sampled_from(
            [answer(404), rules("Disallow: /1"), rules("Crawl-delay: 1"), answer(503), failure("reset"),
             failure("connect", sent=False), answer(301, (("Location", "http://c.com/robots.txt"),))]
        )  # fmt: skip
        pages = {f"http://{host}.com/{n}": [answer()] for host in "abc" for n in range(4)}
        pages["http://a.com/2"] = [answer(302, (("Location", "http://b.com/1"),))]
        world = World(
            pages | {f"http://{host}.com/robots.txt": data.draw(st.lists(scripts, min_size=1)) for host in "abc"}
        )
        held = frontier(world, per_host=data.draw(st.integers(0, 2)), delay=data.draw(st.sampled_from([0.0, 1.0])))
        held.add(state(url, seq) for seq, url in enumerate(pages))
        flying: list[Turn] = []
        while held.held:
            turn = held.next(world.now)
            if turn is not None:
                flying.append(turn)
            elif flying:
                turn = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
                held.done(turn, world.do(turn.action), world.now)
            else:
                wake = held.wake_at()
                assert wake is not None or not held.held
                world.now = max(world.now, wake or 0.0)

        assert list(range(12)) == sorted(fate.state.seq for fate in held.finished if isinstance(fate, Fate))
        assert (0, 0, {}) == (held.in_flight, held.ready, held._admission._wanting)

    def test_the_display_hears_how_many_wait(self) -> None:
        """All that hang on a robots.txt which is to be asked for again are named."""
        world = World({ROBOTS: [answer(503)]})
        held = frontier(world)
        held.add(state(f"http://a.com/{n}", n) for n in range(10))
        turn = held.next(world.now)
        assert turn is not None
        held.done(turn, world.do(turn.action), world.now)

        assert [("a.com", 10, "back-off")] == [(w.host, w.entries, w.why) for w in held.waiting(world.now, 4)]


class TestSlow:
    def test_the_hosts_own_delay(self) -> None:
        """It counts from when it was heard of, holds between the starts of that host alone, and outlasts its queue."""
        politeness: Politeness[str] = Politeness(per_host=4, delay=1.0)
        for item in ("a0", "a1", "b0", "b1"):
            politeness.park(item[0], item)
        politeness.slow("a", 5.0, 100.0)

        assert ["b0", None] == [politeness.next(100.0), politeness.next(100.5)]
        assert ["b1", None] == [politeness.next(101.0), politeness.next(104.5)]
        assert ["a0", None, "a1"] == [politeness.next(105.0), politeness.next(109.5), politeness.next(110.0)]
        for _ in range(2):
            politeness.release("a")
        politeness.park("a", "a2")
        assert [None, "a2"] == [politeness.next(114.5), politeness.next(115.0)]

    def test_it_is_never_shorter_than_everybodys(self) -> None:
        """The longest that was asked for counts."""
        politeness: Politeness[str] = Politeness(per_host=0, delay=3.0)
        for seconds in (2.0, 4.0, 1.0):
            politeness.slow("a", seconds)
        politeness.park("a", "a0")
        politeness.park("a", "a1")

        assert ["a0", None, "a1"] == [politeness.next(0.0), politeness.next(3.5), politeness.next(4.0)]
        assert 0 == politeness.ready

    def test_what_waits_for_it_is_not_ready(self) -> None:
        """Also where nothing else holds anybody back: a worker that counted it would not ask for more."""
        politeness: Politeness[str] = Politeness(per_host=0, delay=0.0)
        politeness.slow("a", 5.0)
        for n in range(10):
            politeness.park("a", f"a{n}")
        politeness.next(1.0)

        assert (None, 0) == (politeness.next(2.0), politeness.ready)


LAST = itertools.count(10)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """An origin on many addresses, each of them a site with a robots.txt of its own."""
    with running_origin(tmp_path_factory.mktemp("sites"), [f"127.0.0.{n}" for n in range(1, 80)]) as running:
        yield running


class Site:
    """One address of the origin: what its robots.txt is, and what it has seen."""

    def __init__(self, sites: Origin, robots: str) -> None:
        self._origin = sites
        self.host = f"127.0.0.{next(LAST)}"
        sites.ask(f"/_robots/{self.host}?as={quote(robots)}")

    def url(self, path: str) -> str:
        return self._origin.url(f"{path}?{self.host}", self.host)

    def hits(self) -> list[str]:
        """The targets that were requested, without their query."""
        return [target.partition("?")[0] for _, target in self._origin.log(self.host)]

    def times(self) -> list[float]:
        """When each request came."""
        return [moment for moment, _ in self._origin.log(self.host)]


def fetch(engine: str, *urls: str, **settings: object) -> dict[str, crawler.Page]:
    pages = crawler.fetch(urls, engine=engine, procs=1, allow_private=True, **settings)
    return {page.url: page for page in pages}


def text(robots: str) -> str:
    return f"/text?is={quote(robots)}"


@pytest.mark.parametrize("engine", ["curl", "asyncio", "threads", "gevent"])
class TestEngines:
    def test_what_is_disallowed_is_not_requested(self, engine: str, sites: Origin) -> None:
        """One request for robots.txt, one for each page that is allowed, none for the others."""
        site = Site(sites, text("User-agent: *\nDisallow: /page/2\nUser-agent: crawl\nDisallow: /"))
        pages = fetch(engine, *(site.url(f"/page/{n}") for n in range(1, 9)), per_host=1)
        denied = pages[site.url("/page/2")]

        assert (8, 7) == (len(pages), sum(page.ok for page in pages.values()))
        assert ("denied", "robots", "robots.txt disallows this URL.", 0) == (
            denied.outcome, denied.error_class, denied.error, denied.row.attempts,
        )  # fmt: skip
        assert sorted(["/robots.txt", *(f"/page/{n}" for n in (1, 3, 4, 5, 6, 7, 8))]) == sorted(site.hits())

    def test_nothing_but_denials(self, engine: str, sites: Origin) -> None:
        """A list of which nothing may be fetched comes to its end."""
        site = Site(sites, text("User-agent: *\nDisallow: /"))
        pages = fetch(engine, *(site.url(f"/page/{n}") for n in range(200)))

        assert {("denied", "robots")} == {(page.outcome, page.error_class) for page in pages.values()}
        assert (200, ["/robots.txt"]) == (len(pages), site.hits())

    def test_it_can_be_switched_off(self, engine: str, sites: Origin) -> None:
        """Then it is not asked for."""
        site = Site(sites, text("User-agent: *\nDisallow: /"))

        assert fetch(engine, site.url("/page/1"), robots=False)[site.url("/page/1")].ok
        assert ["/page/1"] == site.hits()

    def test_a_server_error_denies(self, engine: str, sites: Origin) -> None:
        """After its retries, and no page is requested."""
        site = Site(sites, "/status/503")
        page = fetch(engine, site.url("/page/1"), retries=1)[site.url("/page/1")]

        assert ("denied", "robots", True) == (page.outcome, page.error_class, "503" in (page.error or ""))
        assert ["/robots.txt"] * 2 == site.hits()

    def test_a_missing_one_allows(self, engine: str, sites: Origin) -> None:
        """4xx is no robots.txt."""
        site = Site(sites, "/status/403")

        assert fetch(engine, site.url("/page/1"))[site.url("/page/1")].ok

    def test_a_failure_is_the_pages_own(self, engine: str, sites: Origin) -> None:
        """A broken answer fails its pages by the class that it has, and says that it was robots.txt."""
        site = Site(sites, "/close-in-body")
        page = fetch(engine, site.url("/page/1"), retries=0)[site.url("/page/1")]

        assert ("failed", "incomplete", True) == (page.outcome, page.error_class, "robots.txt" in (page.error or ""))

    def test_nobody_there(self, engine: str, sites: Origin) -> None:
        """No connection is `connect`, as without robots.txt."""
        url = sites.url("/page/1", "127.0.0.250")
        page = fetch(engine, url, retries=0)[url]

        assert ("failed", "connect") == (page.outcome, page.error_class)

    def test_redirects(self, engine: str, sites: Origin) -> None:
        """Those of robots.txt are followed, to another site too."""
        there = Site(sites, text("User-agent: *\nDisallow: /page/1"))
        site = Site(sites, f"/redirect-to?url={quote(there.url('/robots.txt'))}")
        pages = fetch(engine, site.url("/page/1"), site.url("/page/2"))

        assert (True, "robots") == (pages[site.url("/page/2")].ok, pages[site.url("/page/1")].error_class)

    def test_a_huge_one(self, engine: str, sites: Origin) -> None:
        """The first 500 KiB count, and the rest of ten megabytes is not waited for."""
        site = Site(sites, text("User-agent: *\nDisallow: /page/1\n") + f"&then={10 * 1024**2}")
        pages = fetch(engine, site.url("/page/1"), site.url("/page/2"))

        assert (True, "robots") == (pages[site.url("/page/2")].ok, pages[site.url("/page/1")].error_class)

    def test_the_crawl_delay(self, engine: str, sites: Origin) -> None:
        """The origin sees the requests of the host so far apart."""
        site = Site(sites, text("User-agent: crawler\nCrawl-delay: 0.2"))
        fetch(engine, *(site.url(f"/page/{n}") for n in range(3)))
        times = site.times()

        assert 4 == len(times)
        assert all(later - earlier >= 0.15 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(("robots", "outcome", "policy"), [(True, "denied", "obey"), (False, "fetched", "ignore")])
def test_a_crawl_records_what_it_did(robots: bool, outcome: str, policy: str, sites: Origin, tmp_path: Path) -> None:
    """The row, the settings in `meta`, and the archive's warcinfo record say whether robots.txt was obeyed."""
    site = Site(sites, text("User-agent: *\nDisallow: /page/2"))
    flags = ["--procs", "1", "--allow-private", "--quiet", *([] if robots else ["--no-robots"])]
    ran = crawl("urls.txt", *flags, cwd=write_list(tmp_path, site.url("/page/1"), site.url("/page/2")).parent)

    assert (0, "") == (ran.returncode, ran.stderr)
    assert [("fetched",), (outcome,)] == rows(tmp_path / "urls.crawl", "outcome")
    with contextlib.closing(sqlite3.connect(tmp_path / "urls.crawl" / "crawl.db")) as database:
        (identity,) = database.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
    assert robots is json.loads(identity)["robots"]
    (archive,) = (tmp_path / "urls.crawl" / "warc").glob("*.warc.gz")
    assert f"robots: {policy}\r\n".encode() in gzip.decompress(archive.read_bytes())


def test_a_redirect_asks_at_the_home_of_its_host(sites: Origin) -> None:
    """However many workers there are and whoever was sent there, a site is asked for its robots.txt once."""
    there = Site(sites, text("User-agent: *\nDisallow: /page/1"))
    here = [Site(sites, "/status/404") for _ in range(6)]
    targets = [quote(there.url(f"/page/{n % 2}")) for n in range(6)]
    urls = [site.url(f"/redirect-to?url={target}&of=") for site, target in zip(here, targets, strict=True)]
    pages = list(crawler.fetch([*urls, there.url("/page/2")], procs=3, allow_private=True, engine="asyncio"))

    assert {("fetched", None): 4, ("denied", "robots"): 3} == Counter((p.outcome, p.error_class) for p in pages)
    assert ["/page/0"] * 3 + ["/page/2", "/robots.txt"] == sorted(there.hits())
