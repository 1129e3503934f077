"""`crawl export`: what other tools read, read by them."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from command import crawl, rows
from conftest import Origin
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from recorded import TEXT_HEADERS, member, open_store, result
from warcio.archiveiterator import ArchiveIterator as OtherIterator

import crawler
from crawler.errors import FolderError, NotRecordedError, StoreError, UsageError
from crawler.export import FORMS, export
from crawler.export.columns import COLUMNS, records
from crawler.export.hosts import host_parts
from crawler.export.members import members
from crawler.export.snapshot import Snapshot, WarcFile
from crawler.export.sorting import Sorter
from crawler.export.target import Target
from crawler.results import open_crawl

FORMULA = '=HYPERLINK("http://evil.test/","x")'
HOSTILE = ("@SUM(1)", " +1", "a\x00b", "\x1b[2J", "\u202etxt.exe", "line\r\nline", '";\t,', "\ud800", "x" * 1_000_000)


@pytest.fixture(scope="module")
def out(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real crawl: pages, redirects, codings, statuses, a failure, a cut body, a duplicate, and what is no URL."""
    paths = ["/page/1", "/redirect/2", "/gzip", "/bytes/100?type=application/pdf", "/status/404", "/page/1?same"]
    urls = [origin.url(path) for path in paths]
    urls += [origin.url("/redirect-to?url=ftp://x.test/"), "http://127.0.0.9:1/", origin.url("/bytes/90000"), urls[0]]
    folder = tmp_path_factory.mktemp("export") / "sites.crawl"
    crawler.crawl(
        [*urls, f"{FORMULA}\x07"], folder, procs=1, allow_private=True, robots=False, retries=0, max_body=70_000
    )
    return folder


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A crawl whose rows hold what a list and a server may have sent."""
    folder = tmp_path / "hostile.crawl"
    with contextlib.closing(open_store(folder)) as store:
        for seq, text in enumerate(HOSTILE, 1):
            record = member(text.encode("utf-8", "replace"), TEXT_HEADERS)
            store.add(result(seq, text, record, final_url="http://site.test/", error=text, etag=text, extra=text))
        store.commit({"offset": 1}, finished=True)
    return folder


def jsonl(folder: Path, target: Path, **options: Any) -> list[dict[str, Any]]:
    export(folder, "jsonl", target, **options)
    return [json.loads(line) for line in target.read_bytes().splitlines()]


def read_csv(folder: Path, target: Path) -> list[dict[str, Any]]:
    export(folder, "csv", target)
    with target.open(encoding="utf-8", newline="") as file:
        csv.field_size_limit(sys.maxsize)
        return list(csv.DictReader(file))


def read_parquet(folder: Path, target: Path) -> list[dict[str, Any]]:
    export(folder, "parquet", target)
    found: list[dict[str, Any]] = parquet.read_table(target).to_pylist()
    return found


def cdxj(folder: Path, target: Path) -> list[tuple[str, str, dict[str, str]]]:
    export(folder, "cdxj", target)
    lines = (line.split(" ", 2) for line in target.read_text(encoding="utf-8").splitlines())
    return [(key, timestamp, json.loads(entry)) for key, timestamp, entry in lines]


def python(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", command], cwd=cwd, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def asked(target: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with a Parquet file under the name that Common Crawl's examples have for its index."""
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA ccindex")
        connection.execute(f"CREATE VIEW ccindex.ccindex AS SELECT * FROM '{target}'")
        yield connection


