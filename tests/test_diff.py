"""crawl diff: two crawls side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler import urls
from crawler.cli.main import main
from crawler.diff import KINDS, Diff, Kind
from crawler.records import Row
from crawler.store.database import SCHEMA_VERSION, Database

Seen = tuple[int | None, str | None]
"""How a URL ended: an HTTP status (None: it failed), and what its body was."""


def record(folder: Path, pages: Mapping[str, Seen], *, duplicates: bool = False) -> Path:
    """A crawl that holds these rows, and nothing else that diff would look at."""
    folder.mkdir()
    database = Database(folder / "crawl.db")
    database.create({"schema_version": SCHEMA_VERSION, "identity": "{}", "key": "00", "finished": "true"})
    database.make_retries()
    rows = [row(seq, url, *seen) for seq, (url, seen) in enumerate(pages.items(), 1)]
    if duplicates:
        rows += [
            msgspec.structs.replace(r, seq=r.seq + len(rows), outcome="duplicate", status=None, body_digest=None)
            for r in rows
        ]
    database.commit([msgspec.structs.astuple(row) for row in rows], {})
    database.close()
    return folder


def row(seq: int, url: str, status: int | None, body: str | None) -> Row:
    unchanged = status == 304
    return Row(
        seq, "list", seq, url, urls.parse(url).href, "host", "failed" if status is None else "fetched", status,
        "timeout" if status is None else None, body_digest=body, changed="same" if unchanged else None,
    )  # fmt: skip


CASES: dict[Kind | None, tuple[Seen | None, Seen | None]] = {
    "new": ((404, "a"), (200, "a")),
    "changed": ((200, "a"), (200, "b")),
    "gone": ((200, "a"), (410, "a")),
    "failed": ((200, "a"), (None, None)),
    "missing": ((200, "a"), None),
    "same": ((200, "a"), (304, "a")),
    None: ((404, "a"), (404, "b")),
}


@pytest.mark.parametrize("kind", CASES, ids=str)
def test_kinds(tmp_path: Path, kind: Kind | None) -> None:
    """A page is what is ok; its body tells whether it is the same one."""
    before, after = (
        record(tmp_path / name, {"http://a/": seen} if seen is not None else {})
        for name, seen in zip("12", CASES[kind], strict=True)
    )
    with Diff(before, after) as diff:
        assert dict.fromkeys(KINDS, 0) | ({} if kind is None else {kind: 1}) == diff.counts
        assert ([] if kind in (None, "same") else [kind]) == [change.kind for change in diff.changes()]


URLS = [f"http://h/{n}" for n in range(6)]
SEEN = st.tuples(st.sampled_from([200, 204, 304, 404, 410, 500, None]), st.sampled_from(["a", "b"]))
CRAWLS = st.dictionaries(st.sampled_from(URLS), SEEN)


def expected(was: Seen | None, now: Seen | None) -> Kind | None:
    def ok(seen: Seen | None) -> bool:
        return seen is not None and seen[0] in (200, 204, 304)

    if not ok(now):
        if not ok(was):
            return None
        return "missing" if now is None else "gone" if now[0] in (404, 410) else "failed"
    assert now is not None
    return "new" if not ok(was) or was is None else "same" if was[1] == now[1] else "changed"


@settings(max_examples=30)
@given(CRAWLS, CRAWLS, st.booleans())
def test_every_url_has_one_place(
    tmp_path_factory: pytest.TempPathFactory, was: dict[str, Seen], now: dict[str, Seen], duplicates: bool
) -> None:
    """Counts and changes say the same, for any two crawls; duplicates change nothing."""
    folder = tmp_path_factory.mktemp("diff")
    kinds = {url: expected(was.get(url), now.get(url)) for url in {**now, **was}}
    before, after = record(folder / "1", was), record(folder / "2", now, duplicates=duplicates)
    with Diff(before, after) as diff:
        changes = list(diff.changes())

        assert Counter(kind for kind in kinds.values() if kind) == Counter(diff.counts)
        assert {url: kind for url, kind in kinds.items() if kind not in (None, "same")} == {
            change.url: change.kind for change in changes
        }
        in_order = [url for url in (*now, *(url for url in was if url not in now)) if kinds[url] not in (None, "same")]
        assert in_order == [change.url for change in changes]
        assert all(
            (was.get(c.url, (None,))[0], now.get(c.url, (None,))[0]) == (c.was_status, c.status) for c in changes
        )


@settings(max_examples=10)
@given(CRAWLS)
def test_a_crawl_is_not_different_from_itself(tmp_path_factory: pytest.TempPathFactory, pages: dict[str, Seen]) -> None:
    """All of its pages are the same."""
    folder = record(tmp_path_factory.mktemp("diff") / "1", pages)
    with Diff(folder, folder) as diff:
        assert [] == list(diff.changes())
        assert sum(status in (200, 204, 304) for status, _ in pages.values()) == diff.counts["same"]


def test_urls_are_compared_in_normal_form(tmp_path: Path) -> None:
    """Two lists may write one URL in two ways."""
    before = record(tmp_path / "1", {"HTTP://Example.com/a/../b": (200, "a")})
    after = record(tmp_path / "2", {"example.com/b#x": (200, "a")})
    with Diff(before, after) as diff:
        assert 1 == diff.counts["same"]


def test_what_people_and_programs_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a change, safe to print, and the sum; one JSON object; status 3 only with --fail."""
    before = record(tmp_path / "1", {"http://a/1": (200, "a"), "http://a/2": (200, "a"), "http://a/3": (200, "a")})
    after = record(
        tmp_path / "2", {"http://a/1#\u202e": (404, "a"), "http://a/2": (None, None), "http://a/4": (200, "")}
    )

    assert 0 == main(["diff", str(before), str(after)])
    assert (
        "gone     http://a/1#\\u202e (404)\n"
        "failed   http://a/2 (timeout)\n"
        "new      http://a/4\n"
        "missing  http://a/3\n"
        "1 new, 0 changed, 1 gone, 1 failed, 1 missing, 0 same\n"
    ) == capsys.readouterr().out
    assert 3 == main(["diff", str(before), str(after), "--json", "--fail"])
    printed = json.loads(capsys.readouterr().out)
    assert {"new": 1, "changed": 0, "gone": 1, "failed": 1, "missing": 1, "same": 0} == printed["counts"]
    assert ["gone", "failed", "new", "missing"] == [change["kind"] for change in printed["changes"]]
    assert 0 == main(["diff", str(after), str(after), "--fail", "--json"])
    assert [] == json.loads(capsys.readouterr().out)["changes"]


def test_what_is_no_crawl_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence, with status 2."""
    assert 2 == main(["diff", str(tmp_path), str(tmp_path)])
    assert "is no crawl" in capsys.readouterr().err
