"""One response as it arrives: what is kept, what is cut, what is refused, and when it is too slow."""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import math
import random
import tracemalloc
import zlib

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.body import Body, Verdict
from crawler.config import CrawlConfig
from crawler.errors import ConfigError

CAP = 200_000
ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstd.compress,
    "identity": bytes,
}


def sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def body_of(coding: str = "", *, max_bytes: int = CAP, keep_decoded: bool = True, **rest: object) -> Body:
    """A body after the head of a plain 200."""
    body = Body(max_bytes=max_bytes, keep_decoded=keep_decoded, **rest)  # type: ignore[arg-type]
    headers = (("Content-Encoding", coding),) if coding else ()
    assert body.head(200, "OK", "HTTP/1.1", headers) is Verdict.GO
    return body


def pushed(body: Body, pieces: list[bytes]) -> Body:
    """The body after an engine pushed these pieces, as the engines' contract has it."""
    for piece in pieces:
        if body.feed(piece) is Verdict.STOP:
            return body
    body.end()
    return body


def seen(body: Body) -> tuple[object, ...]:
    """All that a record can show of a body."""
    forms = (body.payload, body.decoded, body.start, body.digest, body.body_digest)
    return (*forms, body.bytes_wire, body.bytes_body, body.truncated, body.problem, body.problem_text)


def encoded(data: bytes, codings: list[str]) -> bytes:
    for coding in codings:
        data = ENCODERS[coding](data)
    return data


def damaged(wire: bytes, at: int, damage: bytes, drop: int) -> bytes:
    at %= len(wire) + 1
    return wire[:at] + damage + wire[at + drop :]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at)]


def test_plain_body() -> None:
    """Without a coding the payload is the body: one length, one digest, the same bytes held once."""
    body = pushed(body_of(), [b"hello ", b"world"])
    digest = sha1(b"hello world")
    expected = (b"hello world", b"hello world", b"hello world", digest, digest, 11, 11, None, None, "")
    assert expected == seen(body)
    assert body.payload is body.decoded


def test_coded_body() -> None:
    """With a coding the payload stays encoded, and the body has a length and digest of its own."""
    page, wire = b"page " * 1000, gzip.compress(b"page " * 1000)
    body = pushed(body_of("gzip"), [wire])
    digests = (sha1(wire), sha1(page))
    assert (wire, page, page[:1024], *digests, len(wire), 5000, None, None, "") == seen(body)


def test_coded_body_that_is_not_kept() -> None:
    """Without keep_decoded the digest, length and start are there, and no more than the start is held."""
    page = b"page " * 1000
    body = pushed(body_of("gzip", keep_decoded=False), split(gzip.compress(page), [5, 30]))
    assert (sha1(page), 5000, page[:1024]) == (body.body_digest, body.bytes_body, body.start)
    assert body.start == body.decoded


# A piece and how often it stands there: hypothesis prints its examples, so they have to be small.
DATA = st.one_of(
    st.tuples(st.binary(max_size=2000), st.just(1)), st.tuples(st.binary(max_size=40), st.integers(0, 20_000))
)
CODINGS = st.lists(st.sampled_from(sorted(ENCODERS)), max_size=3)
CUTS = st.lists(st.integers(0, 2**32), max_size=12)


@settings(deadline=None)
@given(data=DATA, codings=CODINGS, cuts=CUTS)
def test_split_does_not_matter(data: tuple[bytes, int], codings: list[str], cuts: list[int]) -> None:
    """Whatever the codings and wherever the pieces are cut: the payload, and the body that was encoded."""
    page = data[0] * data[1]
    wire = encoded(page, codings)
    body = pushed(body_of(", ".join(codings), max_bytes=2**21), split(wire, cuts))
    digests = (sha1(wire), sha1(page))
    assert (wire, page, page[:1024], *digests, len(wire), len(page), None, None, "") == seen(body)


