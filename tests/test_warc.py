"""WARC records: read back by others, never broken by what a server sent, never a secret in them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import random
import re
import uuid
from typing import Any

import fastwarc.warc
import pytest
import warcio.archiveiterator
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler import warc

URL = "http://example.com/a/b?c=d"
DATE = "2026-01-31T12:00:00Z"
HEADERS = (("Content-Type", "text/html"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
PAGE = b"<html>\r\n\r\n<p>a page</p>\x00\xff</html>\r\n\r\n"


def sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def response(**changes: Any) -> bytes:
    payload = changes.get("payload", PAGE)
    fields: dict[str, Any] = {
        "record_id": warc.new_id(),
        "url": URL,
        "date": DATE,
        "ip": "192.0.2.1",
        "status": 200,
        "reason": "OK",
        "version": "HTTP/1.1",
        "headers": HEADERS,
        "payload": payload,
        "digest": sha1(payload),
    }
    return warc.response(**{**fields, **changes})


def request(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "concurrent_to": warc.new_id(),
        "url": URL,
        "date": DATE,
        "ip": "192.0.2.1",
        "method": "GET",
        "headers": (("User-Agent", "crawler"),),
    }
    return warc.request(**{**fields, **changes})


def warcinfo() -> bytes:
    return warc.warcinfo(filename="1.warc.gz", date=DATE, software="crawler/0.1", fields={"robots": "obey"})


def read_by_warcio(data: bytes) -> list[tuple[str, str | None, bytes]]:
    """Type, URL and payload of each record as warcio sees them, once it found their digests right."""
    found = []
    for record in warcio.archiveiterator.ArchiveIterator(io.BytesIO(data), check_digests="raise"):
        payload = record.raw_stream.read()
        assert record.digest_checker.passed
        found.append((record.rec_type, record.rec_headers.get_header("WARC-Target-URI"), payload))
    return found


def read_by_fastwarc(data: bytes) -> list[tuple[str, str | None, bytes]]:
    """The same as FastWARC sees them, once it found their digests right."""
    found = []
    for record in fastwarc.warc.ArchiveIterator(io.BytesIO(data), parse_http=False):
        record.freeze()
        assert record.verify_block_digest()
        record.parse_http()
        if "WARC-Payload-Digest" in record.headers:
            assert record.verify_payload_digest()
        url = record.headers.get("WARC-Target-URI")
        found.append((record.headers["WARC-Type"], url, record.reader.read()))
    return found


def test_read_by_others() -> None:
    """A file of our records is read by warcio and FastWARC, every digest right, and by gzip."""
    data = warcinfo() + response() + request(method="POST", content=b"q=1") + response(payload=b"")
    info = warc.read_record(warcinfo())[1]
    expected = [
        ("warcinfo", None, info),
        ("response", URL, PAGE),
        ("request", URL, b"q=1"),
        ("response", URL, b""),
    ]
    assert expected == read_by_warcio(data)
    assert expected == read_by_fastwarc(data)
    assert len(re.findall(rb"^WARC/1\.1\r$", gzip.decompress(data), re.MULTILINE)) == len(expected)


def test_response_record() -> None:
    """A response record has the fields of WARC 1.1 §5 and §6.3 and the answer as HTTP/1.1."""
    record_id = warc.new_id()
    headers, block = warc.read_record(response(record_id=record_id, truncated="length", identified="text/html"))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
    expected = {
        "WARC-Type": "response",
        "WARC-Record-ID": f"<{record_id}>",
        "WARC-Date": DATE,
        "WARC-Target-URI": URL,
        "WARC-IP-Address": "192.0.2.1",
        "WARC-Payload-Digest": sha1(PAGE),
        "WARC-Truncated": "length",
        "WARC-Identified-Payload-Type": "text/html",
        "Content-Type": "application/http; msgtype=response",
        "WARC-Block-Digest": sha1(head + PAGE),
        "Content-Length": str(len(head + PAGE)),
    }
    assert (expected, head + PAGE) == (headers, block)


def test_unknown_fields_are_left_out() -> None:
    """What is not known has no field."""
    headers, _ = warc.read_record(response(ip=None))
    absent = {"WARC-IP-Address", "WARC-Truncated", "WARC-Identified-Payload-Type"}
    assert not absent & headers.keys()


def test_request_record() -> None:
    """A request record names its response and shows the request as it was sent, engine's fields included."""
    response_id = warc.new_id()
    record = request(concurrent_to=response_id, method="POST", url="https://example.com:8443?q#f", content=b"a=1")
    headers, block = warc.read_record(record)
    expected = b"POST /?q HTTP/1.1\r\nHost: example.com:8443\r\nUser-Agent: crawler\r\nContent-Length: 3\r\n\r\na=1"
    assert expected == block
    assert ("request", f"<{response_id}>", sha1(expected)) == (
        headers["WARC-Type"],
        headers["WARC-Concurrent-To"],
        headers["WARC-Block-Digest"],
    )