class TestRows:
    def test_columns_are_common_crawls(self, out: Path, tmp_path: Path) -> None:
        """The first columns have the names, the types and the order of cc-index-schema-flat.json."""
        export(out, "parquet", tmp_path / "x.parquet")
        with asked(tmp_path / "x.parquet") as connection:
            found = [row[:2] for row in connection.execute("DESCRIBE ccindex.ccindex").fetchall()]
        others = {
            "url_port": "INTEGER", "fetch_time": "TIMESTAMP WITH TIME ZONE", "fetch_status": "SMALLINT",
            "warc_record_offset": "INTEGER", "warc_record_length": "INTEGER",
        }  # fmt: skip
        names = [
            "url_surtkey", "url", "url_host_name", "url_host_tld", "url_host_2nd_last_part", "url_host_3rd_last_part",
            "url_host_4th_last_part", "url_host_5th_last_part", "url_host_registry_suffix",
            "url_host_registered_domain", "url_host_private_suffix", "url_host_private_domain",
            "url_host_name_reversed", "url_protocol", "url_port", "url_path", "url_query", "fetch_time",
            "fetch_status", "fetch_redirect", "content_digest", "content_mime_type", "content_mime_detected",
            "content_charset", "content_languages", "content_truncated", "warc_filename", "warc_record_offset",
            "warc_record_length", "warc_segment", "crawl", "subset",
        ]  # fmt: skip

        assert [(name, others.get(name, "VARCHAR")) for name in names] == found[: len(names)]

    def test_every_column_of_ours_is_there(self) -> None:
        """What `pages` has and Common Crawl has not, keeps its name; only `url` means something else there."""
        given = {column.name for column in COLUMNS}
        renamed = {
            "url": "input_url", "final_url": "url", "host": "url_host_name", "status": "fetch_status",
            "fetched_at": "fetch_time", "content_type": "content_mime_type", "charset": "content_charset",
            "digest": "content_digest", "truncated": "content_truncated", "warc_file": "warc_filename",
            "warc_offset": "warc_record_offset", "warc_length": "warc_record_length",
        }  # fmt: skip

        assert {renamed.get(name, name) for name in crawler.records.Row.__struct_fields__} <= given
        assert len(given) == len(COLUMNS)

    def test_a_query_for_common_crawl(self, out: Path, tmp_path: Path, origin: Origin) -> None:
        """SQL that was written for its index (count-by-tld…, get-records-of-mime-type) runs as it stands."""
        export(out, "parquet", tmp_path / "x.parquet", name="CC-MAIN-2018-05")
        with asked(tmp_path / "x.parquet") as connection:
            counted = connection.execute("""
                SELECT COUNT(*) AS n_pages, url_host_tld AS tld, COUNT(DISTINCT url_host_name) AS n_hosts,
                       COUNT(DISTINCT url_host_registered_domain) AS n_domains
                FROM "ccindex"."ccindex"
                WHERE crawl = 'CC-MAIN-2018-05' AND subset = 'warc'
                GROUP BY url_host_tld ORDER BY n_pages DESC""").fetchall()
            of_type = connection.execute("""
                SELECT url, content_mime_type, content_mime_detected FROM "ccindex"."ccindex"
                WHERE crawl = 'CC-MAIN-2018-05' AND subset = 'warc'
                  AND (content_mime_detected = 'application/pdf' OR content_mime_type LIKE '%pdf%')
                LIMIT 1000""").fetchall()
            statuses = connection.execute("""
                SELECT COUNT(*) as count, fetch_status FROM "ccindex"."ccindex"
                WHERE crawl = 'CC-MAIN-2018-05' AND subset = 'crawldiagnostics'
                GROUP BY fetch_status ORDER BY fetch_status""").fetchall()

        assert [(6, None, 1, 0)] == counted
        assert [(origin.url("/bytes/100?type=application/pdf"), "application/pdf", None)] == of_type
        assert [(1, 302), (1, 404)] == statuses

    def test_a_page(self, out: Path, tmp_path: Path, origin: Origin) -> None:
        """A capture's columns say what Common Crawl's would: base32 without a prefix, its names of encodings."""
        page, *_ = jsonl(out, tmp_path / "x.jsonl")
        (digest,) = rows(out, "digest", "seq = 1")[0]
        given = {
            "url_surtkey": f"1,0,0,127:{origin.port})/page/1", "url_host_name": "127.0.0.1", "url_host_tld": None,
            "url_protocol": "http", "url_port": origin.port, "url_path": "/page/1", "url_query": None,
            "fetch_status": 200, "fetch_redirect": None, "content_digest": digest.removeprefix("sha1:"),
            "content_mime_type": "text/html", "content_mime_detected": "text/html", "content_charset": "UTF-8",
            "content_languages": None, "content_truncated": None, "warc_filename": "warc/00001.warc.gz",
            "warc_segment": "0", "crawl": "sites", "subset": "warc", "seq": 1, "outcome": "fetched",
        }  # fmt: skip

        assert given == {name: page[name] for name in given}

    def test_a_redirect(self, out: Path, tmp_path: Path, origin: Origin) -> None:
        """A row is of where its entry led; only a redirect that was not followed has a `fetch_redirect`."""
        found = jsonl(out, tmp_path / "x.jsonl")
        followed, refused = found[1], found[6]

        assert (origin.url("/redirect/0"), origin.url("/redirect/2")) == (followed["url"], followed["input_url"])
        assert (None, 2) == (followed["fetch_redirect"], len(followed["redirects"]))
        assert ("ftp://x.test/", "crawldiagnostics") == (refused["fetch_redirect"], refused["subset"])

    def test_what_is_no_capture(self, out: Path, tmp_path: Path) -> None:
        """Failures, duplicates and what is no URL have their rows, and no subset."""
        found = jsonl(out, tmp_path / "x.jsonl")

        assert 11 == len(found)
        assert {8: "failed", 10: "duplicate", 11: "invalid"} == {
            row["seq"]: row["outcome"] for row in found if row["subset"] is None
        }
        assert ["length"] == [row["content_truncated"] for row in found if row["content_truncated"]]

    def test_records_are_where_the_columns_say(self, out: Path, tmp_path: Path) -> None:
        """File, offset and length are those of one record, of that URL and digest (read by FastWARC)."""
        found = [row for row in jsonl(out, tmp_path / "x.jsonl") if row["subset"]]
        for row in found:
            data = (out / row["warc_filename"]).read_bytes()
            start, length = row["warc_record_offset"], row["warc_record_length"]
            (record,) = ArchiveIterator(io.BytesIO(data[start : start + length]))
            assert WarcRecordType.response == record.record_type
            assert row["url"] == record.headers["WARC-Target-URI"]
            assert "sha1:" + row["content_digest"] == record.headers["WARC-Payload-Digest"]
            assert row["content_mime_detected"] == record.headers.get("WARC-Identified-Payload-Type")

    def test_all_forms_say_the_same(self, out: Path, tmp_path: Path) -> None:
        """JSONL, CSV and Parquet hold the same rows in the same columns; DuckDB reads all three."""
        lines = jsonl(out, tmp_path / "x.jsonl")
        table = read_parquet(out, tmp_path / "x.parquet")
        sheet = read_csv(out, tmp_path / "x.csv")
        names = [column.name for column in COLUMNS]

        assert [names] * 3 == [list(lines[0]), list(table[0]), list(sheet[0])]
        for column in ("url_surtkey", "url_port", "fetch_status", "content_digest", "subset", "attempts", "outcome"):
            values = [row[column] for row in lines]
            assert values == [row[column] for row in table]
            assert ["" if value is None else str(value) for value in values] == [row[column] for row in sheet]
        for name in ("x.jsonl", "x.csv", "x.parquet"):
            assert [(11,)] == duckdb.sql(f"SELECT count(*) FROM '{tmp_path / name}'").fetchall()

    def test_no_row(self, tmp_path: Path) -> None:
        """A crawl that has recorded nothing yet has an export of every form."""
        open_store(tmp_path / "new.crawl").close()
        for form in FORMS:
            export(tmp_path / "new.crawl", form, tmp_path / form)

        assert [] == parquet.read_table(tmp_path / "parquet").to_pylist()
        assert b"" == (tmp_path / "jsonl").read_bytes() == (tmp_path / "cdxj").read_bytes()


