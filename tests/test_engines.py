"""The contract of all engines, each against the same real origin."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import itertools
import json
import math
import os
import re
import select
import subprocess
import sys
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
import uvloop
from conftest import Origin
from origin import CHUNKS, body_bytes, gzipped, page

from crawler import engines
from crawler.body import Body, Verdict
from crawler.engines.fake import FakeEngine, Scripted
from crawler.exchange import Exchange, Failure, Reply

# gevent needs a process that is its own from the first import on: test_gevent.py runs this file again in one.
GREEN = os.environ.get("CRAWLER_TEST_GEVENT") == "1"
ENGINES = ("gevent",) if GREEN else ("curl", "asyncio", "asyncio on the standard loop", "threads", "serial")
SIDE_BY_SIDE = ENGINES[:4]

# What came of the answers whose framing breaks RFC 9112: a status, or an error class. Where the engines differ, it
# is by what their libraries can see.
MALFORMED: dict[str, dict[str, int | str]] = {
    "/garbage": {"": "protocol"},
    "/switch": {"": "protocol"},
    "/two-lengths": {"": "protocol"},
    "/two-different-lengths": {"": "protocol"},
    "/length-and-chunked": {"": "protocol"},
    "/negative-length": {"": "protocol"},
    "/nul-header": {"": "protocol"},
    "/colonless-header": {"": "protocol"},
    "/spaced-header": {"": "protocol"},
    "/bad-chunk?s=0.05": {"": "protocol"},
    "/folded-header": {"": 200},
    "/latin-header": {"": 200},
    "/extra-bytes": {"asyncio": "protocol", "": 200},
    "/204-with-body": {"asyncio": "protocol", "": 204},
    "/cr-in-head": {"": "protocol"},
    "/status-zero": {"": "protocol"},
    "/odd-coding": {"": "protocol"},
    "/two-codings": {"": "protocol"},
    "/two-locations": {"curl": "protocol", "": 200},
    "/many-headers?n=150": {"curl": 200, "asyncio": 200, "": "headers_too_large"},
}
FAILING = [
    # path, error class, bytes of the body that came
    ("/close-before", "reset", None),
    ("/reset", "reset", None),
    ("/close-in-head", "reset", None),
    ("/close-in-field", "reset", None),
    ("/close-in-body", "incomplete", b"b" * 50),
    ("/wrong-length", "incomplete", b"b" * 10),
    ("/close-in-chunk", "incomplete", b"wholepart"),
    ("/close-in-trailer", "incomplete", b"whole"),
    ("/reset-in-body?s=0.05", "incomplete", b"half of it"),
    ("/huge-headers?n=100000", "headers_too_large", None),
    ("/many-headers?n=300", "headers_too_large", None),
    ("/heavy-head", "headers_too_large", None),
]
WELL_FORMED = [
    # path, status, reason, version, payload
    ("/status/404", 404, "Not Found", "1.1", b"status 404"),
    ("/status/500", 500, "Internal Server Error", "1.1", b"status 500"),
    ("/bytes/0", 200, "OK", "1.1", b""),
    ("/bytes/1", 200, "OK", "1.1", body_bytes(1)),
    ("/bytes/300000", 200, "OK", "1.1", body_bytes(300_000)),
    ("/page/1", 200, "OK", "1.1", page(1)),
    ("/redirect/2", 302, "Found", "1.1", b""),
    ("/redirect-to?url=ftp://x.test/&status=301", 301, "Moved Permanently", "1.1", b"moved"),
    ("/chunked", 200, "OK", "1.1", b"".join(CHUNKS)),
    ("/empty-chunked", 200, "OK", "1.1", b""),
    ("/spaced-coding", 200, "OK", "1.1", b"ok"),
    ("/gzip", 200, "OK", "1.1", gzipped(page(1))),
    ("/slow-head?s=0.05", 200, "OK", "1.1", page(1)),
    ("/slow-body?s=0.05", 200, "OK", "1.1", page(1)),
    ("/no-length", 200, "OK", "1.1", page(4)),
    ("/many-headers?n=90", 200, "OK", "1.1", b"ok"),
    ("/huge-headers?n=60000", 200, "OK", "1.1", b"ok"),
    ("/odd-reason", 200, "Très bien", "1.1", b"ok"),
    ("/no-reason", 200, "", "1.1", b"ok"),
    ("/204", 204, "Nothing", "1.1", b""),
    ("/304", 304, "Nothing", "1.1", b""),
    ("/early-hints", 200, "OK", "1.1", page(5)),
    ("/http10", 200, "OK", "1.0", page(6)),
]


class Bench(Protocol):
    """An engine of either kind, made callable from a plain test."""

    name: str
    closed: bool

    def do(self, exchange: Exchange) -> Reply | Failure: ...
    def do_all(self, exchanges: Iterable[Exchange]) -> list[Reply | Failure]: ...
    def close(self) -> None: ...


class TaskBench:
    """An AsyncEngine on a loop of its own."""

    closed = False

    def __init__(self, name: str, **options: Any) -> None:
        self.name = "asyncio"
        self.runner = asyncio.Runner(loop_factory=None if "standard" in name else uvloop.new_event_loop)

        async def make() -> Any:
            return engines.load("asyncio").make(**options)

        self.engine = self.runner.run(make())

    def do(self, exchange: Exchange) -> Reply | Failure:
        return self.do_all([exchange])[0]

    def do_all(self, exchanges: Iterable[Exchange]) -> list[Reply | Failure]:
        async def run() -> list[Reply | Failure]:
            return list(await asyncio.gather(*(self.engine.exchange(exchange) for exchange in exchanges)))

        return self.runner.run(run())

    def close(self) -> None:
        self.closed = True
        self.runner.run(self.engine.close())
        self.runner.close()


class PollBench:
    """A PolledEngine, whose driver is this thread."""

    closed = False

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self.engine = engines.load(name).make(**options)

    def do(self, exchange: Exchange) -> Reply | Failure:
        return self.do_all([exchange])[0]

    def do_all(self, exchanges: Iterable[Exchange]) -> list[Reply | Failure]:
        events: dict[int, Reply | Failure] = {}
        number = -1
        for number, exchange in enumerate(exchanges):
            self.engine.begin(exchange, number, time.monotonic())
        while len(events) <= number:
            wait_s = max(0.0, self.engine.wake_at() - time.monotonic())
            select.select([self.engine.fileno()], [], [], min(wait_s, 60))
            events.update(self.engine.act(time.monotonic()))
        return [events[at] for at in range(number + 1)]

    def close(self) -> None:
        self.closed = True
        self.engine.close()


class ThreadBench:
    """A BlockingEngine in as many threads as it asks for."""

    closed = False

    def __init__(self, name: str, *, insecure: bool, conc: int) -> None:
        self.name = name
        module = engines.load(name)
        self.engine = module.make(insecure=insecure, conc=conc)
        self.threads = ThreadPoolExecutor(module.threads(conc))

    def do(self, exchange: Exchange) -> Reply | Failure:
        return self.do_all([exchange])[0]

    def do_all(self, exchanges: Iterable[Exchange]) -> list[Reply | Failure]:
        return list(self.threads.map(self.engine.exchange, exchanges))

    def close(self) -> None:
        self.closed = True
        self.threads.shutdown()
        self.engine.close()


Open = Callable[..., Bench]


def make_bench(name: str, **options: Any) -> Bench:
    """A bench for an engine of whatever kind."""
    kinds: dict[str, type[Bench]] = {"tasks": TaskBench, "polls": PollBench}
    return kinds.get(engines.load(name.partition(" ")[0]).DRIVER, ThreadBench)(name, **options)


@pytest.fixture(params=ENGINES)
def open_bench(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens benches of one engine; they are closed when the test ends."""
    benches: list[Bench] = []

    def open_one(*, insecure: bool = False, conc: int = 8) -> Bench:
        benches.append(make_bench(request.param, insecure=insecure, conc=conc))
        return benches[-1]

    yield open_one
    for bench in benches:
        if not bench.closed:
            bench.close()