def test_given_host_is_the_only_one() -> None:
    """Fields that were given are not added a second time."""
    given_fields = (("HOST", "other.test"), ("content-length", "1"))
    _, block = warc.read_record(request(headers=given_fields, content=b"x"))
    assert block == b"GET /a/b?c=d HTTP/1.1\r\nHOST: other.test\r\ncontent-length: 1\r\n\r\nx"


def test_secrets_are_redacted() -> None:
    """No credential of a request reaches the archive, nor any field that was named as one."""
    names = ("Authorization", "proxy-authorization", "COOKIE", "X-Api-Key")
    fields = (*((name, "hunter2") for name in names), ("Accept", "*/*"))
    _, block = warc.read_record(request(headers=fields, redact=frozenset({"x-api-key"})))
    lines = block.split(b"\r\n")[2:-2]
    assert [*(f"{name}: [redacted]".encode() for name in names), b"Accept: */*"] == lines


def test_warcinfo_record() -> None:
    """A warcinfo record names its file and describes the crawl (WARC 1.1 §6.2)."""
    headers, block = warc.read_record(warcinfo())
    assert ("1.warc.gz", "application/warc-fields") == (headers["WARC-Filename"], headers["Content-Type"])
    lines = block.decode().split("\r\n")
    assert ["software: crawler/0.1", "format: WARC File Format 1.1", "robots: obey", ""] == [
        *lines[:2],
        *lines[3:],
    ]


@pytest.mark.parametrize("start", [b"", b"\x89PNG\r\n\x1a\n"])
def test_what_is_packed_is_not_packed_again(start: bytes) -> None:
    """A payload that is compressed stands in its member as it is, also where it is longer than a block of deflate."""
    payload = start + random.Random(1).randbytes(150_000)
    member = response(payload=payload, packed=not start, identified=warc.identify(start))

    assert payload[:50_000] in member
    assert [("response", URL, payload)] == read_by_warcio(member) == read_by_fastwarc(member)
    assert len(response(payload=payload)) > len(member) - 500


def test_record_ids() -> None:
    """Record ids are random UUIDs of version 4, each another one."""
    ids = {warc.new_id() for _ in range(1000)}
    parsed = {uuid.UUID(record_id) for record_id in ids}
    assert len(parsed) == 1000
    assert {(4, uuid.RFC_4122)} == {(found.version, found.variant) for found in parsed}
    assert ids == {found.urn for found in parsed}


def test_transfer_encoding_is_renamed() -> None:
    """The payload is de-chunked, so Transfer-Encoding is renamed; reading gives it back its name."""
    fields = (("transfer-encoding", "chunked"), ("Content-Encoding", "gzip"))
    head = warc.http_head(200, "OK", "HTTP/1.1", fields)
    assert b"\r\nX-Crawler-transfer-encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n" in head
    assert fields == warc.parse_http(head)[3]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("HTTP/1.0", "HTTP/1.0"), ("HTTP/1.1", "HTTP/1.1"), ("HTTP/2", "HTTP/1.1"), ("", "HTTP/1.1")],
)
def test_version(version: str, expected: str) -> None:
    """Whatever the version on the wire, the record has the form of HTTP/1.x."""
    assert expected == warc.parse_http(warc.http_head(200, "", version, ()))[2]


ANY_FIELDS = st.lists(st.tuples(st.text(max_size=12), st.text(max_size=30)), max_size=5).map(tuple)
NASTY = st.text(alphabet="\r\n\0 :aWARC/1.", max_size=30)


