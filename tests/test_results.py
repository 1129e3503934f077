"""Reading a crawl back."""

from __future__ import annotations

import contextlib
import gc
import itertools
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from recorded import GZIP_HEADERS, TEXT_HEADERS, member, open_store, result, small_crawl

from crawler.errors import ConfigError, CrawlerError, FolderError, NotRecordedError
from crawler.records import Result
from crawler.results import Results, open_crawl


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A small crawl."""
    return small_crawl(tmp_path / "out")


def indexes(folder: Path) -> list[str]:
    """The names of the indexes that the database has."""
    with contextlib.closing(sqlite3.connect(folder / "crawl.db")) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name")
        return [name for (name,) in found]


class TestOpening:
    @pytest.mark.parametrize("name", ["missing", "empty", "file", "file/below"])
    def test_what_is_no_crawl(self, tmp_path: Path, name: str) -> None:
        """A path where no crawl is recorded is a FolderError, and nothing is made there."""
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("x")
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(FolderError, match="is no crawl"):
            open_crawl(tmp_path / name)

        assert before == sorted(tmp_path.rglob("*"))

    def test_anothers_database(self, tmp_path: Path) -> None:
        """A crawl.db that another program made is a FolderError."""
        (tmp_path / "crawl.db").write_text("customers\n" * 1000)
        with pytest.raises(FolderError, match="not made by crawler"):
            open_crawl(tmp_path)

    def test_no_permission(self, tmp_path: Path) -> None:
        """A path that the system refuses is a FolderError."""
        with pytest.raises(FolderError, match="cannot be read: File name too long"):
            open_crawl(tmp_path / ("x" * 1000))

    def test_odd_names(self, tmp_path: Path) -> None:
        """A folder's name may hold what means something in a URI."""
        with open_crawl(str(small_crawl(tmp_path / "100% of? #them"))) as results:
            assert 7 == results.stats().entries

    def test_needs_no_close(self, out: Path) -> None:
        """What was not closed is closed with its last reference, without a warning."""
        results: Results | None = open_crawl(out)
        results = None
        gc.collect()

        assert results is None

    def test_while_it_runs(self, out: Path) -> None:
        """A reader sees what a running crawl has committed, and the crawl goes on."""
        with contextlib.closing(open_store(out)) as store, open_crawl(out) as results:
            store.add(result(8, "http://site.test/8", member(b"eight", TEXT_HEADERS)))
            before = results.stats().entries
            store.commit({"offset": 8})

            assert (7, 8, False) == (before, results.stats().entries, results.stats().finished)
            assert b"eight" == results.get("http://site.test/8").body


class TestStats:
    def test_numbers(self, out: Path) -> None:
        """The numbers are those of the rows."""
        with open_crawl(out) as results:
            stats = results.stats()

        assert {"fetched": 3, "failed": 1, "denied": 1, "duplicate": 1, "invalid": 1} == stats.outcomes
        assert {"dns": 1, "scheme": 1, "invalid_url": 1} == stats.error_classes
        assert {200: 2, 503: 1} == stats.statuses
        assert (7, 2, 2 / 7, True) == (stats.entries, stats.ok, stats.success_rate, stats.finished)
        assert (200, 600, 15.0) == (stats.bytes_wire, stats.bytes_body, stats.mean_total_ms)
        assert ("2026-01-02T03:04:05Z", "2026-01-02T03:04:09Z") == (
            stats.first_fetched_at, stats.last_fetched_at
        )  # fmt: skip
        assert [("site.test", 4), ("www.site.test", 1)] == [(host.host, host.entries) for host in stats.hosts]

    def test_nothing_yet(self, tmp_path: Path) -> None:
        """A crawl without a row has zeros, and no rate."""
        open_store(tmp_path / "out").close()
        with open_crawl(tmp_path / "out") as results:
            stats = results.stats()

        assert (0, 0, None, None, None, [], False) == (
            stats.entries, stats.ok, stats.success_rate, stats.mean_total_ms, stats.first_fetched_at,
            stats.hosts, stats.finished,
        )  # fmt: skip


