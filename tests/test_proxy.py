"""What goes through a proxy: the engines one by one, and the real command."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import complaints, crawl, rows, write_list
from conftest import Origin
from hypothesis import given
from hypothesis import strategies as st
from proxies import running_proxy
from scripted import PUBLIC, World, answer, state
from test_engines import ask, outcome, seen
from test_engines import bench as bench
from test_engines import open_bench as open_bench

import crawler
from crawler.config import CrawlConfig
from crawler.errors import ConfigError
from crawler.exchange import Action, Addresses, Event, Exchange, Failure, Reply, Resolve
from crawler.fates import Fate
from crawler.proxy import Proxy, parse_proxy
from crawler.results import open_crawl

BASIC = "Basic dTpwQHNz"  # u:p@ss


def through(proxy: Any, url: str, userinfo: str = "", **changes: Any) -> Exchange:
    """An exchange with the origin through a proxy."""
    return ask(url, proxy=parse_proxy(proxy.url(userinfo)), **changes)


def fields(exchange: Exchange) -> dict[str, str]:
    """What the origin saw, its names in lower case."""
    return {name.lower(): value for name, value in seen(exchange)["headers"]}


class TestEngines:
    @pytest.mark.parametrize("target", ["/echo", "/echo?", "/echo?a=%c3%A9|b&c='d'"])
    def test_http(self, bench: Any, origin: Origin, target: str) -> None:
        """The proxy is sent the URL byte for byte, with its credentials; the origin sees none of them."""
        with running_proxy("u:p@ss") as proxy:
            exchange = through(proxy, origin.url(target, "pinned.test"), "u:p%40ss@")
            event = bench.do(exchange)

            assert isinstance(event, Reply), event
            assert [f"GET {origin.url(target, 'pinned.test')} HTTP/1.1"] == proxy.requests
            assert 1 == proxy.heads[0].count(f"\r\nProxy-Authorization: {BASIC}\r\n")
        assert (None, "1.1 test", f"pinned.test:{origin.port}") == (
            event.ip, fields(exchange)["via"], fields(exchange)["host"]
        )  # fmt: skip
        assert "proxy-authorization" not in fields(exchange)

    def test_https(self, open_bench: Any, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
        """TLS runs inside a tunnel, which is kept; the certificate must be the origin's, not the proxy's."""
        monkeypatch.setenv("SSL_CERT_FILE", str(origin.certificate))
        bench = open_bench()
        with running_proxy("u:p@ss") as proxy:
            url = origin.tls_url("/echo", "pinned.test")
            exchanges = [through(proxy, url, "u:p%40ss@") for _ in range(2)]
            events = [bench.do(exchange) for exchange in exchanges]
            other = through(proxy, origin.tls_url("/echo", "other.test"), "u:p%40ss@")
            refused = bench.do(other)

            assert [200, 200] == [outcome(*pair) for pair in zip(exchanges, events, strict=True)]
            assert [None, None] == [event.ip for event in events]
            assert ("tls", False) == (refused.error_class, refused.sent)
            assert [f"CONNECT {host}:{origin.tls_port} HTTP/1.1" for host in ("pinned.test", "other.test")] == (
                proxy.requests
            )
            assert 1 == proxy.heads[0].count(f"\r\nProxy-Authorization: {BASIC}\r\n")
            assert f"\r\nHost: pinned.test:{origin.tls_port}\r\n" in proxy.heads[0]
        assert "proxy-authorization" not in fields(exchanges[0])
        assert seen(exchanges[0])["connection"] == seen(exchanges[1])["connection"]

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_wrong_password(self, bench: Any, origin: Origin, scheme: str) -> None:
        """407 is the proxy's, whatever its reason phrase says; its page is no page of the origin's."""
        url = origin.url("/echo") if scheme == "http" else origin.tls_url("/echo")
        with running_proxy("u:right") as proxy:
            exchange = through(proxy, url, "u:wrong@")
            event = bench.do(exchange)

        assert isinstance(event, Failure)
        assert ("proxy", "the proxy refused: 407 Proxy Authentication Required") == (event.error_class, event.message)
        assert (None, None) == (event.ip, exchange.body.status)

    def test_a_407_of_an_origin(self, open_bench: Any, origin: Origin) -> None:
        """Inside a tunnel 407 is an answer like any, as it is without a proxy."""
        bench = open_bench(insecure=True)
        direct = ask(origin.url("/status/407"))
        with running_proxy() as proxy:
            tunnelled = through(proxy, origin.tls_url("/status/407"))

            assert [407, 407] == [outcome(each, bench.do(each)) for each in (direct, tunnelled)]

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "the proxy refused: 502 Bad Gateway"),
            (b"HTTP/1.1 403 s3cret\r\nContent-Length: 0\r\n\r\n", "the proxy refused: 403 Forbidden"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", "the proxy refused: 204 No Content"),
            (b"HTTP/1.1 799 What\r\nContent-Length: 0\r\n\r\n", "the proxy refused: 799"),
            (b"SSH-2.0-OpenSSH_9.6\r\nnot HTTP at all\r\n", "the proxy: "),
            (b"HTTP/1.1 200 OK\r\nVia", "the proxy: "),
            (b"", "the proxy: "),
        ],
    )
    def test_no_tunnel(self, bench: Any, origin: Origin, answer: bytes, said: str) -> None:
        """Whatever a proxy says in place of a tunnel is its own failure; nothing of the request has left."""
        with running_proxy(answer=answer) as proxy:
            event = bench.do(through(proxy, origin.tls_url("/echo")))

            assert isinstance(event, Failure)
            assert ("proxy", False, None) == (event.error_class, event.sent, event.ip)
            assert event.message.startswith(said)
            assert 1 == len(proxy.heads)

    def test_an_error_page_of_the_proxy(self, bench: Any, origin: Origin) -> None:
        """A 504 that the proxy makes in place of a page is the answer of the exchange."""
        with running_proxy(answer=b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 2\r\n\r\nno") as proxy:
            exchange = through(proxy, origin.url("/echo"))

            assert 504 == outcome(exchange, bench.do(exchange))

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_dead(self, bench: Any, origin: Origin, scheme: str) -> None:
        """A proxy that cannot be connected is a failure of its own; the origin is not asked another way."""
        path = f"/echo?{uuid.uuid4()}"
        with socket.socket() as taken:  # bound, but nobody listens
            taken.bind(("127.0.0.1", 0))
            proxy = Proxy("127.0.0.1", taken.getsockname()[1])
            url = origin.url(path) if scheme == "http" else origin.tls_url(path)
            event = bench.do(ask(url, proxy=proxy))

        assert isinstance(event, Failure)
        assert ("proxy", False) == (event.error_class, event.sent)
        assert event.message.startswith("the proxy: Connect")
        assert 0 == origin.hits(path)

    def test_silent(self, bench: Any, origin: Origin) -> None:
        """A proxy that says nothing to CONNECT cannot hold us longer than `connect_s`."""
        url = origin.tls_url("/echo")
        with socket.create_server(("127.0.0.1", 0)) as server:
            proxy = Proxy("127.0.0.1", server.getsockname()[1])
            event = bench.do(ask(url, proxy=proxy, connect_s=0.3))

        assert isinstance(event, Failure)
        assert ("proxy", "the proxy: connect timed out", False) == (event.error_class, event.message, event.sent)

    def test_only_the_proxy_is_connected(self, bench: Any, origin: Origin) -> None:
        """The addresses of the exchange are the proxy's: where it is elsewhere, nobody is connected."""
        with running_proxy() as proxy:
            event = bench.do(through(proxy, origin.url("/echo"), addresses=("127.0.0.9",)))

            assert isinstance(event, Failure)
            assert ("proxy", []) == (event.error_class, proxy.heads)