@pytest.fixture
def bench(open_bench: Open) -> Bench:
    """One engine that checks certificates."""
    return open_bench()


class _Pieces(Body):
    """Notes the largest piece that it is given."""

    largest = 0

    def feed(self, data: bytes) -> Verdict:
        self.largest = max(self.largest, len(data))
        return super().feed(data)


def ask(url: str, method: str = "GET", *, body: Body | None = None, **changes: Any) -> Exchange:
    """An exchange with the first of the origin's addresses."""
    exchange = Exchange(
        method=method,
        url=url,
        host=url.split("/")[2].rpartition(":")[0],
        headers=(("User-Agent", "tests"),),
        content=b"",
        addresses=("127.0.0.1",),
        time_s=30.0,
        connect_s=10.0,
        body=body or Body(method=method, max_bytes=2**24),
    )
    return msgspec.structs.replace(exchange, **changes)


def seen(exchange: Exchange) -> dict[str, Any]:
    """What `/echo` says of the request."""
    answer: dict[str, Any] = json.loads(exchange.body.payload)
    return answer


def outcome(exchange: Exchange, event: Reply | Failure) -> int | str | None:
    """The status of a reply, the class of a failure."""
    return exchange.body.status if isinstance(event, Reply) else event.error_class


def sha1(data: bytes) -> str:
    """A digest as the archive writes it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def until(holds: Callable[[], bool]) -> None:
    """Ask again and again until it holds; a test's own time limit ends what never does."""
    while not holds():
        continue


