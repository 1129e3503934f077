"""HTTP/2 under the engine curl, with a server that speaks nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import crawl, rows, write_list
from conftest import Origin
from test_engines import PollBench, ask, outcome

from benchmarks.http2 import running_http2
from benchmarks.site import page
from crawler.config import CrawlConfig
from crawler.errors import ConfigError
from crawler.exchange import Exchange, Failure, Reply
from crawler.results import open_crawl


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Two hosts that speak HTTP/2."""
    with running_http2(tmp_path_factory.mktemp("http2"), hosts=2, procs=1) as bases:
        yield bases


@pytest.fixture
def bench() -> Iterator[PollBench]:
    bench = PollBench("curl", insecure=True, conc=8, http2=True)
    yield bench
    bench.close()


def to(url: str, **changes: object) -> Exchange:
    """An exchange with the host that the URL names."""
    return ask(url, addresses=(url.split("/")[2].partition(":")[0],), **changes)


def connection(exchange: Exchange) -> str | None:
    """The number of the connection that the answer came over."""
    return exchange.body.header("x-connection")


def test_an_answer(bench: PollBench, bases: tuple[str, ...]) -> None:
    """Its version is 2, it has no reason phrase, and its body is as over HTTP/1.1."""
    exchange = to(f"{bases[0]}/page/7")
    event = bench.do(exchange)

    assert isinstance(event, Reply), event
    assert (200, "", "2", page(7)) == (
        exchange.body.status,
        exchange.body.reason,
        exchange.body.http_version,
        exchange.body.payload,
    )
    assert {name.lower() for name, _ in exchange.body.headers} == {name for name, _ in exchange.body.headers}
    assert None not in (event.timings.connect_ms, event.timings.tls_ms, event.timings.ttfb_ms)


def test_one_stream_a_connection(bench: PollBench, bases: tuple[str, ...]) -> None:
    """One after the other they share a connection; side by side each has its own."""
    first, second = to(f"{bases[0]}/page/1"), to(f"{bases[0]}/page/2")
    for exchange in (first, second):
        bench.do(exchange)
    crowd = [to(f"{bases[0]}/wait/0.05/{n}") for n in range(4)]

    assert [200] * 4 == [outcome(*pair) for pair in zip(crowd, bench.do_all(crowd), strict=True)]
    assert connection(first) == connection(second)
    assert 4 == len(set(map(connection, crowd)))


def test_a_connection_that_is_dead_serves_nobody(bench: PollBench, bases: tuple[str, ...]) -> None:
    """After an exchange that got no answer in time the next one has a connection of its own."""
    url = f"{bases[0]}/mute/{uuid.uuid4()}"
    before, late, again = to(f"{bases[0]}/page/1"), to(url, time_s=0.3), to(url, time_s=20.0)
    bench.do(before)
    failure = bench.do(late)
    event = bench.do(again)

    assert isinstance(failure, Failure)
    assert ("timeout", True) == (failure.error_class, failure.sent)
    assert isinstance(event, Reply), event
    assert connection(before) != connection(again)


def test_a_site_without_it(bench: PollBench, origin: Origin) -> None:
    """One that speaks HTTP/1.1 alone, over TLS or not, is spoken to in that."""
    for url in (origin.url("/page/1"), origin.tls_url("/page/1")):
        exchange = ask(url)

        assert isinstance(bench.do(exchange), Reply)
        assert "1.1" == exchange.body.http_version


def test_a_record(bases: tuple[str, ...], tmp_path: Path) -> None:
    """The row says 2; the archive holds the answer in the form of HTTP/1.1, whatever it came in."""
    url = f"{bases[1]}/page/3"
    write_list(tmp_path, url)
    flags = ("--http2", "--insecure", "--allow-private", "--no-robots", "--procs", "1")
    ran = crawl("urls.txt", "--out", "out", *flags, cwd=tmp_path)

    assert (0, [("fetched", 200, "2", "curl")]) == (
        ran.returncode,
        rows(tmp_path / "out", "outcome, status, http_version, engine"),
    )
    with open_crawl(tmp_path / "out") as results:
        assert page(3) == results.get(url).body


@pytest.mark.parametrize("engine", ["asyncio", "gevent", "threads", "serial"])
def test_other_engines_have_none(engine: str) -> None:
    """That is said in one sentence, before anything is fetched."""
    with pytest.raises(ConfigError) as caught:
        CrawlConfig(engine=engine, http2=True)

    assert f"--http2 is not for the engine {engine}; leave out --engine, or choose --engine curl." == str(caught.value)


def test_it_may_change_from_run_to_run() -> None:
    """A crawl goes on with or without it: the pages are the same."""
    assert CrawlConfig(http2=True).identity() == CrawlConfig().identity()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"engine": "curl"}, "The engine curl needs pycurl; install it with: pip install pycurl"),
        ({"http2": True}, "--http2 needs pycurl; install it with: pip install pycurl"),
    ],
)
def test_what_is_not_installed_is_named(
    settings: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pycurl is missing, one sentence says what to install; without being asked for, nobody misses it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        CrawlConfig(**settings)  # type: ignore[arg-type]

    assert said == str(caught.value)
    assert "auto" == CrawlConfig().engine
