"""A small crawl on the disk, for the tests of whatever reads one back."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
from pathlib import Path
from typing import Any

from crawler import warc
from crawler.records import Headers, Result, Row
from crawler.store.disk import DiskStore

GZIP_HEADERS: Headers = (("Content-Type", "text/html; charset=utf-8"), ("Content-Encoding", "gzip"))
TEXT_HEADERS: Headers = (("Content-Type", "text/plain; charset=utf-8"), ("X-Odd", "caf\xe9"))


def member(payload: bytes, headers: Headers, status: int = 200) -> bytes:
    """The record of one answer, as a worker makes it."""
    return warc.response(
        record_id=warc.new_id(),
        url="http://site.test/",
        date="2026-01-02T03:04:05Z",
        ip="192.0.2.1",
        status=status,
        reason="Because",
        version="HTTP/1.1",
        headers=headers,
        payload=payload,
        digest="sha1:" + base64.b32encode(hashlib.sha1(payload).digest()).decode(),
    )


def result(seq: int, url: str, record: bytes = b"", **fields: Any) -> Result:
    """A result of `url`, fetched with 200 unless `fields` say otherwise, its record between two others."""
    first: dict[str, Any] = {"final_url": url, "host": "site.test", "outcome": "fetched", "status": 200}
    row = Row(seq=seq, source="a.txt", source_line=seq, url=url, **{**first, **fields})
    before, after = (gzip.compress(data) if record else b"" for data in (b"a redirect's record", b"the request's"))
    return Result(row, before + record + after, record_at=len(before), record_length=len(record))


def open_store(folder: Path, **settings: Any) -> DiskStore:
    """A store that keeps bodies of up to 1 MB."""
    return DiskStore(folder, identity={"max_body": 1024**2}, warcinfo=_warcinfo, **settings)


def _warcinfo(name: str) -> bytes:
    return warc.warcinfo(filename=name, date="2026-01-02T03:04:05Z", software="tests", fields={})


def small_crawl(folder: Path) -> Path:
    """Seven entries: a page, a redirected one, a 503, a failure, a denial, a duplicate and what is no URL."""
    page = member(gzip.compress("<p>žluťoučký".encode()), GZIP_HEADERS)
    text = member(b"plain \x1b[31m\x00\xff", TEXT_HEADERS)
    timed = {"fetched_at": "2026-01-02T03:04:05Z", "total_ms": 10.0, "bytes_wire": 100, "bytes_body": 300}
    later = {**timed, "fetched_at": "2026-01-02T03:04:09Z", "total_ms": 20.0}
    nothing: dict[str, Any] = {"status": None, "final_url": None, "host": None}
    results = [
        result(1, "HTTP://Site.test", page, final_url="http://site.test/", **timed),
        result(
            2, "site.test/old", text,
            final_url="http://www.site.test/new", host="www.site.test",
            redirects='[{"url": "http://site.test/old"}]', http_version="1.1", **later,
        ),
        result(3, "http://site.test/busy", member(b"busy", TEXT_HEADERS, 503), status=503),
        result(
            4, "http://site.test/gone",
            outcome="failed", status=None, error_class="dns", error="no such name",
        ),
        result(5, "ftp://site.test/", outcome="denied", error_class="scheme", **nothing),
        result(
            6, "http://site.test/#a",
            outcome="duplicate", status=None, final_url="http://site.test/", duplicate_of=1,
        ),
        result(7, "=cmd\x1b[2J\u202e", outcome="invalid", error_class="invalid_url", **nothing),
    ]  # fmt: skip
    with contextlib.closing(open_store(folder)) as store:
        for one in results:
            store.add(one)
        store.commit({"offset": 7}, finished=True)
    return folder