class TestAnswers:
    @pytest.mark.parametrize(("path", "status", "reason", "version", "payload"), WELL_FORMED)
    def test_well_formed(
        self, bench: Bench, origin: Origin, path: str, status: int, reason: str, version: str, payload: bytes
    ) -> None:
        """Every engine gives the same head and the same bytes for a well-formed answer."""
        exchange = ask(origin.url(path))
        event = bench.do(exchange)
        body = exchange.body

        assert isinstance(event, Reply), event
        assert (status, reason, version) == (body.status, body.reason, body.http_version)
        assert sha1(payload) == body.digest
        assert (None, None) == (body.truncated, body.problem)
        assert event.ip == "127.0.0.1"

    def test_header_fields(self, bench: Bench, origin: Origin) -> None:
        """Fields keep order, case and Latin-1; white space around a value and line folds in it are gone."""
        folded, latin = ask(origin.url("/folded-header")), ask(origin.url("/latin-header"))
        bench.do(folded)
        bench.do(latin)

        spaces = " " if bench.name == "curl" else "  "  # one or more in place of a fold: RFC 9112 §5.2 leaves it open
        assert (("X-Folded", f"one{spaces}two"), ("Content-Length", "2")) == folded.body.headers
        assert (("X-Latin", "café"), ("Content-Length", "2")) == latin.body.headers

    def test_truncated_coding(self, bench: Bench, origin: Origin) -> None:
        """A gzip stream that ends too early is a whole exchange whose body has a problem."""
        exchange = ask(origin.url("/gzip-truncated"))

        assert isinstance(bench.do(exchange), Reply)
        assert exchange.body.problem == "decode"

    def test_head(self, bench: Bench, origin: Origin) -> None:
        """The answer to HEAD ends with its head, whatever its Content-Length says."""
        exchange = ask(origin.url("/head-only"), "HEAD")

        assert isinstance(bench.do(exchange), Reply)
        assert (200, b"") == (exchange.body.status, exchange.body.payload)

    @pytest.mark.parametrize("path", MALFORMED)
    def test_malformed(self, bench: Bench, origin: Origin, path: str) -> None:
        """Broken framing ends as the table says, at once, and never with a page that is not whole."""
        exchange = ask(origin.url(path))
        event = bench.do(exchange)

        assert MALFORMED[path].get(bench.name, MALFORMED[path][""]) == outcome(exchange, event)
        assert (event.timings.total_ms or 0) < 10_000

    @pytest.mark.parametrize(("path", "error_class", "part"), FAILING)
    def test_failing(self, bench: Bench, origin: Origin, path: str, error_class: str, part: bytes | None) -> None:
        """Each way to break off has its class; the part of the body that came is kept, and marked."""
        exchange = ask(origin.url(path))
        event = bench.do(exchange)

        assert isinstance(event, Failure)
        assert (error_class, True, "127.0.0.1") == (event.error_class, event.sent, event.ip)
        assert (part or b"") == exchange.body.payload
        assert (None if part is None else "disconnect") == exchange.body.truncated

    @pytest.mark.parametrize("path", ["/garbage", "/huge-headers?n=100000", "/nul-header", "/close-in-body"])
    def test_messages(self, bench: Bench, origin: Origin, path: str) -> None:
        """A message is one short line of printable ASCII, whatever the server sent."""
        event = bench.do(ask(origin.url(path)))

        assert isinstance(event, Failure)
        assert event.message.isascii()
        assert event.message.isprintable()
        assert 0 < len(event.message) <= 200