def test_gevent() -> None:
    """Every law of TestEngines holds under gevent, in a process that gevent has patched."""
    command = [sys.executable, "-m", "gevent.monkey", "--module", "pytest", "-q", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", f"{__file__}::TestEngines"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "CRAWLER_TEST_GEVENT": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert 0 == done.returncode, done.stdout[-5000:] + done.stderr[-2000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= 17


class TestReading:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("http://p.test:3128", Proxy("p.test", 3128)),
            ("HTTP://P.test:3128/", Proxy("p.test", 3128)),
            ("http://[2001:db8::1]:80", Proxy("2001:db8::1", 80)),
            ("http://u:p%40ss@10.0.0.1:3128", Proxy("10.0.0.1", 3128, BASIC)),
            ("http://u@p.test:1", Proxy("p.test", 1, "Basic dTo=")),
        ],
    )
    def test_proxies(self, text: str, expected: Proxy) -> None:
        """Host, port and credentials, percent-decoded; a password is not shown by the object."""
        assert expected == parse_proxy(text)
        assert "Basic" not in repr(parse_proxy(text))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("https://u:s3cret@p.test:1", "A proxy of the kind https:// is not built; write http://"),
            ("socks5://u:s3cret@p.test:1", "A proxy of the kind socks5:// is not built; write http://"),
            ("s3cret://p.test:1", "The proxy cannot be read; write http://"),
            ("u:s3cret@p.test:1", "The proxy cannot be read; write http://"),
            ("http://u:s3cret@p.test", "The proxy cannot be read; write http://"),
            ("http://u:s3cret@p.test:0", "The proxy cannot be read; write http://"),
            ("http://u:s3cret@p.test:s3cret", "The proxy cannot be read; write http://"),
            ("http://u:s3/cret@p.test:1", "The proxy cannot be read; write http://"),
            ("http://p.test:1/s3cret", "The proxy cannot be read; write http://"),
            ("http://p.test:1?s3cret", "The proxy cannot be read; write http://"),
            ("http://u:s3cret@:1", "The proxy cannot be read; write http://"),
            ("http://u:s3cret@[::1:1", "The proxy cannot be read; write http://"),
            ("http://u:s3cret%0d%0a@p.test:1", "The proxy's user holds a colon, or user or password a control"),
            ("http://u%3as3cret:x@p.test:1", "The proxy's user holds a colon, or user or password a control"),
        ],
    )
    def test_what_is_none(self, text: str, said: str) -> None:
        """One sentence says what to write instead, and shows nothing of the secret."""
        with pytest.raises(ConfigError) as caught:
            CrawlConfig(proxy=text)

        assert str(caught.value).startswith(said)
        assert "cret" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_a_header_of_the_same_name(self) -> None:
        """What is for the proxy alone is no header field of a request, which an origin would read in a tunnel."""
        with pytest.raises(ConfigError, match=r"Proxy-Authorization would reach the sites; .* --proxy http://user:pa"):
            CrawlConfig(header=(("proxy-authorization", "Basic s3cret"),))

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Whatever it is, it is a proxy or a ConfigError, and what is sent of it is printable ASCII."""
        try:
            proxy = parse_proxy(f"http://{text}@p.test:1")
        except ConfigError:
            return
        assert (proxy.authorization or "").isascii()
        assert (proxy.authorization or "a").isprintable()


class TestFlow:
    CONFIG = CrawlConfig(robots=False, retries=0, proxy="http://p.test:3128")

    def ended(self, target: tuple[str, ...], proxy: tuple[str, ...] | Failure) -> tuple[Fate, World]:
        """How an entry ends whose host and proxy have these addresses."""

        class Names(World):
            def do(self, action: Action | None) -> Event:
                if isinstance(action, Resolve) and action.host == "p.test":
                    return proxy if isinstance(proxy, Failure) else Addresses(proxy, 1.0)
                return super().do(action)

        world = Names({"http://example.com/": [answer(payload=b"ok")]}, target)
        fate = world.run(state(), self.CONFIG)
        assert isinstance(fate, Fate)
        return fate, world

    def test_what_is_connected(self) -> None:
        """The proxy's own address, which may be private, and none of the target's."""
        fate, world = self.ended((PUBLIC,), ("10.0.0.1",))

        assert "fetched" == fate.outcome
        assert [(("10.0.0.1",), Proxy("p.test", 3128))] == [(e.addresses, e.proxy) for e in world.exchanges]

    @pytest.mark.parametrize("target", [("10.0.0.7",), (PUBLIC, "10.0.0.7")])
    def test_a_private_target(self, target: tuple[str, ...]) -> None:
        """One private address is enough to refuse a name: the proxy might take that one."""
        fate, world = self.ended(target, ("10.0.0.1",))

        assert ("denied", "blocked_address", []) == (fate.outcome, fate.error_class, world.exchanges)
        assert (fate.error or "").startswith("10.0.0.7: ")

    @pytest.mark.parametrize(
        ("found", "error_class", "error"),
        [
            (Failure("dns", "p.test: no such name", sent=False), "proxy", "the proxy: p.test: no such name"),
            ((), "proxy", "the proxy: p.test has no address"),
            (Failure("local", "too few descriptors", sent=False), "local", "too few descriptors"),
        ],
    )
    def test_a_proxy_that_is_nowhere(self, found: Any, error_class: str, error: str) -> None:
        """Its name is looked up as any, but what comes of that is its own failure, or this machine's."""
        world = self.ended((PUBLIC,), found)

        assert (error_class, error, []) == (world[0].error_class, world[0].error, world[1].exchanges)

    def test_it_is_tried_again(self) -> None:
        """A failure of the proxy passes like one to connect."""
        script: list[Callable[..., Any]] = [lambda _: Failure("proxy", "the proxy: x", sent=False), answer()]
        world = World({"http://example.com/": script})
        fate = world.run(state(method="POST"), CrawlConfig(robots=False, retries=1, proxy="http://p.test:1"))

        assert isinstance(fate, Fate)
        assert ("fetched", 2) == (fate.outcome, fate.attempts)

    def test_places(self) -> None:
        """No request is held back for the one address that all of them go to."""
        assert (0, 16) == (self.CONFIG.places_at_one_address, CrawlConfig().places_at_one_address)