class TestHostile:
    @pytest.mark.parametrize("read", [jsonl, read_parquet])
    def test_exact_forms(self, hostile: Path, tmp_path: Path, read: Callable[[Path, Path], Any]) -> None:
        """JSONL and Parquet give back every character; a lone surrogate, which nothing can hold, as an escape."""
        given = [text if text != "\ud800" else r"\ud800" for text in HOSTILE]
        found = read(hostile, tmp_path / "x")

        assert [given] * 3 == [[row[name] for row in found] for name in ("input_url", "error", "etag")]

    def test_csv(self, hostile: Path, tmp_path: Path) -> None:
        """In CSV nothing runs or steers: no formula begins a cell, no control character is anywhere."""
        found = read_csv(hostile, tmp_path / "x.csv")
        text = (tmp_path / "x.csv").read_bytes().decode()

        assert ["'@SUM(1)", "' +1", r"a\x00b", r"\x1b[2J", r"\u202etxt.exe", r"line\x0d\x0aline"] == [
            row["error"] for row in found[:6]
        ]
        assert len(HOSTILE) + 1 == text.count("\r\n") == len(text.splitlines())
        assert len(HOSTILE) == len(found)

    def test_json_of_somebody_else(self, hostile: Path, tmp_path: Path) -> None:
        """What should be JSON and is none stays the text that it is."""
        assert HOSTILE[:4] == tuple(row["extra"] for row in jsonl(hostile, tmp_path / "x")[:4])