class TestRequests:
    @pytest.mark.parametrize("target", ["/echo", "/echo?", "/echo?a=%c3%A9|b&c='d'", "/echo//x/;y?q=%zz%2f"])
    def test_target(self, bench: Bench, origin: Origin, target: str) -> None:
        """The request target is the URL's, byte for byte."""
        exchange = ask(origin.url(target))
        bench.do(exchange)

        assert target == seen(exchange)["target"]

    def test_fields(self, bench: Bench, origin: Origin) -> None:
        """A request has the fields that it was given, Host and Content-Length, and no others."""
        headers = (("User-Agent", "me"), ("X-Odd", "a, b"), ("Cookie", "k=v"))
        get, bare = ask(origin.url("/echo"), headers=headers), ask(origin.url("/echo"), headers=())
        post = ask(origin.url("/echo"), "POST", headers=headers, content=b"a=1")
        for exchange in (get, bare, post):
            bench.do(exchange)

        host = ["Host", f"127.0.0.1:{origin.port}"]
        given = [list(field) for field in headers]
        assert [host, *given] == seen(get)["headers"]
        assert [host] == seen(bare)["headers"]
        assert [host, *given, ["Content-Length", "3"]] == seen(post)["headers"]
        assert "a=1" == seen(post)["body"]

    @pytest.mark.parametrize(("method", "content"), [("POST", b"a=1"), ("POST", b""), ("HEAD", b""), ("PUT", b"x" * 9)])
    def test_nothing_is_left_of_the_last(self, bench: Bench, origin: Origin, method: str, content: bytes) -> None:
        """Whatever the last request had, the next one has only its own."""
        secret = (("Authorization", "Basic c2VjcmV0"), ("Range", "bytes=0-1"), ("Referer", "http://x.test/"))
        bench.do(ask(origin.url("/echo"), method, headers=secret, content=content, time_s=9.0))
        exchange = ask(origin.url("/echo"), headers=(("User-Agent", "me"),))

        assert isinstance(bench.do(exchange), Reply)
        assert ("GET", "", [["Host", f"127.0.0.1:{origin.port}"], ["User-Agent", "me"]]) == (
            seen(exchange)["method"],
            seen(exchange)["body"],
            seen(exchange)["headers"],
        )

    def test_no_cookies(self, bench: Bench, origin: Origin) -> None:
        """A cookie that a server sets is never sent by the engine of its own accord."""
        bench.do(ask(origin.url("/cookie-wall")))
        exchange = ask(origin.url("/echo"))
        bench.do(exchange)

        assert "cookie" not in {name.lower() for name, _ in seen(exchange)["headers"]}

    def test_a_host_that_a_url_may_have(self, bench: Bench, origin: Origin) -> None:
        """Such as `a!b.test`. libcurl does not take it: that is said at once, and is nobody's lack of a connection."""
        exchange = ask(origin.url("/page/1", "a!b.test"), addresses=("127.0.0.1",))
        event = bench.do(exchange)

        assert ("protocol" if bench.name == "curl" else 200) == outcome(exchange, event)
        assert bench.name != "curl" or (isinstance(event, Failure) and not event.sent)

    def test_nothing_is_retried(self, bench: Bench, origin: Origin) -> None:
        """On a fresh connection a request is sent once, whatever comes of it."""
        path = f"/flaky-reset/{uuid.uuid4()}/1"
        event = bench.do(ask(origin.url(path)))

        assert isinstance(event, Failure)
        assert 1 == origin.hits(path)

    @pytest.mark.parametrize(("method", "result", "hits"), [("GET", 200, 2), ("POST", "reset", 1)])
    def test_stale_connection(self, bench: Bench, origin: Origin, method: str, result: int | str, hits: int) -> None:
        """A kept connection that breaks under a request gives way to a new one, once, and not under a POST."""
        path = f"/flaky-reset/{uuid.uuid4()}/1"
        bench.do(ask(origin.url("/page/1")))
        exchange = ask(origin.url(path), method, content=b"x" if method == "POST" else b"")
        event = bench.do(exchange)

        assert (result, hits) == (outcome(exchange, event), origin.hits(path))

    def test_a_crowd_of_stale_connections(self, bench: Bench, origin: Origin) -> None:
        """However many are kept that would break under it, a request is sent twice at most."""
        path = f"/flaky-reset/{uuid.uuid4()}/100"
        bench.do_all([ask(origin.url(f"/slow-head?s=0.05&{n}")) for n in range(8)])
        event = bench.do(ask(origin.url(path)))

        assert isinstance(event, Failure)
        assert ("reset", 2) == (event.error_class, origin.hits(path))