@settings(deadline=None)
@given(data=DATA, codings=CODINGS, cuts=CUTS, cap=st.integers(1, 300_000))
def test_split_does_not_matter_at_the_cap(
    data: tuple[bytes, int], codings: list[str], cuts: list[int], cap: int
) -> None:
    """The same where a cap cuts the payload, the body, or what lies between two codings."""
    page, coding = data[0] * data[1], ", ".join(codings)
    wire = encoded(page, codings)
    whole = pushed(body_of(coding, max_bytes=cap), [wire])
    assert seen(whole) == seen(pushed(body_of(coding, max_bytes=cap), split(wire, cuts)))
    assert wire.startswith(whole.payload)
    assert page.startswith(whole.decoded)
    assert max(len(whole.payload), len(whole.decoded)) <= cap
    assert whole.problem is None


@settings(deadline=None)
@given(
    data=DATA,
    codings=CODINGS,
    cuts=CUTS,
    at=st.integers(0, 2**32),
    damage=st.binary(max_size=9),
    drop=st.integers(0, 9),
)
def test_split_does_not_matter_for_damage(
    data: tuple[bytes, int], codings: list[str], cuts: list[int], at: int, damage: bytes, drop: int
) -> None:
    """The same where the coded data is damaged, cut short or followed by garbage; the payload stays whole."""
    coding, wire = ", ".join(codings), damaged(encoded(data[0] * data[1], codings), at, damage, drop)
    whole = pushed(body_of(coding, max_bytes=2**21), [wire])
    assert seen(whole) == seen(pushed(body_of(coding, max_bytes=2**21), split(wire, cuts)))
    assert (wire, sha1(wire), None) == (whole.payload, whole.digest, whole.truncated)


@settings(deadline=None)
@given(
    data=DATA,
    codings=CODINGS,
    cuts=CUTS,
    at=st.integers(0, 2**32),
    damage=st.binary(max_size=9),
    drop=st.integers(0, 9),
    cap=st.integers(1, 300_000),
    near=st.integers(-2, 2),
    ended=st.booleans(),
)
def test_split_does_not_matter_for_damage_at_the_cap(
    data: tuple[bytes, int],
    codings: list[str],
    cuts: list[int],
    at: int,
    damage: bytes,
    drop: int,
    cap: int,
    near: int,
    ended: bool,
) -> None:
    """Whether damage is met first or a cap does not hang on the pieces either, nor where the connection breaks."""
    page, coding = data[0] * data[1], ", ".join(codings)
    wire = damaged(encoded(page, codings), at, damage, drop)
    cap = cap if abs(near) == 2 else max(len(page) + near, 1)
    one, many = (body_of(coding, max_bytes=cap) for _ in range(2))
    for body, pieces in ((one, [wire]), (many, split(wire, cuts))):
        stopped = any(body.feed(piece) is Verdict.STOP for piece in pieces)
        if not stopped and ended:
            body.end()
        elif not stopped:
            body.cut("disconnect")
    assert seen(one) == seen(many)
    assert max(len(one.payload), len(one.decoded)) <= cap


