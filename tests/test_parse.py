"""Pages parsed in the workers: whatever the function does, each page is recorded, and no other page suffers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Origin
from hypothesis import given
from hypothesis import strategies as st
from origin import page as page_bytes

import crawler
from crawler.cli.main import main
from crawler.page import Page
from crawler.parse import links, text, title
from crawler.parsing import RESULT_BYTES, parse
from crawler.records import Row

ENGINES = ("curl", "asyncio", "threads", "gevent")
SETTINGS: dict[str, Any] = {"procs": 1, "conc": 8, "allow_private": True, "robots": False}


def html(body: str, *, content_type: str = "text/html", url: str = "https://example.com/dir/page") -> Page:
    row = Row(1, "list", 1, url, url, "example.com", "fetched", 200, content_type=content_type)
    return Page(row, (("Content-Type", content_type),), body.encode())


@pytest.mark.parametrize("engine", ENGINES)
def test_whatever_the_function_does_costs_no_page(origin: Origin, engine: str) -> None:
    """An exception, no JSON, too much of it, an exit, an endless loop: that page's parse_error, and nobody else's."""

    def function(page: crawler.Page) -> object:
        number = int(page.url.rpartition("/")[2])
        if number == 3:
            raise ValueError("two\nlines\x1b[31m")
        if number == 5:
            return object()
        if number == 7:
            return "x" * RESULT_BYTES
        if number == 9:
            os._exit(3)
        while number == 11:
            pass
        if number == 13:
            sys.exit("left")
        return {"number": number, "bytes": len(page.body)}

    urls = [origin.url(f"/page/{number}") for number in range(24)]
    pages = {p.row.seq - 1: p for p in crawler.fetch(urls, parse=function, parse_timeout=4, engine=engine, **SETTINGS)}

    assert {
        3: "ValueError: two lines\\x1b[31m",
        5: "TypeError: Object of type object is not JSON serializable",
        7: "Its result is 1,000,002 bytes long; 1,000,000 are the most.",
        9: "Its worker ended with exit status 3, with this page in its parser.",
        11: "Its worker was ended after 4 s of one parse, with this page in its parser.",
        13: "SystemExit: left",
    } == {number: page.parse_error for number, page in pages.items() if page.parse_error is not None}
    assert [page_bytes(number) for number in range(24)] == [pages[number].body for number in range(24)]
    assert all(
        pages[number].parsed == {"number": number, "bytes": len(page_bytes(number))}
        for number in range(24)
        if pages[number].parse_error is None
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_connections_are_served_while_a_page_is_parsed(origin: Origin, engine: str) -> None:
    """A parse that takes longer than another page's max_time does not eat it: that page is fetched all the same."""

    def function(page: crawler.Page) -> str:
        until = time.monotonic() + (6 if "bytes" in page.url else 0)
        while time.monotonic() < until:
            pass
        return "done"

    urls = [origin.url("/bytes/10"), origin.url("/slow-head?s=2")]
    pages = list(crawler.fetch(urls, parse=function, max_time=5, retries=0, engine=engine, **SETTINGS))

    assert [("done", 200)] * 2 == [(page.parsed, page.status) for page in pages]


def test_a_worker_that_is_killed_in_a_parse_is_no_fault_of_the_page(origin: Origin, tmp_path: Path) -> None:
    """Once may be somebody else's doing: the page is fetched and parsed again."""
    sign = tmp_path / "killed"

    def function(page: crawler.Page) -> str:
        if page.url.endswith("/5") and not sign.exists():
            sign.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return page.url

    urls = [origin.url(f"/page/{number}") for number in range(12)]
    pages = list(crawler.fetch(urls, parse=function, ordered=True, **SETTINGS))

    assert sign.exists()
    assert [(url, url, None) for url in urls] == [(page.url, page.parsed, page.parse_error) for page in pages]


def test_only_pages_are_parsed(origin: Origin) -> None:
    """Fetched with a 2xx status: not a 404, a failure, what was denied, or a duplicate."""
    paths = ("/page/1", "/status/404", "/close-before", "/page/1", "/204")
    urls = [*map(origin.url, paths), "ftp://a/"]
    pages = list(crawler.fetch(urls, parse=lambda page: page.status, ordered=True, retries=0, **SETTINGS))

    assert [200, None, None, None, 204, None] == [page.parsed for page in pages]
    assert {None} == {page.parse_error for page in pages}


def test_a_crawl_records_what_was_parsed(origin: Origin, tmp_path: Path) -> None:
    """In the row, beside the same record as ever; another function is another crawl."""
    out, urls = tmp_path / "out", [origin.url(f"/page/{number}") for number in range(5)]
    crawler.crawl(urls, out, parse=title, **SETTINGS)
    with crawler.open(out) as results:
        pages = list(results.pages())

    assert [(f"Page {n}", page_bytes(n)) for n in range(5)] == [(page.parsed, page.body) for page in pages]
    with pytest.raises(
        crawler.FolderError, match=r'parse was "crawler\.parse:title" and is now "crawler\.parse:links"'
    ):
        crawler.crawl(urls, out, parse="crawler.parse:links", **SETTINGS)
    with pytest.raises(crawler.FolderError, match="by value"):
        crawler.crawl(urls, out, parse=lambda page: 1, **SETTINGS)