class TestHosts:
    @pytest.mark.parametrize(
        ("host", "labels", "domains"),
        [
            ("www.bbc.co.uk", "uk co bbc www -", "co.uk bbc.co.uk co.uk bbc.co.uk uk.co.bbc.www"),
            ("a.b.blogspot.com", "com blogspot b a -", "com blogspot.com blogspot.com b.blogspot.com com.blogspot.b.a"),
            ("1.2.3.4.example.com.", "com example 4 3 2", "com example.com com example.com com.example.4.3.2.1"),
            ("co.uk", "uk co - - -", "co.uk - co.uk - uk.co"),
            ("localhost", "localhost - - - -", "- - - - localhost"),
            ("127.0.0.1", "- - - - -", "- - - - -"),
        ],
    )
    def test_parts(self, host: str, labels: str, domains: str) -> None:
        """Labels from the right, then suffix and domain by registries and with private ones, as the schema shows."""
        expected = [None if part == "-" else part for part in (*labels.split(), *domains.split())]

        assert [host.removesuffix("."), *expected] == list(host_parts(host))

    def test_an_ipv6_address(self) -> None:
        """An address stands there as in the URL, and has no parts."""
        assert ("[::1]", *(None,) * 10) == host_parts("::1")


class TestFiles:
    def index(self, folder: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / "index.jsonl").read_bytes().splitlines()]

    def test_bodies(self, out: Path, tmp_path: Path) -> None:
        """Each row's file is its decoded body, named by its digest and a suffix of our own."""
        export(out, "files", tmp_path / "bodies")
        index = self.index(tmp_path / "bodies")
        with open_crawl(out) as results:
            pages = list(results.pages())

        assert {".html", ".pdf", ".png", ".txt"} == {Path(row["file"]).suffix for row in index if row["file"]}
        assert [page.body for page in pages if page.row.warc_length] == [
            (tmp_path / "bodies" / row["file"]).read_bytes() for row in index if row["file"]
        ]
        for row in index:
            if row["file"]:
                data = (tmp_path / "bodies" / row["file"]).read_bytes()
                assert base64.b32encode(hashlib.sha1(data).digest()).decode() == Path(row["file"]).stem

    def test_the_same_body_once(self, out: Path, tmp_path: Path) -> None:
        """Rows with the same body name the same file."""
        export(out, "files", tmp_path / "bodies")
        index = self.index(tmp_path / "bodies")
        files = [path for path in (tmp_path / "bodies" / "bodies").rglob("*") if path.is_file()]

        assert index[0]["file"] == index[5]["file"]
        assert len({row["file"] for row in index if row["file"]}) == len(files)

    def test_again(self, out: Path, tmp_path: Path) -> None:
        """The same command again writes what is missing or not whole, and touches nothing else."""
        target = tmp_path / "bodies"
        export(out, "files", target)
        first = self.index(target)
        kept, missing, cut = (target / first[place]["file"] for place in (0, 3, 4))
        before = kept.stat()
        missing.unlink()
        cut.write_bytes(b"")
        (target / "index.jsonl").unlink()
        export(out, "files", target)

        assert first == self.index(target)
        assert (before.st_ino, before.st_mtime_ns) == (kept.stat().st_ino, kept.stat().st_mtime_ns)
        assert b"" != cut.read_bytes()
        assert missing.is_file()

    def test_another_suffix(self, out: Path, tmp_path: Path) -> None:
        """A body that is there under another suffix is there."""
        export(out, "files", tmp_path / "bodies")
        page = tmp_path / "bodies" / self.index(tmp_path / "bodies")[0]["file"]
        page.rename(page.with_suffix(".xml"))
        export(out, "files", tmp_path / "bodies")

        assert ".xml" == Path(self.index(tmp_path / "bodies")[0]["file"]).suffix
        assert not page.exists()

    def test_a_folder_of_somebody_else(self, out: Path, hostile: Path, tmp_path: Path) -> None:
        """A folder that holds anything else, or another crawl's bodies, is refused unless --overwrite says so."""
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "diary.txt").write_text("x")
        with pytest.raises(UsageError, match="is not empty"):
            export(out, "files", tmp_path / "mine")
        export(out, "files", tmp_path / "mine", overwrite=True)
        with pytest.raises(UsageError, match="bodies of another crawl"):
            export(hostile, "files", tmp_path / "mine")
        with pytest.raises(UsageError, match="is a file; name a folder"):
            export(out, "files", tmp_path / "mine" / "diary.txt")

        assert "x" == (tmp_path / "mine" / "diary.txt").read_text()