@settings(deadline=None)
@given(
    url=st.one_of(st.text(max_size=30), NASTY),
    reason=st.one_of(st.text(max_size=30), NASTY),
    headers=st.one_of(ANY_FIELDS, st.lists(st.tuples(NASTY, NASTY), max_size=5).map(tuple)),
    payload=st.binary(max_size=200),
    packed=st.booleans(),
)
def test_no_byte_breaks_a_record(url: str, reason: str, headers: Any, payload: bytes, packed: bool) -> None:
    """Whatever URL, reason and fields hold: as many records as were written, with exactly their payload."""
    url = "http://" + url  # warcio looks into records of such URLs alone
    answer = response(url=url, reason=reason, headers=headers, payload=payload, packed=packed)
    asked = request(url=url, method=reason, headers=headers, content=payload)
    data = answer + asked + response()
    for read in (read_by_warcio, read_by_fastwarc):
        assert [("response", payload), ("request", payload), ("response", PAGE)] == [
            (kind, found) for kind, _, found in read(data)
        ]
    assert payload == warc.parse_http(warc.read_record(answer)[1])[4]


TOKEN = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True)
VALUE = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40).map(
    lambda text: text.strip(" \t")
)


@given(
    status=st.integers(100, 999),
    reason=VALUE,
    version=st.sampled_from(["HTTP/1.0", "HTTP/1.1"]),
    headers=st.lists(st.tuples(TOKEN, VALUE), max_size=8).map(tuple),
    payload=st.binary(max_size=50),
)
def test_parse_undoes_head(status: int, reason: str, version: str, headers: Any, payload: bytes) -> None:
    """What http_head wrote, parse_http reads: status, reason, version, fields, and what follows them."""
    block = warc.http_head(status, reason, version, headers) + payload
    assert (status, reason, version, headers, payload) == warc.parse_http(block)


@given(st.one_of(st.binary(max_size=200), NASTY.map(str.encode)))
def test_parse_never_raises(block: bytes) -> None:
    """Any bytes at all are read as some answer."""
    assert len(warc.parse_http(block)) == 5


@pytest.mark.parametrize("block", [b"", b"HTTP/1.1 \xb2", b"HTTP/1.1 " + b"9" * 5000, b"\r\n\r\nx"])
def test_no_status(block: bytes) -> None:
    """What is no status is 0."""
    assert warc.parse_http(block)[0] == 0


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_damaged_record(at: int, flip: int) -> None:
    """A record whose compressed data was changed is refused, or is still the same record."""
    member = response(record_id="urn:uuid:1")
    whole = warc.read_record(member)
    at %= len(member)
    damaged = member[:at] + bytes([member[at] ^ flip]) + member[at + 1 :]
    try:
        found = warc.read_record(damaged)
    except ValueError:
        return
    assert whole == found


@pytest.mark.parametrize(
    "member",
    [
        b"",
        b"WARC/1.1\r\n",
        response()[:-1],
        response() + response(),
        gzip.compress(b""),
        gzip.compress(b"WARC/1.1\r\nContent-Length: 3\r\n\r\nabcd\r\n\r\n"),
        gzip.compress(b"WARC/1.1\r\nContent-Length: -1\r\n\r\n\r\n\r\n"),
        gzip.compress(b"WARC/1.1\r\nContent-Length: x\r\n\r\n\r\n\r\n"),
        gzip.compress(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n\r\n\r\n"),
        gzip.compress(b"WARC/1.1\r\nA: \xff\r\nContent-Length: 0\r\n\r\n\r\n\r\n"),
    ],
    ids=range(10),
)
def test_no_record(member: bytes) -> None:
    """What is not one whole record in one gzip member is refused."""
    with pytest.raises(ValueError, match=r"record|int\(|utf-8"):
        warc.read_record(member)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"%PDF-1.7", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\0", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"PK\x03\x04", "application/zip"),
        (b"\x1f\x8b\x08\0", "application/gzip"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE HTML>", "text/html"),
        (b"<!-- a --><x>", "text/html"),
        (b"<html lang=en>", "text/html"),
        (b"<?xml version='1.0'?>", "application/xml"),
        (b' {"a": 1}', "application/json"),
        (b"[]", "application/json"),
        (b"[1, 2]", "application/json"),
        (b"[draft] a note", "text/plain"),
        (b"<header>", "text/plain"),
        ("grün".encode(), "text/plain"),
        (b"\0\1\2", None),
        (b" \n", None),
        (b"", None),
    ],
)
def test_identify(start: bytes, expected: str | None) -> None:
    """A body's own first bytes show what it is."""
    assert expected == warc.identify(start)