def test_the_report_counts_what_could_not_be_parsed(
    origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the stats and in a line of the report; a crawl that parses nothing has no such line."""
    crawler.crawl(
        [origin.url("/page/1"), origin.url("/page/2")], tmp_path / "out", parse=lambda page: page.no, **SETTINGS
    )
    with crawler.open(tmp_path / "out") as results:
        assert 2 == results.stats().parse_errors
    main(["report", str(tmp_path / "out")])
    assert "2 pages could not be parsed" in capsys.readouterr().out


def test_a_pool_parses_too(origin: Origin) -> None:
    """In each of its calls, by the function that it was made with."""
    with crawler.Pool(parse=lambda page: len(page.body), **SETTINGS) as pool:
        assert [[10], [20]] == [[page.parsed for page in pool.fetch([origin.url(f"/bytes/{n}")])] for n in (10, 20)]


def test_the_command_line_finds_functions_where_it_stands(origin: Origin, tmp_path: Path) -> None:
    """--parse module:function, of a module in the current folder; what is none is one sentence and status 2."""
    (tmp_path / "mine.py").write_text("def size(page):\n    return {'size': len(page.body)}\n")
    (tmp_path / "urls.txt").write_text(origin.url("/bytes/77"))

    def crawl(function: str) -> subprocess.CompletedProcess[str]:
        flags = ["--out", "out", "--allow-private", "--no-robots", "--procs", "1", "--quiet", "--parse", function]
        command = [sys.executable, "-P", "-m", "crawler", "run", "urls.txt", *flags]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)

    assert (2, "crawl: mine has no function 'weight'.\n") == ((done := crawl("mine:weight")).returncode, done.stderr)
    assert not (tmp_path / "out").exists()
    assert 0 == crawl("mine:size").returncode
    with crawler.open(tmp_path / "out") as results:
        assert [{"size": 77}] == [page.parsed for page in results.pages()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_what_json_can_say_comes_back(value: Any) -> None:
    """Whatever the function returns, as long as it is JSON; None is no result."""
    answer = parse(lambda page: value, html(""))

    assert (value, None) == (None if answer.result is None else json.loads(answer.result), answer.error)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", {("a",): 1}], ids=repr)
def test_what_json_cannot_say_is_an_error(value: object) -> None:
    """In one line, and nothing else happens."""
    answer = parse(lambda page: value, html(""))

    assert answer.result is None
    assert answer.error is not None
    assert "\n" not in answer.error


def test_an_exception_that_cannot_speak_is_an_error_too() -> None:
    """What it raises when it is asked what it is, and how much it says, harm nobody."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise LookupError

    def mute(page: Page) -> None:
        raise MuteError

    class FatalError(Exception):
        def __str__(self) -> str:
            raise SystemExit

    def fatal(page: Page) -> None:
        raise FatalError

    def loud(page: Page) -> None:
        raise ValueError("x" * 10_000_000)

    assert "MuteError" == parse(mute, html("")).error
    assert "FatalError" == parse(fatal, html("")).error
    assert 300 == len(parse(loud, html("")).error or "")


def test_links_are_absolute_and_each_once() -> None:
    """Relative to the page or its base, http and https alone, without what is behind a #."""
    page = html(
        "<a href=' other ' >1</a><a href='other#x'>2</a><a href='//b.example/ü?q'>3</a><a href='mailto:a@b'>4</a>"
        "<map><area href='/area'></map><a href='http://['>5</a><a name=x>6</a><link href='/style.css' rel=stylesheet>"
    )

    assert [
        "https://example.com/dir/other",
        "https://b.example/%C3%BC?q",
        "https://example.com/area",
    ] == links(page)
    assert ["https://c.example/x/other"] == links(html("<base href='//c.example/x/'><a href=other>1</a>"))


def test_a_title_is_one_line() -> None:
    """Entities are undone, white space is collapsed; only the first title counts, and there may be none."""
    assert "A & B é" == title(html("<title> A &amp;\n B <!-- é</title><title>C</title>".replace("<!-- ", "")))
    assert title(html("<p>nothing")) is None


def test_text_leaves_out_what_is_not_to_be_read() -> None:
    """The article without its navigation; of plain text all of it."""
    article = "".join(f"<p>Sentence number {n} of an article that somebody has written.</p>" for n in range(20))
    found = text(html(f"<nav><a href=/>Home</a></nav><article>{article}</article><footer>Imprint</footer>"))

    assert found is not None
    assert "Sentence number 7 of an article" in found
    assert not any(word in found for word in ("Home", "Imprint"))
    assert "plain & simple" == text(html("plain & simple", content_type="text/plain"))


HARD = {
    "nothing": html(""),
    "white": html("   "),
    "comment": html("<!-- nothing but this -->"),
    "declared": html("<?xml version='1.0' encoding='utf-16'?><html><title>T"),
    "no html": html("%PDF-1.7", content_type="application/pdf"),
    "deep": html("<div>" * 5000),
    "nul": html("\x00<p>\x00"),
}


@pytest.mark.parametrize("page", HARD.values(), ids=HARD)
def test_ready_functions_take_whatever_comes(page: Page) -> None:
    """Nothing, damage, something else than HTML: no result, no exception."""
    assert isinstance(links(page), list)
    assert title(page) in (None, "T")
    assert isinstance(text(page), str | None)