class TestPages:
    @pytest.mark.parametrize(
        ("given", "seqs"),
        [
            ({}, [1, 2, 3, 4, 5, 6, 7]),
            ({"outcome": "failed"}, [4]),
            ({"status": 200}, [1, 2]),
            ({"status": "503"}, [3]),
            ({"status": "5xx"}, [3]),
            ({"status": "2XX", "host": "www.site.test"}, [2]),
            ({"error_class": "dns"}, [4]),
            ({"limit": 2}, [1, 2]),
            ({"limit": 0}, []),
            ({"outcome": "fetched", "status": 404}, []),
        ],
    )
    def test_filters(self, out: Path, given: dict[str, Any], seqs: list[int]) -> None:
        """A page must match all that is given; pages come by seq."""
        with open_crawl(out) as results:
            assert seqs == [page.row.seq for page in results.pages(**given)]

    @pytest.mark.parametrize("status", ["6xx", "ok", "", "-1", "20x"])
    def test_no_status(self, out: Path, status: str) -> None:
        """What is neither a status nor a class of them is a ConfigError."""
        with open_crawl(out) as results, pytest.raises(ConfigError, match="is no status"):
            results.pages(status=status)

    def test_more_than_a_batch(self, tmp_path: Path) -> None:
        """Every page comes once, however many there are; a limit holds across batches."""
        with contextlib.closing(open_store(tmp_path / "out")) as store:
            for seq in range(1, 3001):
                store.add(result(seq, f"http://site.test/{seq}"))
            store.commit()
        with open_crawl(tmp_path / "out") as results:
            assert list(range(1, 3001)) == [page.row.seq for page in results.pages()]
            assert list(range(1, 2501)) == [page.row.seq for page in results.pages(limit=2500)]

    def test_bodies_are_read_when_touched(self, out: Path) -> None:
        """Pages can be listed where the archive is gone; touching a body then names its place."""
        (out / "warc" / "00001.warc.gz").unlink()
        with open_crawl(out) as results:
            page = next(results.pages())
            with pytest.raises(NotRecordedError, match=r"seq 1 cannot be read at byte \d+ of .*00001\.warc\.gz"):
                _ = page.body

    def test_a_damaged_record(self, out: Path) -> None:
        """A record that no longer is what was written is never handed out as a body."""
        archive = out / "warc" / "00001.warc.gz"
        with open_crawl(out) as results:
            page = results.get("HTTP://Site.test")
        assert page.row.warc_offset is not None
        data = bytearray(archive.read_bytes())
        data[page.row.warc_offset + 60] ^= 0xFF
        archive.write_bytes(data)

        with pytest.raises(NotRecordedError, match="cannot be read"):
            _ = page.body

    def test_a_body_is_decoded(self, out: Path) -> None:
        """Headers are those of the wire; the body has no content coding, and loads after the close too."""
        with open_crawl(out) as results:
            page = next(results.pages(limit=1))

        assert (GZIP_HEADERS, "<p>žluťoučký") == (page.headers, page.text)

    def test_without_a_record(self, out: Path) -> None:
        """A page without a response has an empty body."""
        with open_crawl(out) as results:
            assert (b"", ()) == (
                results.get("http://site.test/gone").body,
                results.get("ftp://site.test/").headers,
            )

    def test_of_redirects_alone(self, tmp_path: Path) -> None:
        """Where only the redirects on the way are in the archive, the page itself is empty too."""
        with contextlib.closing(open_store(tmp_path / "out")) as store:
            failed = result(1, "http://site.test/", outcome="failed", status=None, error_class="dns", redirects="[{}]")
            store.add(Result(failed.row, member(b"moved", TEXT_HEADERS, 302)))
            store.commit({"offset": 1})
        with open_crawl(tmp_path / "out") as results:
            page = results.get("http://site.test/")

        assert (0, (), b"") == (page.row.warc_length, page.headers, page.body)