@pytest.mark.parametrize("step", [1, 2, 3, 5, 18])
def test_damage_behind_more_than_the_cap(step: int) -> None:
    """A stream of brotli that crosses the cap and is damaged in the bytes beside it is `decode` in all pieces."""
    wire = b"[?B\x8fw\x02 \x1e\x0b\x04 \x1e\n\x04\xf2s\x1e\x00"
    body = pushed(body_of("br"), [wire[at : at + step] for at in range(0, len(wire), step)])
    assert ("decode", None, wire, b"") == (body.problem, body.truncated, body.payload, body.decoded)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_missing_end_marker(coding: str) -> None:
    """A whole message whose coded data is half a page is a `decode` problem; the part that came is there."""
    page = b"".join(b"%d " % number for number in range(100_000))
    wire = ENCODERS[coding](page)
    body = pushed(body_of(coding, max_bytes=2**21), [wire[: len(wire) // 2]])
    assert ("decode", None, len(wire) // 2) == (body.problem, body.truncated, body.bytes_wire)
    assert body.problem_text == f"The body is not what its coding '{coding}' says: it ends before its end marker."
    assert page.startswith(body.decoded)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_damage_keeps_the_payload(coding: str) -> None:
    """Damaged coded data is a `decode` problem without a decoded body; the payload goes on to its end."""
    body = body_of(coding)
    assert [Verdict.GO, Verdict.GO] == [body.feed(b"<html>\xff"), body.feed(b" is no coding")]
    body.end()
    assert ("decode", None, b"<html>\xff is no coding") == (body.problem, body.truncated, body.payload)
    assert (b"", 0) == (body.decoded, body.bytes_body)


@pytest.mark.parametrize("coding", ["utf-8", "none", "compress", "gzip, secret", "identity", "", ","])
def test_unknown_coding(coding: str) -> None:
    """A coding that is not known is no problem: the body is taken as it came."""
    body = pushed(body_of(coding), [b"<html>"])
    assert (None, b"<html>", sha1(b"<html>")) == (body.problem, body.decoded, body.body_digest)


def test_codings_of_several_fields() -> None:
    """Codings may stand in several fields, the last one being the outermost (RFC 9110 §8.4)."""
    body = Body(max_bytes=CAP, keep_decoded=True)
    body.head(200, "OK", "HTTP/1.1", (("content-encoding", "X-GZip"), ("Content-Encoding", "BR")))
    assert b"page" == pushed(body, [brotli.compress(gzip.compress(b"page"))]).decoded


@pytest.mark.parametrize(("count", "problem"), [(5, None), (6, "decode")])
def test_most_codings(count: int, problem: str | None) -> None:
    """Five codings may lie one upon the other, not six; the payload is kept either way."""
    wire = encoded(b"page", ["gzip"] * count)
    body = pushed(body_of(", ".join(["gzip"] * count)), [wire])
    assert (problem, wire) == (body.problem, body.payload)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 100), ("GET", 199), ("GET", 204), ("GET", 304)])
def test_no_body(method: str, status: int) -> None:
    """HEAD, 1xx, 204 and 304 have no body (RFC 9112 §6.3): what comes is not theirs, a coding moot."""
    body = Body(method=method, max_bytes=CAP)
    assert body.head(status, "", "HTTP/1.1", (("Content-Encoding", "gzip"),)) is Verdict.GO
    assert body.feed(b"extra") is Verdict.STOP
    body.end()
    assert (b"", None, None) == (body.payload, body.problem, body.truncated)


def test_empty_coded_body() -> None:
    """A message without content has nothing to decode, whatever coding it names."""
    body = pushed(body_of("gzip"), [])
    assert (None, b"") == (body.problem, body.decoded)


def test_cap_of_the_payload() -> None:
    """The piece that crosses the cap is cut exactly there; exactly the cap is whole."""
    over, exact = body_of(max_bytes=10), body_of(max_bytes=10)
    assert [Verdict.GO, Verdict.STOP, Verdict.STOP] == [
        over.feed(b"123456"),
        over.feed(b"7890ab"),
        over.feed(b"c"),
    ]
    pushed(exact, [b"123456", b"7890"])
    assert ((b"1234567890", "length", None), (b"1234567890", None, None)) == (
        (over.payload, over.truncated, over.problem),
        (exact.payload, exact.truncated, exact.problem),
    )


def test_cap_of_the_body() -> None:
    """A decoded body is cut at the cap, and its payload at the next multiple of 64 KB: no failure."""
    noise = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(10_000))
    wire = gzip.compress(b"\0" * CAP + noise)
    body = body_of("gzip")
    verdicts = [body.feed(wire[at : at + 10_000]) for at in range(0, len(wire), 10_000)]
    assert [Verdict.GO] * 6 + [Verdict.STOP] == verdicts[:7]
    assert (wire[:65536], b"\0" * CAP, "length", None) == (
        body.payload,
        body.decoded,
        body.truncated,
        body.problem,
    )


