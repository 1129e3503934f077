"""Crawls of lists in every format, end to end: what is carried, whole requests, damage, going on, fetching again."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import complaints, crawl, rows
from conftest import Origin
from lists import FORMATS, PACKINGS, write

import crawler
from crawler.config import CrawlConfig
from crawler.errors import ConfigError, FolderError, InputError
from crawler.job import default_out, run_retry
from crawler.results import open_crawl
from crawler.store.selection import Selection

SETTINGS: dict[str, Any] = {"allow_private": True, "robots": False, "retries": 0, "procs": 1, "conc": 8}


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A word that only this test uses."""
    return "-".join(tmp_path.parts[-2:])


def listed(origin: Origin, key: str, numbers: range) -> list[dict[str, str]]:
    """Rows with pages of the origin."""
    return [{"id": f"#{n}", "url": origin.url(f"/page/{n}?{key}")} for n in numbers]


@pytest.mark.parametrize("form", [*FORMATS])
def test_every_format_is_crawled(form: str, origin: Origin, tmp_path: Path, key: str) -> None:
    """A list of any format ends with a row an entry, and what is carried stands in `extra`."""
    path = write(tmp_path, listed(origin, key, range(5)), form, ".gz")
    carried = {} if form == "txt" else {"carry": "id"}
    summary = crawler.crawl(path, out=tmp_path / "out", **SETTINGS, **carried)
    expected = [(str(path), f"#{n}" if carried else None, 200) for n in range(5)]
    with open_crawl(tmp_path / "out") as results:
        pages = [(page.row.source, page.extra and page.extra["id"], page.status) for page in results.pages()]
    assert (5, expected) == (summary.recorded, pages)


@pytest.mark.parametrize("packing", [*PACKINGS])
def test_lists_that_grow_are_gone_on_with(packing: str, origin: Origin, tmp_path: Path, key: str) -> None:
    """Lines that were added to the last file, and files that were added, are fetched, and nothing else again."""
    one = write(tmp_path, listed(origin, key, range(3)), "csv", packing, "one")
    two = write(tmp_path, listed(origin, key, range(3, 5)), "jsonl", packing, "two")
    crawler.crawl([one, two], out=tmp_path / "out", **SETTINGS)
    write(tmp_path, listed(origin, key, range(3, 7)), "jsonl", packing, "two")
    assert 2 == crawler.crawl([one, two], out=tmp_path / "out", **SETTINGS).recorded
    three = write(tmp_path, listed(origin, key, range(7, 9)), "parquet", packing, "three")
    assert 2 == crawler.crawl([one, two, three], out=tmp_path / "out", **SETTINGS).recorded
    assert 0 == crawler.crawl([one, two, three], out=tmp_path / "out", **SETTINGS).recorded
    assert [1] * 9 == [origin.hits(f"/page/{n}?{key}") for n in range(9)]
    assert [*range(1, 10)] == [seq for (seq,) in rows(tmp_path / "out", "seq")]
    with pytest.raises(InputError, match="One of the first 3 files differs"):
        crawler.crawl([two, one, three], out=tmp_path / "out", **SETTINGS)
    for changed in ({"column": "id"}, {"carry": ("id",)}):
        with pytest.raises(FolderError, match="holds a crawl with other settings"):
            crawler.crawl([one, two, three], out=tmp_path / "out", **SETTINGS, **changed)


def test_whole_requests(origin: Origin, tmp_path: Path, key: str) -> None:
    """A line of JSON is sent with its method, fields and body; only the same method, URL and body make a duplicate."""
    url = origin.url(f"/echo?{key}")
    calls = [
        {"url": url, "method": "POST", "headers": {"X-Api-Key": "s3cret"}, "body": {"q": 1}},
        {"url": url, "method": "POST", "headers": {"X-Api-Key": "s3cret"}, "body": {"q": 2}},
        {"url": url, "method": "POST", "headers": {"X-Api-Key": "other"}, "body": {"q": 1}},
        {"url": url, "method": "PUT", "body": "q=1"},
        {"url": url},
    ]
    path = tmp_path / "calls.jsonl"
    path.write_text("".join(f"{json.dumps(call)}\n" for call in calls))
    crawler.crawl(path, out=tmp_path / "out", **SETTINGS)
    with open_crawl(tmp_path / "out") as results:
        pages = list(results.pages())
        said = [json.loads(page.body) for page in pages if page.outcome == "fetched"]
    assert ["fetched", "fetched", "duplicate", "fetched", "fetched"] == [page.outcome for page in pages]
    assert [("POST", '{"q":1}'), ("POST", '{"q":2}'), ("PUT", "q=1"), ("GET", "")] == [
        (answer["method"], answer["body"]) for answer in said
    ]
    assert {"X-Api-Key": "s3cret", "Content-Type": "application/json"}.items() <= dict(said[0]["headers"]).items()


def test_secrets_of_a_list_stay_in_the_list(origin: Origin, tmp_path: Path, key: str) -> None:
    """A field of a request is redacted in the archive, and stands nowhere else in the folder."""
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps({"url": origin.url(f"/page/1?{key}"), "headers": {"Authorization": "Bearer s3cret"}}))
    crawler.crawl(path, out=tmp_path / "out", **SETTINGS)
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert b"s3cret" not in (gzip.decompress(data) if file.suffix == ".gz" else data)


