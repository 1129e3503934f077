"""Crawls one after the other: what has not changed is asked for, not fetched, and can be read all the same."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from conftest import Origin
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

import crawler
from crawler.cli.main import main
from crawler.records import FlowState
from crawler.store.folder import CrawlFolder
from crawler.store.previous import Previous

SETTINGS: dict[str, Any] = {"procs": 1, "conc": 8, "allow_private": True, "robots": False}
KEYS = itertools.count()


@pytest.fixture
def key() -> str:
    """A name for editions that no other test has."""
    return f"incremental{next(KEYS)}"


def crawl(out: Path, urls: list[str], **settings: Any) -> dict[str, crawler.Page]:
    crawler.crawl(urls, out, **SETTINGS, **settings)
    with crawler.open(out) as results:
        return {page.url: page for page in results.pages()}


def records(out: Path) -> list[tuple[str, dict[str, str]]]:
    """Type and fields of each record that is an answer."""
    found: list[tuple[str, dict[str, str]]] = []
    for path in sorted((out / "warc").iterdir()):
        with path.open("rb") as file:
            found += [(record.rec_type, dict(record.rec_headers.headers)) for record in ArchiveIterator(file)]
    return [record for record in found if record[0] in ("response", "revisit")]


@pytest.mark.parametrize("engine", ["curl", "asyncio", "threads", "gevent"])
def test_what_became_of_each_page(origin: Origin, tmp_path: Path, key: str, engine: str) -> None:
    """Unchanged by validator of either kind and by its body; changed; gone; come; behind a redirect; without a page."""
    paths = {
        "etag": f"/edition/{key}a?etag=W/%22N%22",
        "since": f"/edition/{key}b?since=Mon,+01+Jan+2024+00:00:00+GMT",
        "plain": f"/edition/{key}c",
        "changes": f"/edition/{key}d?etag=%22N%22",
        "goes": f"/edition/{key}e",
        "comes": f"/edition/{key}f",
        "fails": "/status/500",
    }
    urls = {name: origin.url(path) for name, path in paths.items()}
    urls["moved"] = origin.url(f"/redirect-to?url={paths['etag']}")
    origin.ask(f"/_edition/{key}f?is=0")
    first = crawl(tmp_path / "1", list(urls.values()), retries=0, engine=engine)
    for letter, number in zip("def", (2, 0, 1), strict=True):
        origin.ask(f"/_edition/{key}{letter}?is={number}")
    urls["added"] = origin.url("/bytes/10")
    second = crawl(tmp_path / "2", list(urls.values()), retries=0, engine=engine, previous=str(tmp_path / "1"))
    pages = {name: second[url] for name, url in urls.items()}

    assert {None} == {page.changed for page in first.values()}
    assert {
        "etag": (304, "same", True),
        "since": (304, "same", True),
        "plain": (200, "same", True),
        "changes": (200, "changed", True),
        "goes": (404, "gone", False),
        "comes": (200, "new", True),
        "fails": (500, None, False),
        "moved": (304, "same", True),
        "added": (200, "new", True),
    } == {name: (page.status, page.changed, page.ok) for name, page in pages.items()}
    for name in ("etag", "since", "plain", "moved"):
        assert first[urls[name]].body == pages[name].body != b""
        assert "text/plain; charset=utf-8" == dict(pages[name].headers)["Content-Type"]


def test_the_report_counts_what_changed(
    origin: Origin, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unchanged page is ok, one that says so unasked is not; a section has how many there are of each kind."""
    urls = [origin.url(f"/edition/{key}?etag=%22N%22"), origin.url("/status/304")]
    crawl(tmp_path / "1", urls[:1])
    crawl(tmp_path / "2", urls, previous=str(tmp_path / "1"))
    with crawler.open(tmp_path / "2") as results:
        stats = results.stats()

    assert ({"same": 1}, {304: 2}, 1) == (stats.changes, stats.statuses, stats.ok)
    assert (1, 1) == (stats.hosts[0].ok, len(stats.hosts))
    assert 0 == main(["report", str(tmp_path / "2")])
    assert "Since the previous crawl\n             1  same\n" in capsys.readouterr().out


def test_a_revisit_is_recorded_as_the_standard_has_it(origin: Origin, tmp_path: Path, key: str) -> None:
    """WARC 1.1 §6.7: both profiles, what they refer to, the payload's digest; and no payload is said twice."""
    asked, plain = origin.url(f"/edition/{key}?etag=%22N%22"), origin.url(f"/edition/{key}")
    first = crawl(tmp_path / "1", [asked, plain])
    second = crawl(tmp_path / "2", [asked, plain], previous=str(tmp_path / "1"))
    found = {fields["WARC-Target-URI"]: (kind, fields) for kind, fields in records(tmp_path / "2")}

    profile = "http://netpreserve.org/warc/1.1/revisit/"
    for url, name in ((asked, "server-not-modified"), (plain, "identical-payload-digest")):
        kind, fields = found[url]
        row = first[url].row
        assert ("revisit", profile + name) == (kind, fields["WARC-Profile"])
        assert (url, row.fetched_at, row.digest) == (
            fields["WARC-Refers-To-Target-URI"],
            fields["WARC-Refers-To-Date"],
            fields["WARC-Payload-Digest"],
        )
        assert second[url].row.digest == row.digest
    assert "length" == found[plain][1]["WARC-Truncated"]
    checker = Checker(type("Args", (), {"inputs": [str(p) for p in (tmp_path / "2" / "warc").iterdir()], "verbose": 0}))
    checker.process_all()
    assert 0 == checker.exit_value