BOMBS = {
    "zstd": (2_200, lambda: zstd.compress(b"\0" * 65_000_000)),
    "br": (200, lambda: brotli.compress(b"\0" * 65_000_000, quality=9)),
    "gzip, gzip": (1_000, lambda: gzip.compress(gzip.compress(b"\0" * 65_000_000))),
    "gzip, br, zstd": (
        1_000,
        lambda: zstd.compress(brotli.compress(gzip.compress(b"\0" * 65_000_000), quality=5)),
    ),
}


@pytest.mark.parametrize("coding", BOMBS)
@pytest.mark.parametrize("keep_decoded", [True, False])
def test_bomb(coding: str, keep_decoded: bool) -> None:
    """A kilobyte or two that stands for 65 MB gives the cap and takes little more memory than that."""
    length, make = BOMBS[coding]
    wire = make()
    assert len(wire) <= length
    body = body_of(coding, max_bytes=1_000_000, keep_decoded=keep_decoded)
    tracemalloc.start()
    try:
        pushed(body, [wire])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (1_000_000, "length", None) == (body.bytes_body, body.truncated, body.problem)
    assert peak < (1_700_000 if keep_decoded else 500_000)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_ratio(coding: str) -> None:
    """A body that is cut for its ratio is the same in all pieces, with the payload as it came."""
    wire = BOMBS[coding][1]()
    whole, many = (body_of(coding, max_bytes=2**24) for _ in range(2))
    assert seen(pushed(whole, [wire])) == seen(pushed(many, split(wire, [1, 50, 99])))
    assert ("length", None, wire) == (whole.truncated, whole.problem, whole.payload)
    assert 2**20 <= whole.bytes_body < 2**22


@pytest.mark.parametrize(("coding", "waits"), [("br", True), ("zstd", True), ("gzip", False), ("deflate", False)])
def test_large_windows_wait(coding: str, waits: bool) -> None:
    """A body whose decoder could take megabytes is decoded at its end: of a crowd of slow ones, what came is held."""
    page = random.Random(1).randbytes(CAP // 2)
    data = ENCODERS[coding](page)
    body = body_of(coding)
    for at in range(0, len(data) - 1, 100):
        body.feed(data[at : min(at + 100, len(data) - 1)])
    assert (len(data) - 1, waits) == (body.bytes_wire, body.bytes_body == 0)
    body.feed(data[-1:])
    body.end()

    assert (page, data, None) == (body.decoded, body.payload, body.problem)


@pytest.mark.parametrize(
    ("content_type", "accept", "accepted"),
    [
        ("text/html; charset=utf-8", ("text/html",), True),
        ("TEXT/HTML", ("Text/Html",), True),
        ("text/css", ("application/pdf", "text/*"), True),
        ("image/png", ("text/*",), False),
        ("text/html+x", ("text/html",), False),
        (None, ("text/html",), True),
        ("image/png", (), True),
        ("image/png", ("*/*",), True),
    ],
)
def test_accepted_types(content_type: str | None, accept: tuple[str, ...], accepted: bool) -> None:
    """The head decides by media type; a response without one passes, and so does all where none is named."""
    body = Body(max_bytes=CAP, accept_type=accept)
    headers = (("Content-Type", content_type),) if content_type is not None else ()
    verdict = body.head(200, "OK", "HTTP/1.1", headers)
    assert (accepted, accepted) == (verdict is Verdict.GO, body.problem is None)
    assert (verdict, b"x" if accepted else b"") == (body.feed(b"x"), body.payload)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("text/*", "text/css"), ("*/*", "a/b"), ("*", "a/b"), ("application/*+json", "application/ld+json"),
     ("*html*", "application/xhtml+xml"), ("TEXT/HTML", "text/html"), ("html", None), ("", None), ("text/", None),
     ("/html", None), ("a/b/c", None), ("text/html; charset=utf-8", None), ("text/html,text/css", None),
     ("*/", None), ("/*", None), ("*/*/*", None)],
)  # fmt: skip
def test_types_that_may_be_accepted(pattern: str, fits: str | None) -> None:
    """Each pattern fits some media type, or is refused as a setting: else it would deny every page."""
    if fits is None:
        with pytest.raises(ConfigError, match="is no media type; write one such as"):
            CrawlConfig(accept_type=(pattern,))
        return
    body = Body(max_bytes=CAP, accept_type=CrawlConfig(accept_type=(pattern,)).accept_type)

    assert Verdict.GO is body.head(200, "OK", "HTTP/1.1", (("Content-Type", fits),))