class TestConnections:
    @pytest.mark.parametrize(
        ("path", "method"),
        [
            ("/page/1", "GET"),
            ("/bytes/0", "GET"),
            ("/bytes/300000", "GET"),
            ("/chunked", "GET"),
            ("/204", "GET"),
            ("/304", "GET"),
            ("/early-hints", "GET"),
            ("/head-only", "HEAD"),
            ("/echo", "POST"),
        ],
    )
    def test_reuse(self, bench: Bench, origin: Origin, path: str, method: str) -> None:
        """After a whole answer its connection serves the next request, and connecting takes no time."""
        first, second = ask(origin.url("/echo")), ask(origin.url("/echo"))
        fresh = bench.do(first)
        bench.do(ask(origin.url(path), method))
        reused = bench.do(second)

        assert seen(first)["connection"] == seen(second)["connection"]
        assert fresh.timings.connect_ms is not None
        assert reused.timings.connect_ms is None
        assert reused.ip == "127.0.0.1"
        assert reused.timings.ttfb_ms is not None
        assert reused.timings.total_ms is not None
        assert 0 < reused.timings.ttfb_ms <= reused.timings.total_ms

    def test_what_nobody_asked_for_is_no_answer(self, bench: Bench, origin: Origin) -> None:
        """What a server says on a connection that rests is not taken for the answer to the next request."""
        key, exchange = str(uuid.uuid4()), ask(origin.url("/echo?after"))
        bench.do(ask(origin.url(f"/unasked/{key}")))
        origin.release(key)
        bench.do(ask(origin.url("/page/1", "127.0.0.2")))  # whatever turns the loop
        bench.do(exchange)

        assert "/echo?after" == seen(exchange)["target"]

    def test_stopped_body_drops_the_connection(self, bench: Bench, origin: Origin) -> None:
        """What is left of a body that is not wanted never comes before the next answer."""
        first, cut, second = (
            ask(origin.url("/echo")),
            ask(origin.url("/bytes/3000000"), body=Body(max_bytes=1000)),
            ask(origin.url("/echo")),
        )
        for exchange in (first, cut, second):
            assert isinstance(bench.do(exchange), Reply)

        assert seen(first)["connection"] != seen(second)["connection"]

    @pytest.mark.parametrize("tls", [False, True])
    def test_pieces(self, open_bench: Open, origin: Origin, tls: bool) -> None:
        """A body is handed over in small pieces, so that a thousand connections hold little beside the budget."""
        bench, body = open_bench(insecure=True), _Pieces(max_bytes=2**24)
        url = origin.tls_url("/bytes/3000000") if tls else origin.url("/bytes/3000000")

        assert isinstance(bench.do(ask(url, body=body)), Reply)
        assert 3_000_000 == body.bytes_wire
        assert body.largest <= 128 * 1024

    @pytest.mark.parametrize(("cap", "truncated"), [(999, "length"), (1000, None), (1001, None), (1, "length")])
    def test_cap(self, bench: Bench, origin: Origin, cap: int, truncated: str | None) -> None:
        """The cap cuts exactly, and only what is longer."""
        exchange = ask(origin.url("/bytes/1000"), body=Body(max_bytes=cap))

        assert isinstance(bench.do(exchange), Reply)
        assert body_bytes(min(cap, 1000)) == exchange.body.payload
        assert truncated == exchange.body.truncated

    def test_cap_before_a_break(self, bench: Bench, origin: Origin) -> None:
        """A body that has all it wants does not mind what happens to the rest."""
        exchange = ask(origin.url("/close-in-body"), body=Body(max_bytes=20))

        assert isinstance(bench.do(exchange), Reply)
        assert (b"b" * 20, "length") == (exchange.body.payload, exchange.body.truncated)

    def test_type_is_judged_on_the_head(self, bench: Bench, origin: Origin) -> None:
        """A media type that is not wanted costs no body."""
        body = Body(max_bytes=2**24, accept_type=("text/html",))

        assert isinstance(bench.do(ask(origin.url("/bytes/3000000"), body=body)), Reply)
        assert ("type", b"") == (body.problem, body.payload)

    def test_idle_hosts_are_bounded(self, open_bench: Open, origin: Origin) -> None:
        """Idle connections are kept to `conc` hosts, or twice as many: a long list of hosts eats no descriptors."""
        bench = open_bench(conc=2)
        until(lambda: origin.stats()["open"] == 1)  # the one that asks
        for n in range(12):
            assert isinstance(bench.do(ask(origin.url("/page/1", host=f"h{n}.test"))), Reply)

        until(lambda: origin.stats()["open"] <= 1 + (4 if bench.name == "curl" else 2))

    def test_more_hosts_than_are_kept(self, open_bench: Open, origin: Origin) -> None:
        """That a host's idle connections are put out troubles no exchange that is about to use them."""
        exchanges = [ask(origin.url("/page/1", host=f"h{n % 7}.test")) for n in range(70)]
        events = open_bench(conc=2).do_all(exchanges)

        assert [200] * 70 == [outcome(*pair) for pair in zip(exchanges, events, strict=True)]

    def test_closing(self, open_bench: Open, origin: Origin) -> None:
        """A closed engine has no connection left, idle ones included."""
        until(lambda: origin.stats()["open"] == 1)  # the one that asks
        bench = open_bench()
        bench.do(ask(origin.url("/page/1")))
        assert 2 == origin.stats()["open"]
        bench.close()

        until(lambda: origin.stats()["open"] == 1)

    def test_idle_connection_keeps_no_body(self, bench: Bench, origin: Origin) -> None:
        """The bytes of a page are freed with it, although its connection stays open."""
        exchange = ask(origin.url("/bytes/100000"))
        bench.do(exchange)
        body = weakref.ref(exchange.body)
        del exchange

        def freed() -> bool:
            gc.collect()
            return body() is None

        until(freed)  # a thread lets go of its last task in its own time

    @pytest.mark.parametrize("open_bench", SIDE_BY_SIDE, indirect=True)
    def test_side_by_side(self, bench: Bench, origin: Origin) -> None:
        """Exchanges with one host run at once, each with its own addresses."""
        key = str(uuid.uuid4())
        addresses = [("127.0.0.1",), ("127.0.0.2",), ("127.0.0.3",)] * 2
        url = origin.url(f"/hold/{key}", host="pinned.test")
        until(lambda: origin.stats()["in_flight"] == 0)

        def release() -> None:
            until(lambda: origin.stats()["in_flight"] == len(addresses))
            origin.release(key)

        with ThreadPoolExecutor(1) as releaser:
            released = releaser.submit(release)
            events = bench.do_all([ask(url, addresses=each) for each in addresses])
            released.result()
        assert [each[0] for each in addresses] == [event.ip for event in events]