def test_a_page_is_read_through_all_crawls_since_it_changed(
    origin: Origin, tmp_path: Path, key: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """crawl get gives the body, however many crawls ago it came; where that crawl is gone, one sentence says so."""
    url = origin.url(f"/edition/{key}?etag=%22N%22")
    crawl(tmp_path / "1", [url])
    for number in (2, 3, 4):
        pages = crawl(tmp_path / str(number), [url], previous=str(tmp_path / str(number - 1)))

    assert f"{key}, edition 1".encode() == pages[url].body
    assert 0 == main(["get", str(tmp_path / "4"), url])
    assert f"{key}, edition 1".encode() == capfdbinary.readouterr().out
    shutil.rmtree(tmp_path / "1")
    assert 1 == main(["get", str(tmp_path / "4"), url])
    error = capfdbinary.readouterr().err.decode()
    assert f"has not changed since the crawl in {tmp_path / '1'}" in error
    assert 1 == error.count("\n")


def test_a_crawl_that_was_changed_since_gives_nothing_wrong(origin: Origin, tmp_path: Path, key: str) -> None:
    """What stands where the body was is judged by its digest."""
    url = origin.url(f"/edition/{key}?etag=%22N%22")
    crawl(tmp_path / "1", [url])
    pages = crawl(tmp_path / "2", [url], previous=str(tmp_path / "1"))
    origin.ask(f"/_edition/{key}?is=2")
    crawler.crawl([url], tmp_path / "1", restart=True, **SETTINGS)

    with pytest.raises(crawler.NotRecordedError):
        _ = pages[url].body


def test_where_there_is_nothing_to_refer_to_the_page_is_fetched(origin: Origin, tmp_path: Path, key: str) -> None:
    """A page that was cut, or a crawl without an archive: no validators, unless this one keeps no bodies either."""
    url = origin.url(f"/edition/{key}?etag=%22N%22")
    crawl(tmp_path / "cut", [url], max_body=5)
    crawl(tmp_path / "bare", [url], no_bodies=True)

    for name, settings in (("cut", {}), ("bare", {}), ("cut", {"no_bodies": True}), ("bare", {"no_bodies": True})):
        page = crawl(tmp_path / f"{name}{len(settings)}", [url], previous=str(tmp_path / name), **settings)[url]
        assert (304 if (name, len(settings)) == ("bare", 1) else 200) == page.status
    assert {"response"} == {kind for kind, _ in records(tmp_path / "bare0")}


def test_a_library_call_compares_too(origin: Origin, tmp_path: Path, key: str) -> None:
    """Its page says what became of it; a 304 brings no body."""
    url = origin.url(f"/edition/{key}?etag=%22N%22")
    crawl(tmp_path / "1", [url])
    (page,) = crawler.fetch([url], previous=tmp_path / "1", **SETTINGS)

    assert (304, "same", True, b"") == (page.status, page.changed, page.ok, page.body)


def test_the_previous_crawl_is_only_read(origin: Origin, tmp_path: Path, key: str) -> None:
    """Not a byte of its folder changes, also where it could be written."""
    url = origin.url(f"/edition/{key}?etag=%22N%22")
    crawl(tmp_path / "1", [url])
    before = {path.name: path.read_bytes() for path in (tmp_path / "1").rglob("*") if path.is_file()}
    crawl(tmp_path / "2", [url], previous=str(tmp_path / "1"))

    assert before == {path.name: path.read_bytes() for path in (tmp_path / "1").rglob("*") if path.is_file()}


def test_what_cannot_be_a_previous_crawl_is_said_at_once(origin: Origin, tmp_path: Path) -> None:
    """A folder that is none, the crawl itself, one of another method; and a resumed crawl has the same one."""
    url = origin.url("/bytes/1")
    crawler.crawl([url], tmp_path / "posts", method="POST", **SETTINGS)
    crawler.crawl([url], tmp_path / "gets", **SETTINGS)
    for out, previous, why in (
        ("out", "nowhere", "is no crawl"),
        ("out", "out", "compared with itself"),
        ("out", "posts", "the method POST"),
        ("gets", "posts", "previous was null"),
    ):
        with pytest.raises(crawler.UsageError, match=why):
            crawler.crawl([url], tmp_path / out, previous=str(tmp_path / previous), **SETTINGS)
    with pytest.raises(crawler.FolderError, match="is no crawl"):
        crawler.fetch([url], previous=tmp_path / "nowhere", **SETTINGS)
    assert not (tmp_path / "out").exists()


def test_an_entry_is_found_by_its_normalised_url(origin: Origin, tmp_path: Path) -> None:
    """However the list wrote it, and whatever it was redirected to; of several the first."""
    base = origin.url("")
    listed = [f"{base}/a/../bytes/1#x", f"{base}/redirect-to?url=/bytes/2", f"{base}/bytes/1"]
    crawl(tmp_path / "1", listed, keep_duplicates=True)
    targets = [f"{base}/bytes/1", f"{base}/redirect-to?url=/bytes/2", f"{base}/bytes/2", f"{base}/bytes/3"]
    states = [FlowState(n, "list", n, url, url, "127.0.0.1") for n, url in enumerate(targets, 1)]
    previous = Previous(tmp_path / "1", with_records=True)
    attached = previous.attach(states)
    previous.close()

    assert [f"{base}/bytes/1", f"{base}/bytes/2", None, None] == [s.earlier and s.earlier.url for s in attached]
    with sqlite3.connect(CrawlFolder(tmp_path / "1").database) as database:
        ((offset,),) = database.execute("SELECT warc_offset FROM pages WHERE seq = 1")
    database.close()
    assert attached[0].earlier is not None
    assert f"00001.warc.gz {offset} " in f"{attached[0].earlier.record} "