class TestCdxj:
    def test_captures(self, out: Path, tmp_path: Path, origin: Origin) -> None:
        """Every answer of the archive has a line, redirects on the way too, at the place where its record is."""
        found = cdxj(out, tmp_path / "x.cdxj")
        data = (out / "warc" / "00001.warc.gz").read_bytes()
        for _, timestamp, entry in found:
            start, length = int(entry["offset"]), int(entry["length"])
            (record,) = OtherIterator(io.BytesIO(data[start : start + length]))
            headers = record.rec_headers
            assert ("response", entry["url"]) == (record.rec_type, headers.get_header("WARC-Target-URI"))
            assert entry["status"] == record.http_headers.get_statuscode()
            assert entry["digest"] == headers.get_header("WARC-Payload-Digest")
            assert timestamp == "".join(c for c in headers.get_header("WARC-Date") if c.isdigit())[:14]

        assert {origin.url(f"/redirect/{n}") for n in (0, 1, 2)} <= {entry["url"] for _, _, entry in found}
        assert 10 == len(found)

    def test_sorted(self, out: Path, tmp_path: Path) -> None:
        """The lines are in the order of their bytes, in which readers search them by halves."""
        cdxj(out, tmp_path / "x.cdxj")
        lines = (tmp_path / "x.cdxj").read_bytes().splitlines(keepends=True)

        assert sorted(lines) == lines

    def test_after_a_retry(self, origin: Origin, tmp_path: Path) -> None:
        """Rows point at the new answer; the index has both."""
        url = origin.url(f"/flaky/{tmp_path.parent.name}-{tmp_path.name}/1")
        settings = {"procs": 1, "allow_private": True, "robots": False, "retries": 0}
        crawler.crawl([url], tmp_path / "x.crawl", **settings)
        ran = crawl("retry", "x.crawl", "--status", "503", cwd=tmp_path)
        (row,) = jsonl(tmp_path / "x.crawl", tmp_path / "x.jsonl")
        found = cdxj(tmp_path / "x.crawl", tmp_path / "x.cdxj")

        assert 0 == ran.returncode
        assert {"503", "200"} == {entry["status"] for _, _, entry in found}
        assert [str(row["warc_record_offset"])] == [e["offset"] for _, _, e in found if e["status"] == "200"]

    @given(st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"") + b"\n"), max_size=400))
    def test_sorter(self, lines: list[bytes]) -> None:
        """Lines come back in order, all of them, however many runs they make."""
        with Sorter(Path(), run_bytes=10) as sorter:
            for line in lines:
                sorter.add(line)
            assert sorted(lines) == list(sorter)

    def test_members(self, out: Path) -> None:
        """Records follow each other without a gap, and all bytes are handed on once."""
        path = out / "warc" / "00001.warc.gz"
        taken: list[bytes] = []
        found = list(members(WarcFile(path, path.stat().st_size), taken.append))

        assert path.read_bytes() == b"".join(taken)
        assert [0, *(one.offset + one.length for one in found)] == [
            *(one.offset for one in found),
            len(b"".join(taken)),
        ]
        for one in found:
            whole = zlib.decompress(path.read_bytes()[one.offset : one.offset + one.length], wbits=31)
            assert whole[: 1024**2] == one.head