def test_a_crowd_finds_its_connections_again(origin: Origin) -> None:
    """However many connections one host has under the engine curl, those that rest serve the next requests."""
    bench, made = make_bench("curl", insecure=False, conc=600), []
    for crowd in range(3):
        before = origin.stats()["connections"]
        exchanges = [ask(origin.url(f"/page/1?{crowd}-{n}")) for n in range(600)]
        assert [200] * 600 == [outcome(*pair) for pair in zip(exchanges, bench.do_all(exchanges), strict=True)]
        made.append(origin.stats()["connections"] - before - 1)  # the one that asks
    bench.close()

    assert 600 >= made[0] > 0
    assert [0, 0] == made[1:]


def test_hosts_that_share_a_handle_keep_their_connections(origin: Origin) -> None:
    """Few hosts may all fall on the same of curl's multi handles (10 here, by the hash): what rests is used again."""
    crowded = (host for host in map("h{}.test".format, itertools.count()) if hash(host) % 10 == 0)
    hosts = list(itertools.islice(crowded, 5))
    exchanges = (ask(origin.url(f"/page/1?{n}", host=hosts[n % 5])) for n in range(3000))
    engine, ended = engines.load("curl").make(insecure=False, conc=600), []
    before = origin.stats()["connections"]
    for exchange in itertools.islice(exchanges, 600):
        engine.begin(exchange, exchange, time.monotonic())
    while len(ended) < 3000:
        select.select([engine.fileno()], [], [], 0.1)
        over = engine.act(time.monotonic())
        ended += [outcome(*pair) for pair in over]
        for exchange in itertools.islice(exchanges, len(over)):
            engine.begin(exchange, exchange, time.monotonic())
    engine.close()

    assert [200] * 3000 == ended
    assert 700 >= origin.stats()["connections"] - before


class TestAddresses:
    def test_pinned(self, bench: Bench, origin: Origin) -> None:
        """The connection goes to the given address, the request is for the URL's host."""
        exchange = ask(origin.url("/echo", host="pinned.test"), addresses=("127.0.0.2",))
        event = bench.do(exchange)

        assert event.ip == "127.0.0.2"
        assert "127.0.0.2" == seen(exchange)["address"]
        assert ["Host", f"pinned.test:{origin.port}"] == seen(exchange)["headers"][0]

    def test_all_are_tried(self, bench: Bench, origin: Origin) -> None:
        """An address where nobody listens does not hide the next one."""
        url = origin.url("/page/1", host="pinned.test")
        event = bench.do(ask(url, addresses=("127.0.0.9", "127.0.0.2")))

        assert isinstance(event, Reply), event
        assert event.ip == "127.0.0.2"

    @pytest.mark.parametrize("host", ["pinned.test", "127.0.0.1", "localhost"])
    def test_no_other_is_tried(self, bench: Bench, origin: Origin, host: str) -> None:
        """Where nobody listens at the given address, there is no connection, though the host has others."""
        path = f"/page/1?{uuid.uuid4()}"
        event = bench.do(ask(origin.url(path, host=host), addresses=("127.0.0.9",)))

        assert isinstance(event, Failure)
        assert ("connect", False, None) == (event.error_class, event.sent, event.ip)
        assert 0 == origin.hits(path)