def test_refused_type() -> None:
    """A refused type is named, and stays the only problem."""
    body = Body(max_bytes=CAP, accept_type=("text/html",))
    body.head(200, "OK", "HTTP/1.1", (("Content-Type", "image/png"), ("Content-Encoding", "gzip")))
    body.end()
    assert ("type", "The media type 'image/png' is not accepted.") == (body.problem, body.problem_text)


@pytest.mark.parametrize(("headers", "verdict"), [((("Location", "/x"),), Verdict.GO), ((), Verdict.STOP)])
def test_redirects_have_no_type(headers: tuple[tuple[str, str], ...], verdict: Verdict) -> None:
    """A redirect is followed whatever its own type: the page that it leads to is the one to judge."""
    body = Body(max_bytes=CAP, accept_type=("image/*",))
    assert verdict is body.head(301, "Moved", "HTTP/1.1", (("Content-Type", "text/html"), *headers))


def test_cut() -> None:
    """The rest that will not come is noted, and half a coding is then no problem of its own."""
    wire = gzip.compress(b"page " * 9999)
    body = body_of("gzip")
    body.feed(wire[:-9])
    body.cut("disconnect")
    body.end()
    assert ("disconnect", None, wire[:-9]) == (body.truncated, body.problem, body.payload)


def test_first_cut_counts() -> None:
    """What was cut at the cap stays cut at the cap."""
    body = body_of(max_bytes=1)
    body.feed(b"ab")
    body.cut("time")
    assert "length" == body.truncated


def test_speed() -> None:
    """A window of 10 s begins after the head, and anew as soon as it has brought its bytes."""
    body = Body(max_bytes=CAP, min_speed=5)
    assert math.inf == body.stalls_at(100.0)
    body.head(200, "OK", "HTTP/1.1", ())
    assert 111.0 == body.stalls_at(101.0)
    body.feed(b"x" * 49)
    assert 111.0 == body.stalls_at(110.9)
    body.feed(b"x")
    assert 120.9 == body.stalls_at(110.9)
    assert 120.9 == body.stalls_at(115.0)
    body.feed(b"x" * 500)
    assert 126.0 == body.stalls_at(116.0)
    body.end()
    assert math.inf == body.stalls_at(117.0)


def test_speed_limit_lifted() -> None:
    """With min_speed 0 nothing stalls."""
    assert math.inf == body_of(min_speed=0).stalls_at(1.0)


def test_nothing_came() -> None:
    """A body that never began has no status, and empty forms with the digest of nothing."""
    body = Body(max_bytes=CAP)
    empty = sha1(b"")
    assert (None, (b"", b"", b"", empty, empty, 0, 0, None, None, "")) == (body.status, seen(body))


def test_headers() -> None:
    """The head is there as it came; a field is found in any case, the first one counting."""
    headers = (("ETag", '"1"'), ("etag", '"2"'), ("Content-TYPE", "Text/HTML; charset=x"))
    body = Body(max_bytes=CAP)
    body.head(404, "Not Found", "HTTP/2", headers)
    assert (404, "Not Found", "HTTP/2", headers) == (
        body.status,
        body.reason,
        body.http_version,
        body.headers,
    )
    assert ('"1"', None, "text/html") == (body.header("eTag"), body.header("age"), body.content_type)