PASSWORD = "pa55-w0rd"


def files(folder: Path) -> bytes:
    """Every byte that a crawl wrote, unpacked."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return b"".join(gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in found)


class TestCommand:
    FLAGS = ("--retries", "0", "--procs", "1")

    @pytest.mark.parametrize("engine", ["curl", "asyncio", "threads", "gevent", "serial"])
    def test_a_crawl(self, origin: Origin, tmp_path: Path, engine: str) -> None:
        """Pages and robots.txt come through the proxy, which needs no permission; what is private is never asked for.

        The environment's proxy is not heeded, and the password is in no file.
        """
        target, key = "127.0.0.2", uuid.uuid4()
        write_list(tmp_path, origin.url(f"/echo?{key}", target), origin.url(f"/page/1?{key}"))
        with running_proxy(f"u:{PASSWORD}") as proxy:
            to_proxy = ("--proxy", proxy.url(f"u:{PASSWORD}@"), "--allow-net", f"{target}/32", "--engine", engine)
            ran = crawl("urls.txt", *self.FLAGS, *to_proxy, cwd=tmp_path)

            wanted = [origin.url("/robots.txt", target), origin.url(f"/echo?{key}", target)]
            assert [f"GET {url} HTTP/1.1" for url in wanted] == proxy.requests
        out = tmp_path / "urls.crawl"
        assert (0, "") == (ran.returncode, complaints(ran.stderr))
        assert [("fetched", 200, None, None), ("denied", None, "blocked_address", None)] == rows(
            out, "outcome, status, error_class, ip"
        )
        assert 0 == origin.hits(f"/page/1?{key}")
        with open_crawl(out) as results:
            saw = json.loads(results.get(origin.url(f"/echo?{key}", target)).body)["headers"]
        assert ("1.1 test", None) == (dict(saw)["Via"], dict(saw).get("Proxy-Authorization"))
        basic = base64.b64encode(f"u:{PASSWORD}".encode()).decode()
        for secret in (PASSWORD, basic, "proxy-authorization"):
            assert secret.encode().lower() not in (files(out) + (ran.stdout + ran.stderr).encode()).lower()

    @pytest.mark.parametrize("engine", ["curl", "asyncio", "threads"])
    def test_a_proxy_with_a_name(self, origin: Origin, tmp_path: Path, engine: str) -> None:
        """It is looked up like any name, while hosts wait their turn; all of its addresses are tried."""
        key = uuid.uuid4()
        write_list(tmp_path, *(origin.url(f"/page/{n}?{key}") for n in range(3)))
        with running_proxy() as proxy:
            more = ("--proxy", f"http://localhost:{proxy.port}", "--delay", "0.01", "--no-robots", "--allow-private")
            crawl("urls.txt", *self.FLAGS, *more, "--engine", engine, cwd=tmp_path)

            assert 3 == len(proxy.heads)
        assert [("fetched", 200)] * 3 == rows(tmp_path / "urls.crawl", "outcome, status")

    def test_the_library(self, origin: Origin) -> None:
        """`proxy` is a setting like any."""
        settings = {"procs": 1, "allow_private": True, "robots": False, "insecure": True}
        with running_proxy() as proxy:
            (page,) = crawler.fetch([origin.tls_url("/page/1")], proxy=proxy.url(), **settings)

            assert (1, [f"CONNECT 127.0.0.1:{origin.tls_port} HTTP/1.1"]) == (proxy.tunnels, proxy.requests)
        assert page.ok

    def test_the_environment(self, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Variables that name a proxy change nothing."""
        write_list(tmp_path, origin.url("/page/1"))
        with running_proxy() as proxy:
            for name in ("http_proxy", "https_proxy", "all_proxy"):
                monkeypatch.setenv(name, proxy.url())
            for engine in ("curl", "asyncio", "threads"):
                more = ("--allow-private", "--engine", engine, "--out", engine)
                assert 0 == crawl("urls.txt", *self.FLAGS, *more, cwd=tmp_path).returncode

            assert [] == proxy.heads

    @pytest.mark.parametrize("flag", ["--proxy=https://u:s3cret@p.test:1", "--proxi=http://u:s3cret@p.test:1"])
    def test_a_slip(self, origin: Origin, tmp_path: Path, flag: str) -> None:
        """What cannot be taken is refused in one sentence, without the password, before there is a folder."""
        write_list(tmp_path, origin.url("/page/1"))
        ran = crawl("urls.txt", flag, cwd=tmp_path)

        assert (2, "", 1) == (ran.returncode, ran.stdout, ran.stderr.count("\n"))
        assert "proxy" in ran.stderr
        assert "s3cret" not in ran.stderr
        assert not (tmp_path / "urls.crawl").exists()

    def test_going_on(self, origin: Origin, tmp_path: Path) -> None:
        """The same proxy goes on; another, another password, or none is refused, and no secret is shown."""
        key = uuid.uuid4()
        write_list(tmp_path, origin.url(f"/page/1?{key}"))
        flags = (*self.FLAGS, "--no-robots", "--allow-private")
        with running_proxy() as proxy:
            given = ("--proxy", proxy.url(f"u:{PASSWORD}@"))
            first = crawl("urls.txt", *flags, *given, cwd=tmp_path)
            again = crawl("urls.txt", *flags, *given, cwd=tmp_path)
            others = [
                crawl("urls.txt", *flags, *other, cwd=tmp_path) for other in (("--proxy", proxy.url("u:0ther@")), ())
            ]

            assert 1 == len(proxy.heads)
        assert [0, 0, 2, 2] == [ran.returncode for ran in (first, again, *others)]
        assert "proxy was (secret " in others[0].stderr
        assert "and is now (secret " in others[0].stderr
        assert "and is now null" in others[1].stderr
        said = "".join(ran.stdout + ran.stderr for ran in (first, again, *others))
        assert [] == [secret for secret in (PASSWORD, "0ther") if secret in said]

    def test_a_retry(self, origin: Origin, tmp_path: Path) -> None:
        """A dead proxy fails its pages as `proxy`; a retry wants it again, and takes no other."""
        write_list(tmp_path, origin.url("/page/1"))
        flags = (*self.FLAGS, "--no-robots", "--allow-private")
        with socket.socket() as taken:  # bound, but nobody listens
            taken.bind(("127.0.0.1", 0))
            given = ("--proxy", f"http://u:{PASSWORD}@127.0.0.1:{taken.getsockname()[1]}")
            first = crawl("urls.txt", *flags, *given, cwd=tmp_path)
            retries = [
                crawl("retry", "urls.crawl", "--error", "proxy", "--procs", "1", *proxy, cwd=tmp_path)
                for proxy in ((), ("--proxy", "http://127.0.0.1:1"), given)
            ]

        assert [0, 2, 2, 0] == [ran.returncode for ran in (first, *retries)]
        assert "was crawled through a proxy, which is not kept; give it again with --proxy URL." in retries[0].stderr
        assert "proxy was (secret " in retries[1].stderr
        assert [("failed", "proxy", "the proxy:", 2)] == rows(
            tmp_path / "urls.crawl", "outcome, error_class, substr(error, 1, 10), attempts"
        )
        assert PASSWORD.encode() not in files(tmp_path / "urls.crawl")