class TestTls:
    def test_refused(self, bench: Bench, origin: Origin) -> None:
        """A certificate that nobody trusts ends the exchange before anything is sent."""
        event = bench.do(ask(origin.tls_url("/page/1")))

        assert isinstance(event, Failure)
        assert ("tls", False) == (event.error_class, event.sent)
        assert "certificate" in event.message

    def test_insecure(self, open_bench: Open, origin: Origin) -> None:
        """With `insecure` any certificate will do, and connections are kept all the same."""
        bench = open_bench(insecure=True)
        first, second = ask(origin.tls_url("/echo")), ask(origin.tls_url("/echo"))
        for exchange in (first, second):
            assert isinstance(bench.do(exchange), Reply)

        assert seen(first)["connection"] == seen(second)["connection"]

    def test_an_end_without_goodbye(self, open_bench: Open, origin: Origin) -> None:
        """Only TLS's own goodbye ends a body that a close must end; uvloop and asyncio tell nobody of it."""
        bench, exchange = open_bench(insecure=True), ask(origin.tls_url("/abort-in-body"))

        assert (200 if bench.name.startswith("asyncio") else "incomplete") == outcome(exchange, bench.do(exchange))
        assert b"half of it" == exchange.body.payload

    @pytest.mark.parametrize(("host", "result"), [("pinned.test", 200), ("other.example", "tls")])
    def test_name(
        self, open_bench: Open, origin: Origin, monkeypatch: pytest.MonkeyPatch, host: str, result: int | str
    ) -> None:
        """A trusted certificate must name the URL's host, wherever the connection goes."""
        monkeypatch.setenv("SSL_CERT_FILE", str(origin.certificate))
        exchange = ask(origin.tls_url("/page/1", host=host), addresses=("127.0.0.2",))

        assert result == outcome(exchange, open_bench().do(exchange))

    def test_silent_handshake(self, bench: Bench, origin: Origin) -> None:
        """A server that says nothing to our handshake cannot hold us longer than `connect_s`."""
        url = origin.url("/").replace("http:", "https:")
        event = bench.do(ask(url, connect_s=0.3))

        assert isinstance(event, Failure)
        assert ("timeout", False) == (event.error_class, event.sent)
        assert (event.timings.total_ms or math.inf) < 5_000


class _Impatient(Body):
    """A body that stalls 0.2 s after its head."""

    due: float | None = None

    def stalls_at(self, now: float) -> float:
        self.due = self.due or now + 0.2
        return self.due


class TestTime:
    @pytest.mark.parametrize(
        ("path", "truncated"),
        [
            ("/drip-header?s=0.02", None),
            ("/slow-head?s=60", None),
            ("/hold/never", None),
            ("/drip?s=0.02", "time"),
            ("/slow-body?s=60", "time"),
        ],
    )
    def test_deadline(self, bench: Bench, origin: Origin, path: str, truncated: str | None) -> None:
        """The whole exchange ends when its time is up, however steadily bytes drip in."""
        exchange = ask(origin.url(path), time_s=0.3)
        event = bench.do(exchange)

        assert isinstance(event, Failure)
        assert ("timeout", True) == (event.error_class, event.sent)
        assert truncated == exchange.body.truncated
        assert 290 <= (event.timings.total_ms or 0) < 5_000

    def test_too_slow(self, bench: Bench, origin: Origin) -> None:
        """A body that stalls ends the exchange, and what came of it is kept."""
        body = _Impatient(max_bytes=2**20)
        event = bench.do(ask(origin.url("/drip?s=0.02"), body=body))

        assert isinstance(event, Failure)
        assert ("too_slow", "time") == (event.error_class, body.truncated)
        assert body.bytes_wire > 0
        assert (event.timings.total_ms or math.inf) < 5_000

    def test_engine_survives(self, bench: Bench, origin: Origin) -> None:
        """After a late exchange the next one is as good as new."""
        for time_s, expected in ((0.2, "timeout"), (20.0, 200)):
            path = "/hold/never" if expected == "timeout" else "/page/1"
            exchange = ask(origin.url(path), time_s=time_s)
            assert expected == outcome(exchange, bench.do(exchange))


