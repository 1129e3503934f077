"""Polite to real servers: limits as the server counts them, push-back, servers that go away and come back."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import inflight
import pytest
from command import recorded, rows, running, until, write_list
from conftest import Origin, running_origin
from names import holds, running_name_server

import crawler

ENGINES = ("curl", "asyncio", "threads")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """An origin on every loopback address, each of which is a host."""
    with running_origin(tmp_path_factory.mktemp("crowd"), ["lo"]) as origin:
        yield origin


@pytest.mark.parametrize("engine", inflight.ENGINES)
@pytest.mark.parametrize(
    ("case", "ends"),
    [
        (inflight.pages_and_redirects, ["200"] * 160),
        (inflight.bodies_that_are_cut, ["length"] * 80),
        (inflight.answers_that_are_not_waited_for, ["timeout"] * 20),
    ],
)
def test_a_host_never_sees_more_at_once_than_it_may(case: Any, ends: list[str], engine: str, tmp_path: Path) -> None:
    """As the server counts, with two workers of 200 places, also where others redirect to it.

    Who has enough of an answer, or waits no longer, holds its place until the connection is closed.
    """
    found, most = inflight.run(case, engine, tmp_path)

    assert (ends, True) == (found, 1 <= most <= inflight.PER_HOST)


@pytest.mark.parametrize("engine", ENGINES)
def test_many_names_of_one_machine_are_bounded(engine: str, tmp_path: Path) -> None:
    """Its address sees no more at once than it may, whatever it is called."""
    with running_origin(tmp_path) as target, running_name_server() as names:
        names.zone = {f"h{n}.test": holds(f"h{n}.test 60 A 127.0.0.1") for n in range(20)}
        urls = [target.url(f"/slow-head?s=0.02&{n}", host) for n in range(5) for host in names.zone]
        settings = {"procs": 1, "conc": 100, "per_host": 2, "engine": engine, "allow_private": True}
        fetched = [page.status for page in crawler.fetch(urls, resolver=names.address, **settings)]
        most = target.stats()["most_in_flight"]

    assert ([200] * 100, 8) == (fetched, most)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_host_that_pushes_back_gets_its_rest(engine: str, origin: Origin) -> None:
    """Every page of it is fetched in the end, those that had to wait without a try of their own."""
    key = f"polite-{engine}"
    busy = (f"/retry-after-date/{key}?s=1", f"/flaky/{key}/1")
    targets = (*busy, *(f"/page/{n}?{key}" for n in range(50)))
    settings = {"procs": 1, "engine": engine, "allow_private": True}
    fetched = [page.status for page in crawler.fetch(map(origin.url, targets), **settings)]

    assert [200] * 52 == fetched
    assert [2] * 2 + [1] * 50 == list(map(origin.hits, targets))


class _Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quietly."""


@contextlib.contextmanager
def away(address: str) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server that has its port, but does not listen yet: whoever connects is refused."""
    server = http.server.ThreadingHTTPServer((address, 0), _Page, bind_and_activate=False)
    server.request_queue_size = 128
    server.server_bind()
    serving = threading.Thread(target=server.serve_forever)
    try:
        server.start = lambda: (server.server_activate(), serving.start())  # type: ignore[attr-defined]
        yield server
    finally:
        if serving.ident is not None:
            server.shutdown()
            serving.join()
        server.server_close()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("robots", ["--robots", "--no-robots"])
def test_a_server_that_comes_back_loses_nothing(engine: str, robots: str, origin: Origin, tmp_path: Path) -> None:
    """It was away when its first hundred pages were asked for; other hosts went on; all of it is fetched."""
    with away("127.0.0.2") as server:
        dead = [f"http://127.0.0.2:{server.server_port}/{n}" for n in range(300)]
        live = [origin.url(f"/page/{n}?{engine}{robots}") for n in range(100)]
        urls = write_list(tmp_path, *dead, *live)
        flags = ("--out", "out", "--procs", "1", "--engine", engine, robots, "--allow-private", "--quiet")
        with running(urls, *flags, cwd=tmp_path) as child:
            until(lambda: recorded(tmp_path / "out") >= 100)
            server.start()  # type: ignore[attr-defined]
            assert 0 == child.wait()

    assert [("fetched", 200)] * 400 == rows(tmp_path / "out", "outcome, status")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_slow_host_holds_nobody_back(engine: str, crowd: Origin) -> None:
    """The list is sorted by host, and its first takes one request at a time: a hundred others are done long before."""
    slow = [crowd.url(f"/slow-head?s=0.05&{engine}{n}", "127.0.9.9") for n in range(5_000)]
    others = [crowd.url(f"/page/{n}?{engine}{m}", f"127.0.1.{m}") for m in range(1, 101) for n in range(3)]
    settings = {"procs": 1, "per_host": 1, "engine": engine, "allow_private": True}
    pages = crawler.fetch([*slow, *others], **settings)
    of_others = of_slow = 0
    while of_others < len(others):
        page = next(pages)
        of_others += page.url in others
        of_slow += page.url not in others
    pages.close()

    assert of_slow < 2_500