class TestGet:
    @pytest.mark.parametrize("indexed", [True, False])
    @pytest.mark.parametrize(
        ("url", "seq"),
        [
            ("HTTP://Site.test", 1),  # as it stood in the input
            ("http://site.test/", 1),  # normalised
            ("site.test", 1),  # what normalises to it
            ("http://www.site.test/new", 2),  # where a redirect led
            ("http://site.test/old", 2),  # what a redirected entry normalises to
            ("http://site.test/#a", 1),  # a duplicate leads to its first
            ("=cmd\x1b[2J\u202e", 7),  # no URL at all
        ],
    )
    def test_by_url(self, out: Path, monkeypatch: pytest.MonkeyPatch, url: str, seq: int, indexed: bool) -> None:
        """A page is found by its text in the input, its normalised form or its final URL, index or not."""
        with contextlib.ExitStack() as stack:
            results = stack.enter_context(open_crawl(out))
            if not indexed:
                stack.enter_context(contextlib.closing(open_store(out)))
            assert seq == results.get(url).row.seq
        assert (["pages_by_final_url", "pages_by_url"] if indexed else []) == indexes(out)

    @pytest.mark.parametrize("url", ["http://site.test/never", "http://", "", "nothing here"])
    def test_not_recorded(self, out: Path, url: str) -> None:
        """A URL that the crawl does not hold is a NotRecordedError, which is a KeyError too."""
        with open_crawl(out) as results:
            with pytest.raises(NotRecordedError, match="holds no page of"):
                results.get(url)
            with pytest.raises(KeyError):
                results.get(url)

    def test_a_crawl_on_a_read_only_disk(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where nothing can be written, reading works and leaves no file (injected: root may write)."""
        monkeypatch.setattr("os.access", lambda *_: False)
        monkeypatch.setattr("crawler.store.folder.CrawlFolder.lock", lambda _: _refuse())
        before = sorted(out.rglob("*"))
        with open_crawl(out) as results:
            assert 1 == results.get("http://site.test/").row.seq

        assert before == sorted(out.rglob("*"))


def _refuse() -> bool:
    raise PermissionError(13, "Permission denied")


class TestQuery:
    def test_rows_and_names(self, out: Path) -> None:
        """An answer iterates over tuples and knows its columns; parameters go by place or by name."""
        with open_crawl(out) as results:
            answer = results.query("SELECT seq, status AS code FROM pages WHERE status > ? ORDER BY seq", (100,))
            assert ("seq", "code") == answer.columns
            assert [(1, 200), (2, 200), (3, 503)] == list(answer)
            assert [(5,)] == list(results.query("SELECT seq FROM pages WHERE outcome = :o", {"o": "denied"}))

    def test_answers_side_by_side(self, out: Path) -> None:
        """Two answers can be read in turn."""
        with open_crawl(out) as results:
            both = [results.query(f"SELECT seq FROM pages ORDER BY seq {order}") for order in ("ASC", "DESC")]
            assert [((1,), (7,)), ((2,), (6,))] == list(itertools.islice(zip(*both, strict=True), 2))

    @pytest.mark.parametrize(
        "sql",
        [
            "DELETE FROM pages",
            "INSERT INTO meta VALUES ('a', 'b')",
            "UPDATE pages SET url = ''",
            "DROP TABLE pages",
            "CREATE TABLE t (a)",
            "CREATE TEMP TABLE t (a)",
            "ATTACH 'other.db' AS other",
            "VACUUM INTO 'copy.db'",
            "PRAGMA query_only = 0",
            "PRAGMA journal_mode = DELETE",
            "BEGIN",
            "REINDEX",
            "SELECT load_extension('x')",
            "WITH a AS (SELECT 1) DELETE FROM pages",
        ],
    )
    def test_only_reads(self, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
        """Whatever would write, anywhere, is refused in a sentence, and nothing changes."""
        monkeypatch.chdir(tmp_path)
        before = [(path, path.read_bytes()) for path in sorted(out.rglob("*.db"))]
        with open_crawl(out) as results:
            with pytest.raises(ConfigError, match="would do more than read"):
                results.query(sql)
            assert [(7,)] == list(results.query("SELECT count(*) FROM pages"))

        assert before == [(path, path.read_bytes()) for path in sorted(tmp_path.rglob("*.db"))]

    @pytest.mark.parametrize(
        ("sql", "words"),
        [
            ("SELEC 1", 'near "SELEC": syntax error'),
            ("SELECT missing FROM pages", "no such column: missing"),
            ("SELECT 1; SELECT 2", "one statement"),
            ("SELECT ?", "bindings"),
            ("DELETE FROM sqlite_master", "may not be modified"),
            ("SELECT \0", "null character"),
        ],
    )
    def test_no_sql(self, out: Path, sql: str, words: str) -> None:
        """What SQLite does not understand is a ConfigError with SQLite's own words."""
        with open_crawl(out) as results, pytest.raises(ConfigError, match=words):
            results.query(sql)

    def test_a_failure_on_the_way(self, out: Path) -> None:
        """An error that comes only with a later row is a CrawlerError as well."""
        sql = "SELECT abs(CASE seq WHEN 3 THEN -9223372036854775808 ELSE seq END) FROM pages ORDER BY seq"
        with open_crawl(out) as results, pytest.raises(CrawlerError, match="integer overflow"):
            list(results.query(sql))

    @pytest.mark.parametrize(
        ("sql", "rows"),
        [
            ("SELECT name FROM pragma_table_info('pages') LIMIT 1", [("seq",)]),
            ("SELECT value FROM json_each('[1, 2]')", [(1,), (2,)]),
            ("WITH n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 3) SELECT max(i) FROM n", [(3,)]),
            ("SELECT json_extract(redirects, '$[0].url') FROM pages WHERE seq = 2", [("http://site.test/old",)]),
            ("SELECT CAST(x'ff' AS TEXT)", [("\ufffd",)]),
            ("VALUES (1), (2)", [(1,), (2,)]),
        ],
    )  # fmt: skip
    def test_reading_is_not_hindered(self, out: Path, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Functions, table-valued functions, recursion and odd text work."""
        with open_crawl(out) as results:
            assert rows == list(results.query(sql))