class TestCancelling:
    async def test_connection_closes(self, origin: Origin) -> None:
        """Cancelling an exchange closes its connection."""
        engine = engines.load("asyncio").make(insecure=False, conc=8)

        async def until_in_flight(number: int) -> None:
            await asyncio.to_thread(until, lambda: origin.stats()["in_flight"] == number)

        await until_in_flight(0)
        task = asyncio.create_task(engine.exchange(ask(origin.url("/hold/never"))))
        await until_in_flight(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until_in_flight(0)
        await engine.close()
        assert task.cancelled()


_EXHAUSTED = """
import os, resource, sys
sys.path[:0] = [sys.argv[1]]
from test_engines import ask, make_bench

def starving():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        yield ask(sys.argv[3].replace("127.0.0.1", "pinned.test"))

held = []
bench = make_bench(sys.argv[2], insecure=False, conc=2)
bench.do(ask(sys.argv[3]))
print(bench.do_all(starving())[0].error_class, flush=True)
os._exit(0)
"""


class TestLoading:
    @pytest.mark.parametrize("name", ["curl", "asyncio", "threads", "serial"])
    def test_descriptors_run_out(self, origin: Origin, name: str) -> None:
        """Where this machine has no descriptor left, that is `local` and no fault of the host's."""
        arguments = [str(Path(__file__).parent), name, origin.url("/http10")]  # which leaves no idle connection
        child = subprocess.run(
            [sys.executable, "-c", _EXHAUSTED, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert "local" == child.stdout.strip(), child.stderr

    def test_nothing_is_imported_before_it_is_used(self) -> None:
        """The list of engines costs none of their libraries; one engine does not load the other's."""
        code = (
            "import sys; from crawler import engines; names = {'aiohttp', 'pycurl', 'requests', 'urllib3'};"
            "print(sorted(names & set(sys.modules))); engines.load('asyncio');"
            "print(sorted(names & set(sys.modules)))"
        )
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

        assert "[]\n['aiohttp']\n" == child.stdout

    @pytest.mark.parametrize(
        ("name", "own", "driver", "threads"),
        [
            ("auto", "curl", "polls", 1),
            ("curl", "curl", "polls", 1),
            ("asyncio", "asyncio", "tasks", 1),
            ("threads", "threads", "threads", 64),
            ("serial", "serial", "threads", 1),
            ("fake", "fake", "tasks", 1),
        ],
    )
    def test_siblings(self, name: str, own: str, driver: str, threads: int) -> None:
        """Every engine's module has the same four names."""
        module = engines.load(name)

        assert (own, driver, threads) == (module.NAME, module.DRIVER, module.threads(64))
        assert callable(module.make)

    def test_auto_without_pycurl(self) -> None:
        """`auto` is asyncio where pycurl does not import, though it may be installed."""
        code = "import sys; sys.modules['pycurl'] = None; from crawler import engines; print(engines.load('auto').NAME)"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

        assert "asyncio" == child.stdout.strip()

    def test_unknown(self) -> None:
        """There is no engine by chance."""
        with pytest.raises(KeyError):
            engines.load("os")


class TestFake:
    async def test_script(self) -> None:
        """Answers come in their order, the last one stays, and every exchange is remembered."""
        failure = Failure("reset", "scripted")
        engine = FakeEngine({"http://a.test/": [failure, Scripted((b"one", b"two"))]})
        exchanges = [ask("http://a.test/") for _ in range(3)]
        events = [await engine.exchange(exchange) for exchange in exchanges]

        assert events[0] is failure
        assert [None, 200, 200] == [exchange.body.status for exchange in exchanges]
        assert b"onetwo" == exchanges[2].body.payload
        assert exchanges == engine.seen
        await engine.close()

    async def test_broken_body(self) -> None:
        """A failure after the pieces leaves a body that is marked as cut."""
        late = Failure("timeout", "scripted")
        engine = FakeEngine({"http://a.test/": [Scripted((b"part",), failure=late)]})
        exchange = ask("http://a.test/")

        assert await engine.exchange(exchange) is late
        assert (b"part", "time") == (exchange.body.payload, exchange.body.truncated)

    async def test_cap(self) -> None:
        """A body that stops ends the exchange with a reply, as with the real engines."""
        engine = FakeEngine({"http://a.test/": [Scripted((b"part", b"more"), failure=Failure("reset", "unseen"))]})
        exchange = ask("http://a.test/", body=Body(max_bytes=2))

        assert isinstance(await engine.exchange(exchange), Reply)
        assert (b"pa", "length") == (exchange.body.payload, exchange.body.truncated)

    async def test_unknown_url(self) -> None:
        """What is not in the script cannot be reached, and nothing was sent."""
        event = await engines.load("fake").make(insecure=False, conc=1).exchange(ask("http://b.test/"))

        assert isinstance(event, Failure)
        assert ("connect", False) == (event.error_class, event.sent)


def test_the_published_table_is_what_happens() -> None:
    """docs/engines.md says of each malformed case what `test_malformed` finds, engine by engine."""
    text = (Path(__file__).parents[1] / "docs" / "engines.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\(`(/\S+)`\) \|.*\| (\w+) \| (\w+) \| (\w+) \|$", text, re.MULTILINE)
    found = {
        path: [str(cases.get(name, cases[""])) for name in ("curl", "asyncio", "")] for path, cases in MALFORMED.items()
    }

    assert found == {path: said for path, *said in rows}