@pytest.mark.parametrize("piped", [False, True])
def test_requests_are_fetched_again_from_their_list(piped: bool, origin: Origin, tmp_path: Path, key: str) -> None:
    """`crawl retry` takes what a request is from its list, or from what a pipe brought."""
    flaky = {"url": origin.url(f"/flaky-reset/{key}/1"), "method": "PUT", "headers": {"X-Key": "k"}, "body": "b"}
    text = "".join(f"{json.dumps(call)}\n" for call in [{"url": origin.url(f"/page/1?{key}")}, flaky])
    (tmp_path / "calls.jsonl").write_text(text)
    named = ["-", "--format", "jsonl"] if piped else ["calls.jsonl"]
    flags = ["--out", "out", "--allow-private", "--no-robots", "--retries", "0", "--procs", "1"]
    assert 0 == crawl(*named, *flags, cwd=tmp_path, text=text if piped else "").returncode
    ran = crawl("retry", "out", "--procs", "1", cwd=tmp_path)
    assert (0, "") == (ran.returncode, complaints(ran.stderr))
    assert [(1, "fetched", 1), (2, "fetched", 2)] == rows(tmp_path / "out", "seq, outcome, attempts")


def test_a_list_that_changed_is_not_fetched_again(
    origin: Origin, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a line has another URL than its row, a retry says so, and the row stays."""
    monkeypatch.chdir(tmp_path)
    path = Path("calls.jsonl")
    path.write_text(json.dumps({"url": origin.url(f"/reset?{key}"), "method": "POST"}))
    crawler.crawl(path, out=tmp_path / "out", **SETTINGS)
    path.write_text(json.dumps({"url": origin.url(f"/page/1?{key}"), "method": "POST"}))
    with pytest.raises(InputError, match=r"calls\.jsonl has another URL in line 1 than http://"):
        run_retry(tmp_path / "out", CrawlConfig(procs=1), Selection())
    assert [("failed", 1)] == rows(tmp_path / "out", "outcome, attempts")


def test_damage_that_comes_while_it_is_read(
    origin: Origin, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before an archive breaks is recorded; when it is mended the same call fetches the rest."""
    path = write(tmp_path, listed(origin, key, range(3_000)), "csv", ".gz")
    whole = path.read_bytes()
    out = tmp_path / "out"
    settings = {**SETTINGS, "accept_type": ("text/none",), "per_host": 0, "conc": 64}
    monkeypatch.setattr("crawler.sources.text.TextSource.verify", lambda _: None)
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(
        InputError, match=r"list\.csv\.gz is damaged behind line [\d,]+: its gzip stream is cut; mend it"
    ):
        crawler.crawl(path, out=out, **settings)
    before = [seq for (seq,) in rows(out, "seq")]
    assert 0 < len(before) < 3_000
    assert [*range(1, len(before) + 1)] == before
    path.write_bytes(whole)
    assert 3_000 - len(before) == crawler.crawl(path, out=out, **settings).recorded
    assert [1, 1] == [origin.hits(f"/page/{n}?{key}") for n in (0, 2_999)]


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """An archive that is damaged at its very end is exit status 2 and one sentence, before a folder is made."""
    data = gzip.compress(b"".join(b"http://127.0.0.1:1/%d\n" % n for n in range(20_000)))
    (tmp_path / "list.txt.gz").write_bytes(data[:-8] + bytes(8))
    ran = crawl("list.txt.gz", cwd=tmp_path)
    assert (2, "") == (ran.returncode, ran.stdout)
    said = r"crawl: list\.txt\.gz is damaged behind line 1\d,\d{3}: its gzip stream is damaged \(.*\); mend it and .*\n"
    assert re.fullmatch(said, ran.stderr)
    assert ["list.txt.gz"] == [path.name for path in tmp_path.iterdir()]


def test_standard_input_of_a_table(origin: Origin, tmp_path: Path, key: str) -> None:
    """A table comes through a pipe where its format is said, and is gone on with from what was kept of it."""
    text = f"id,url\n7,{origin.url(f'/page/1?{key}')}\n"
    command = ["-", "--format", "csv", "--carry", "id", "--out", "out", "--allow-private", "--no-robots"]
    for piped in (text, "", text):
        ran = crawl(*command, cwd=tmp_path, text=piped)
        assert (0, "") == (ran.returncode, complaints(ran.stderr))
    assert [("fetched", '{"id": "7"}', 2)] == rows(tmp_path / "out", "outcome, extra, source_line")
    assert 1 == origin.hits(f"/page/1?{key}")


def test_where_a_crawl_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crawl is named after its list, or the first of several, without what says its format."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.csv.gz"):
        Path(name).touch()
    Path("lists").mkdir()
    named: dict[str, Any] = {
        "a.crawl": "a.txt", "b.crawl": [Path("b.csv.gz"), Path("a.txt")], "lists.crawl": "lists", "stdin.crawl": "-",
        "list.crawl": ["http://a/"],
    }  # fmt: skip
    assert [*named] == [str(default_out(urls)) for urls in named.values()]
    assert Path("a.crawl") == default_out("*.txt")


@pytest.mark.parametrize("settings", [{"column": "x"}, {"carry": "x"}, {"format": "csv"}])
def test_objects_have_no_columns(settings: dict[str, Any], tmp_path: Path) -> None:
    """What is said of a list's columns is refused where there is none."""
    (name,) = settings
    for call in (lambda: crawler.crawl(["http://a/"], out=tmp_path, **settings), lambda: crawler.fetch([], **settings)):
        with pytest.raises(ConfigError, match=f"{name} is for lists in files"):
            call()
    with pytest.raises(ConfigError, match="There is no format 'xml'"):
        crawler.crawl("a.txt", format="xml")
    with pytest.raises(ConfigError, match="column is empty"):
        crawler.crawl("a.txt", column="")