class TestWacz:
    def test_what_is_in_it(self, out: Path, tmp_path: Path) -> None:
        """The archive byte for byte, and a manifest whose hashes and lengths are right (WACZ 1.1.1)."""
        export(out, "wacz", tmp_path / "x.wacz")
        with zipfile.ZipFile(tmp_path / "x.wacz") as archive:
            manifest = json.loads(archive.read("datapackage.json"))
            digest = json.loads(archive.read("datapackage-digest.json"))
            found = {name: archive.read(name) for name in archive.namelist()}
            stored = {info.filename for info in archive.infolist() if info.compress_type == zipfile.ZIP_STORED}

        assert (out / "warc" / "00001.warc.gz").read_bytes() == found["archive/00001.warc.gz"]
        assert {"archive/00001.warc.gz", "indexes/index.cdx.gz"} == stored
        assert ("data-package", "1.1.1", "sites") == tuple(manifest[n] for n in ("profile", "wacz_version", "title"))
        assert found.keys() - {"datapackage.json", "datapackage-digest.json"} == {
            entry["path"] for entry in manifest["resources"]
        }
        for entry in (*manifest["resources"], {**digest, "bytes": len(found["datapackage.json"])}):
            data = found[entry["path"]]
            assert (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") == (entry["bytes"], entry["hash"])

    def test_index(self, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each block is found by its line, begins with its key, and all of them are the CDXJ index."""
        monkeypatch.setattr("crawler.export.wacz._BLOCK_LINES", 3)
        export(out, "wacz", tmp_path / "x.wacz")
        export(out, "cdxj", tmp_path / "x.cdxj")
        with zipfile.ZipFile(tmp_path / "x.wacz") as archive:
            head, *blocks = archive.read("indexes/index.idx").decode().splitlines()
            data = archive.read("indexes/index.cdx.gz")
        lines = b""
        for block in blocks:
            key, _, rest = block.partition(" {")
            place = json.loads("{" + rest)
            piece = zlib.decompress(data[place["offset"] : place["offset"] + place["length"]], wbits=31)
            assert piece.decode().startswith(f"{key} {{")
            lines += piece

        assert head == '!meta 0 {"format": "cdxj-gzip-1.0", "filename": "index.cdx.gz"}'
        assert 4 == len(blocks)
        assert (tmp_path / "x.cdxj").read_bytes() == lines

    def test_pages(self, out: Path, tmp_path: Path, origin: Origin) -> None:
        """The list of pages has what came with a 2xx status, under the URL and time of its capture."""
        export(out, "wacz", tmp_path / "x.wacz")
        with zipfile.ZipFile(tmp_path / "x.wacz") as archive:
            head, *pages = map(json.loads, archive.read("pages/pages.jsonl").splitlines())

        assert "json-pages-1.0" == head["format"]
        assert [(url, at) for url, at in rows(out, "final_url, fetched_at", "status = 200 AND warc_length > 0")] == [
            (page["url"], page["ts"]) for page in pages
        ]


class TestOneMoment:
    def test_while_it_runs(self, tmp_path: Path) -> None:
        """An export is of the moment of its beginning: rows and archive, without what a running crawl adds."""
        folder = tmp_path / "x.crawl"
        with contextlib.closing(open_store(folder, file_bytes=1500)) as store:
            for seq in range(1, 6):
                store.add(result(seq, f"http://site.test/{seq}"))
            payload = member(b"one", TEXT_HEADERS)
            store.add(result(6, "http://site.test/", payload))
            store.commit({"offset": 6})
            with Snapshot(folder) as snapshot:
                files = snapshot.archive()
                store.add(result(7, "http://site.test/", member(b"x" * 1000, TEXT_HEADERS)))
                store.commit({"offset": 7})
                store.add(result(8, "http://site.test/", member(b"y" * 10, TEXT_HEADERS)))
                store.commit({"offset": 8})
                seen = [row.seq for row, _ in records(snapshot)]
                assert files == snapshot.archive()
            with Snapshot(folder) as later:
                assert [*range(1, 9)] == [row.seq for row in later.rows()]
                assert sum(file.length for file in later.archive()) > sum(file.length for file in files)

        assert [*range(1, 7)] == seen


class TestDamage:
    @pytest.fixture
    def damaged(self, tmp_path: Path) -> Path:
        """A crawl of three pages, of which the second one's record has lost a byte's worth of bits."""
        folder = tmp_path / "damaged.crawl"
        with contextlib.closing(open_store(folder)) as store:
            for seq in (1, 2, 3):
                body = f"{seq}".encode() * 1000
                digest = "sha1:" + base64.b32encode(hashlib.sha1(body).digest()).decode()
                url = f"http://site.test/{seq}"
                store.add(result(seq, url, member(body, TEXT_HEADERS), body_digest=digest, bytes_body=1000))
            store.commit({"offset": 3}, finished=True)
        (offset, length) = rows(folder, "warc_offset, warc_length", "seq = 2")[0]
        path = folder / "warc" / "00001.warc.gz"
        data = bytearray(path.read_bytes())
        data[offset : offset + length] = bytes(length)
        path.write_bytes(data)
        return folder

    def test_of_one_record(self, damaged: Path, tmp_path: Path) -> None:
        """What cannot be read is left out and counted, once, and the rest is there."""
        assert ("3 rows, 2 of them with a body,", 1) == export(damaged, "files", tmp_path / "bodies")
        assert ("3 rows", 1) == export(damaged, "parquet", tmp_path / "x.parquet")

    def test_says_so(self, damaged: Path, tmp_path: Path) -> None:
        """The command then ends with status 1 and one sentence."""
        ran = crawl("export", damaged, "--to", "files", "bodies", cwd=tmp_path)

        assert 1 == ran.returncode
        assert (
            "crawl: 1 records of the archive could not be read; what only they hold is missing there.\n" == ran.stderr
        )

    @pytest.mark.parametrize("form", ["cdxj", "wacz"])
    def test_of_an_archive_that_goes_along(self, damaged: Path, tmp_path: Path, form: str) -> None:
        """An index of a damaged archive is refused, with file and byte, and nothing is left."""
        (offset,) = rows(damaged, "warc_offset", "seq = 2")[0]
        with pytest.raises(NotRecordedError, match=rf"00001\.warc\.gz is damaged: the record at byte {offset} cannot"):
            export(damaged, form, tmp_path / "x")

        assert ["damaged.crawl"] == [path.name for path in tmp_path.iterdir()]

    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        """A crawl of three pages in three archive files."""
        folder = tmp_path / "files.crawl"
        with contextlib.closing(open_store(folder, file_bytes=1)) as store:
            for seq in (1, 2, 3):
                store.add(result(seq, f"http://site.test/{seq}", member(b"page", TEXT_HEADERS)))
                store.commit({"offset": seq}, finished=True)
        return folder

    @pytest.mark.parametrize("form", ["cdxj", "wacz"])
    def test_of_a_file_that_is_gone(self, files: Path, tmp_path: Path, form: str) -> None:
        """What is left goes along, and the records of the file that is gone are counted."""
        (files / "warc" / "00002.warc.gz").unlink()
        written, unreadable = export(files, form, tmp_path / "x")

        assert (1, True) == (unreadable, written.startswith("2 captures"))

    @pytest.mark.parametrize("form", ["cdxj", "wacz"])
    def test_of_a_file_that_is_short(self, files: Path, tmp_path: Path, form: str) -> None:
        """One that ends between two records is no whole one, and one that is a link to nothing is gone."""
        os.truncate(files / "warc" / "00001.warc.gz", 0)
        (files / "warc" / "00002.warc.gz").rename(tmp_path / "elsewhere")
        (files / "warc" / "00002.warc.gz").symlink_to("nowhere")
        written, unreadable = export(files, form, tmp_path / "x")

        assert (2, True) == (unreadable, written.startswith("1 captures"))

    @pytest.mark.parametrize("form", ["cdxj", "wacz"])
    def test_of_the_last_file_that_is_short(self, files: Path, tmp_path: Path, form: str) -> None:
        """The file that the crawl would go on with is cut like any other."""
        (offset,) = rows(files, "warc_offset", "seq = 3")[0]
        os.truncate(files / "warc" / "00003.warc.gz", offset)
        written, unreadable = export(files, form, tmp_path / "x")

        assert (1, True) == (unreadable, written.startswith("2 captures"))

    @pytest.mark.parametrize("form", ["cdxj", "wacz"])
    def test_of_a_depot(self, files: Path, tmp_path: Path, form: str) -> None:
        """What other machines have fetched and nobody has any more is counted, too."""
        depot = tmp_path / "depot" / "warc" / "run"
        depot.mkdir(parents=True)
        (files / "warc" / "00001.warc.gz").rename(depot / "1.warc.gz")
        (files / "warc" / "00002.warc.gz").unlink()
        with contextlib.closing(sqlite3.connect(files / "crawl.db")) as connection, connection:
            connection.execute("INSERT INTO meta VALUES ('depot', ?)", (str(tmp_path / "depot"),))
            connection.execute("UPDATE pages SET warc_file = 'warc/run/' || seq || '.warc.gz' WHERE seq < 3")
        written, unreadable = export(files, form, tmp_path / "x")

        assert (1, True) == (unreadable, written.startswith("2 captures"))

    def test_of_a_file_that_is_cut(self, out: Path) -> None:
        """A file that is shorter than it should be is one that ends within a record."""
        path = out / "warc" / "00001.warc.gz"
        with pytest.raises(NotRecordedError, match="the file ends within it"):
            list(members(WarcFile(path, path.stat().st_size - 1)))

    def test_of_the_database(self, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database that cannot be read is one sentence."""
        with Snapshot(out) as snapshot:
            snapshot._connection.execute("ROLLBACK")
            snapshot._connection.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
            with pytest.raises(FolderError, match=r"crawl\.db cannot be read"):
                list(snapshot.rows())


class TestTarget:
    def test_is_not_replaced(self, out: Path, tmp_path: Path) -> None:
        """What is there stays, unless --overwrite says so."""
        (tmp_path / "x.csv").write_text("mine")
        with pytest.raises(UsageError, match="is there already"):
            export(out, "csv", tmp_path / "x.csv")
        assert "mine" == (tmp_path / "x.csv").read_text()
        export(out, "csv", tmp_path / "x.csv", overwrite=True)
        assert (tmp_path / "x.csv").read_text().startswith("url_surtkey,")

    def test_of_a_link_is_what_it_leads_to(self, out: Path, tmp_path: Path) -> None:
        """A link stays one."""
        (tmp_path / "real.csv").write_text("old")
        (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
        export(out, "csv", tmp_path / "link.csv", overwrite=True)

        assert (tmp_path / "link.csv").is_symlink()
        assert (tmp_path / "real.csv").read_text().startswith("url_surtkey,")

    def test_of_a_link_to_nothing(self, out: Path, tmp_path: Path) -> None:
        """Where it leads the file is made, and where it cannot be, the folder that is missing is named."""
        (tmp_path / "link.csv").symlink_to("real.csv")
        (tmp_path / "lost.csv").symlink_to("missing/x.csv")
        export(out, "csv", tmp_path / "link.csv", overwrite=True)
        with pytest.raises(UsageError, match=r"missing is no folder\."):
            export(out, "csv", tmp_path / "lost.csv", overwrite=True)

        assert (tmp_path / "real.csv").read_text().startswith("url_surtkey,")

    def test_of_bodies_is_no_file_of_the_crawl(self, out: Path, tmp_path: Path) -> None:
        """A folder's link that leads into the crawl is not followed."""
        (tmp_path / "bodies").mkdir()
        (tmp_path / "bodies" / "index.jsonl").symlink_to(out / "crawl.db")
        with pytest.raises(UsageError, match=r"index\.jsonl is a part of the crawl itself"):
            export(out, "files", tmp_path / "bodies", overwrite=True)

    def test_that_is_no_file_is_written_to(self, out: Path, tmp_path: Path) -> None:
        """A pipe or a device takes what comes, and stays what it is."""
        os.mkfifo(tmp_path / "pipe")
        with ThreadPoolExecutor(1) as reader:
            read = reader.submit((tmp_path / "pipe").read_text)
            export(out, "csv", tmp_path / "pipe", overwrite=True)
            assert read.result().startswith("url_surtkey,")
        assert (tmp_path / "pipe").is_fifo()

    @pytest.mark.parametrize(
        ("name", "why"), [("", "is a folder"), ("missing/x.csv", "is no folder"), ("file/x.csv", "is no folder")]
    )
    def test_cannot_be(self, out: Path, tmp_path: Path, name: str, why: str) -> None:
        """A target that cannot be a file is refused in a sentence."""
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError, match=why):
            export(out, "csv", tmp_path / name)

    def test_is_whole_or_not_there(self, tmp_path: Path) -> None:
        """Where writing fails, what was there stays and nothing else is left."""
        (tmp_path / "x").write_bytes(b"old")

        def fail() -> None:
            with Target(tmp_path / "x", True).opened() as file:
                file.write(b"new")
                raise OSError(28, "No space left on device")

        with pytest.raises(StoreError, match="the disk is full; make room"):
            fail()
        assert {"x": b"old"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def test_a_limit_of_the_system(self, out: Path, tmp_path: Path) -> None:
        """A file that may not grow is one sentence, and exit status 1, in each form."""
        for form in FORMS:
            ran = python(
                "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
                "from crawler.cli.main import main\n"
                f"sys.exit(main(['export', {str(out)!r}, '--to', '{form}', 'x.{form}']))",
                tmp_path,
            )
            assert 1 == ran.returncode
            assert "cannot be written, File too large (EFBIG): a file has reached the size" in ran.stderr
            assert 1 == ran.stderr.count("\n")
        assert {"x.files"} == {path.name for path in tmp_path.iterdir()}

    def test_standard_output(self, out: Path, tmp_path: Path) -> None:
        """`-` is standard output, for the forms that can be written piece by piece."""
        ran = crawl("export", out, "--to", "jsonl", "-", cwd=tmp_path)
        refused = crawl("export", out, "--to", "wacz", "-", cwd=tmp_path)

        assert [*range(1, 12)] == [json.loads(line)["seq"] for line in ran.stdout.splitlines()]
        assert f"11 rows of {out} are in -.\n" == ran.stderr
        assert ran.stdout == crawl("export", out, "--to", "jsonl", "/dev/stdout", cwd=tmp_path).stdout
        assert (2, "crawl: wacz cannot go to standard output; name a file.\n") == (refused.returncode, refused.stderr)

    def test_the_extra_is_named(self, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without pyarrow the error says what to install."""
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(UsageError, match=r"pip install 'crawler\[parquet\]'"):
            export(out, "parquet", tmp_path / "x.parquet")

    def test_no_crawl(self, tmp_path: Path) -> None:
        """A folder that is no crawl is refused, and nothing is made."""
        with pytest.raises(FolderError, match="is no crawl"):
            export(tmp_path, "csv", tmp_path / "x.csv")
        assert [] == list(tmp_path.iterdir())
