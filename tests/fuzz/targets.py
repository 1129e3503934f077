"""The parsers that are ours, each under its law."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import zlib
from types import SimpleNamespace
from urllib.parse import quote

import brotli
import msgspec
from backports import zstd
from vectors import LOOPBACK, NO_HOST

from crawler import urls, warc
from crawler.addresses import AddressRule
from crawler.body import START_BYTES, Body, Verdict
from crawler.charset import charset_of, decode
from crawler.cookies import collect, cookie_header, joined
from crawler.engines import heads, pinned
from crawler.errors import InputError, WorkerError
from crawler.escape import printable
from crawler.headers import TOKEN, first, media_type, members
from crawler.records import Chunk, Entry, Headers
from crawler.retries import retry_after
from crawler.robots import CRAWL_DELAY_MOST_S, parse, product_token
from crawler.sources.cutter import Layout
from crawler.sources.formats import make_parser
from crawler.sources.packed import Damage, Unpacked, packing_of
from crawler.wire import FrameReader, Kind, frame
from fuzz import Target

CAP = 200_000
_CODINGS = ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip, br", "zstd, deflate, gzip")
_PAGE = b"<!doctype html><title>a page</title>" + b"word " * 200


def _urls(data: bytes) -> None:
    """A URL, or UrlError; a URL is printable ASCII without white space, and stays as it is when parsed again."""
    text, _, location = data.decode("utf-8", "surrogateescape").partition("\n")
    try:
        found = urls.parse(text)
        _check_url(found)
        _check_url(urls.join(found.href, location.encode("utf-8", "surrogateescape").decode("latin-1")))
    except urls.UrlError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right


def _check_url(found: urls.Url) -> None:
    assert found.href.isascii()
    assert found.href.isprintable()
    assert " " not in found.href
    assert found.scheme in ("http", "https")
    assert found.host
    again = urls.parse(found.href)
    assert (found.href, found.host) == (again.href, again.host)
    urls.domain(found.host)
    urls.origin(found.href)


_RULES = (AddressRule(), AddressRule(allow_private=True), AddressRule(allow_net=("10.0.0.0/8", "fd00::/8")))


def _addresses(data: bytes) -> None:
    """A phrase or None, on one line; nothing is refused by all that is private that is not by default, too."""
    text = data.decode("utf-8", "surrogateescape")
    default, private, some = (rule.refuses(text) for rule in _RULES)
    assert all(said is None or said.encode("ascii", "replace").decode().isprintable() for said in (default, private))
    assert private is None or default is not None
    assert some is None or default is not None


def _body(data: bytes) -> None:
    """No more than the cap of either form, no error but in `problem`, and the same whatever the pieces are."""
    coding, size, data = _CODINGS[data[0] % len(_CODINGS)] if data else "gzip", 1 + sum(data[1:3]) * 7, data[3:]
    whole, pieces = _pushed(data, coding, len(data) or 1), _pushed(data, coding, max(size, len(data) // 200))
    assert whole.bytes_wire <= CAP
    assert whole.bytes_body <= CAP
    assert len(whole.decoded) == whole.bytes_body
    assert len(whole.start) <= START_BYTES
    assert whole.problem in (None, "decode")
    assert len(whole.problem_text) < 1000
    assert _outcome(whole) == _outcome(pieces)


def _pushed(data: bytes, coding: str, size: int) -> Body:
    body = Body(max_bytes=CAP, keep_decoded=True)
    assert body.head(200, "OK", "1.1", (("Content-Encoding", coding),)) is Verdict.GO
    for at in range(0, len(data), size):
        if body.feed(data[at : at + size]) is Verdict.STOP:
            break
    else:
        body.end()
    return body


def _outcome(body: Body) -> tuple[object, ...]:
    return body.digest, body.body_digest, body.truncated, body.problem, body.problem_text


def _warc_record(data: bytes) -> None:
    """A record, or ValueError; the block is as long as it says."""
    member = data if data[:1] == b"\x1f" else gzip.compress(data, 1, mtime=0)
    try:
        headers, block = warc.read_record(member)
    except ValueError:
        return
    assert int(headers["Content-Length"]) == len(block)


def _warc_http(data: bytes) -> None:
    """Never an error; what was read can be written, and is then read as the same again and again."""
    *head, payload = warc.parse_http(data)
    assert len(payload) <= len(data)
    first = warc.parse_http(_head(*head) + payload)
    assert payload == first[4]
    assert first == warc.parse_http(_head(*first[:4]) + payload)
    warc.identify(payload)


def _head(status: int, reason: str, version: str, headers: Headers) -> bytes:
    return warc.http_head(status, reason, version, headers)


def _frames(data: bytes) -> None:
    """Frames, or WorkerError; no more bytes than came."""
    reader, cut = FrameReader(), len(data) // 2
    try:
        frames = [*reader.feed(data[:cut]), *reader.feed(data[cut:])]
    except WorkerError:
        return
    assert sum(9 + len(one.head) + len(one.payload) for one in frames) <= len(data)


def _headers(data: bytes) -> None:
    """Header fields, cookies and a charset of any bytes: no error, no line break in what is sent."""
    headers = warc.parse_http(b"HTTP/1.1 200 OK\r\n" + data)[3]
    kind = media_type(first(headers, "content-type"))
    assert kind is None or len(kind) <= 255
    members(headers, "content-encoding")
    cookies = collect((), "http://www.example.com/a/b", headers)
    assert len(cookies) <= 50
    for url in ("http://www.example.com/a/c", "https://example.com/", "http://127.0.0.1:8080/"):
        sent = cookie_header(collect(cookies, url, headers), url)
        assert sent is None or joined("own=1", sent).isprintable()
    body = Body(max_bytes=CAP)
    body.head(429, "Later", "1.1", headers)
    assert 0 <= (retry_after(body, 1e9) or 0) <= 120
    decode(data, charset_of(headers, data[:1024]))


def _heads_in_lines(data: bytes) -> None:
    """A head, none yet, or MalformedError: what libcurl hands over, line by line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    try:
        found = heads.read_head(lines)
        heads.check_trailers(lines)
    except heads.MalformedError as error:
        assert str(error).isprintable()  # noqa: PT017 - either is right
        return
    if found is not None:
        _check_fields(found[0].fields)


def _heads_in_streams(data: bytes) -> None:
    """A head, or what the engines of requests take for a fault: what http.client reads, strictly."""
    pinned.CURRENT.line = SimpleNamespace()  # type: ignore[assignment]
    response = pinned._Response(SimpleNamespace(makefile=lambda _: io.BytesIO(data)), method="GET")  # type: ignore[arg-type]
    try:
        response.begin()
    except (http.client.HTTPException, OSError, ValueError):
        return
    finally:
        response.close()
        del pinned.CURRENT.line
    _check_fields(response.fields)


def _check_fields(fields: Headers) -> None:
    """Names are tokens (RFC 9110 §5.6.2), and no value begins another line."""
    assert all(TOKEN.fullmatch(name) for name, _ in fields)
    assert not [value for _, value in fields if set(value) & {"\0", "\r", "\n"}]


def _robots(data: bytes) -> None:
    """Rules of any bytes, and a verdict on any URL."""
    text, _, path = data.partition(b"\0")
    rules = parse(text, product_token("crawler/1 (+https://example.com)"), cut=len(data) % 2 == 0)
    assert 0 <= rules.crawl_delay <= CRAWL_DELAY_MOST_S
    assert rules.count <= len(text)
    said = rules.refusal("http://example.com/" + quote(path))
    assert said is None or said.isprintable()


def _lists(data: bytes) -> None:
    """Entries, or InputError in one line; the same whatever the pieces are, each bad one printable."""
    form, data = tuple(_LISTS)[data[0] % len(_LISTS)] if data else "txt", data[1:]
    whole, pieces = _entries(form, data, len(data) or 1), _entries(form, data, max(1, len(data) // 50))
    assert whole == pieces or isinstance(whole, str) or isinstance(pieces, str)
    for entry in whole if isinstance(whole, list) else []:
        said = "" if entry.problem is None else entry.problem + entry.request.url
        assert said == printable(said)
        msgspec.msgpack.encode(entry)


def _entries(form: str, data: bytes, size: int) -> list[Entry] | str:
    parser = make_parser(form, "list", 1, Layout(carry=() if form == "txt" else ("id",)))
    try:
        entries = [entry for at in range(0, len(data), size) for entry in parser.feed(data[at : at + size])]
        return entries + parser.finish()
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right
        return str(error)


def _archives(data: bytes) -> None:
    """Bytes, or Damage; no more at a time than was asked for."""
    packing = packing_of("", data)
    if packing is None:
        return
    file = io.BytesIO(data)
    file.name = "list"  # type: ignore[attr-defined]
    unpacked, left = Unpacked(file, packing), 50 * CAP
    with contextlib.suppress(Damage):
        while left > 0 and (piece := unpacked.read(1_000)):
            assert len(piece) <= 1_000
            left -= len(piece)


_LISTS = {
    "txt": b"http://a.test/\r\n# b\n\xef\xbb\xbfc.test",
    "csv": b'id,url,label\n1,http://a.test/,"a ""b"" c\n\nd"\n2,b.test\n',
    "tsv": b'id\turl\n1\t"http://a.test/"\r\n',
    "jsonl": b'{"url": "http://a.test/", "id": 1}\n{"url": "b", "method": "PUT", "headers": {}, "body": [1]}\n"c"',
}
_CODERS = (gzip.compress, zlib.compress, brotli.compress, zstd.compress)
_ZEROS = bytes(1_000_000)
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n<p>x"
_RECORD = warc.response(
    record_id=warc.new_id(), url="http://example.com/", date="2026-01-31T12:00:00Z", ip="1.2.3.4", status=200,
    reason="OK", version="HTTP/1.1", headers=(("A", "b"),), payload=_PAGE, digest="sha1:A",
)  # fmt: skip
_HEADS = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Folded: a\r\n b\r\n\r\nabc"
)
_BLANKS = b"HTTP/1.1 200 OK\r\nX-Blanks:" + b" " * 2000 + b"\rx\r\n\r\n"  # what loops within loops would take long over
_ROBOTS = b"User-agent: *\nDisallow: /a*b$\nAllow: /a\nCrawl-delay: 3\n\nUser-agent: crawler\nDisallow: /x\n\0/axb?c"
_COOKIES = (
    b"Set-Cookie: a=b; Path=/; Domain=.example.com; Secure; Max-Age=5; Expires=Sat, 21 Nov 2026 09:13:28 GMT\r\n"
    b"Content-Type: text/html; charset=iso-8859-1\r\nRetry-After: Sat, 21 Nov 2026 09:13:28 GMT\r\nSet-Cookie: c=d"
)
_URL_WORDS = (b"http://", b"https:", b"//", b"@", b":80", b"[::1]", b"%2e", b"%00", b"\n", b"\\", b"..", b"xn--",
              b"#", b"?", "\u3002".encode(), "①".encode(), b"\xff", b"0x7f", b"::ffff:", b"%25")  # fmt: skip
_HEADER_WORDS = (b"\r\n", b": ", b"; ", b"=", b"\0", b"\r", b"\n", b"charset=", b"Set-Cookie: ", b"Max-Age=", b"gzip",
                 b"Expires=", b"\xff\xfe", b"Domain=", b"9" * 30, b"Retry-After: ", b"Content-Length: ",
                 b" " * 3000)  # fmt: skip

TARGETS = (
    Target("urls", _urls, tuple(f"http://{host}:80/a?b#c\n../d" .encode() for host in [*LOOPBACK, *NO_HOST, "a.com"]),
           _URL_WORDS),
    Target("addresses", _addresses, (b"127.0.0.1", b"::ffff:10.0.0.1", b"2002:7f00:1::1", b"64:ff9b::808:808",
                                     b"2001:0:808:808::80ff:fffe", b"fe80::1%1", b"8.8.8.8", b"2606:4700::1111"),
           (b":", b"::", b".", b"0", b"ffff", b"%", b"127.0.0.1", b"/8", b"5efe")),
    Target("body", _body, tuple(bytes((number, 1, 1)) + encode(data) for number in range(len(_CODINGS))
                                for encode in _CODERS for data in (_PAGE, _ZEROS)),
           (gzip.compress(b""), b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"\x78\x9c", b"\0" * 8, b"\xff" * 8)),
    Target("warc records", _warc_record, (_RECORD, gzip.decompress(_RECORD)), (*_HEADER_WORDS, b"WARC/1.1")),
    Target("warc http", _warc_http, (_RESPONSE, b"HTTP/1.0 404\r\n\r\n"), (*_HEADER_WORDS, b"HTTP/1.1 ")),
    Target("lists", _lists, tuple(bytes((number,)) + text for number, text in enumerate(_LISTS.values())),
           (b'"', b'""', b"\n", b"\r", b"\r\n", b",", b"\t", b";", b"\0", b"\xff", b"\\u0000", b"{", b"}", b"[",
            b"9" * 30, b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b\x08", b"PAR1")),
    Target("archives", _archives, tuple(pack(data) + pack(data) for pack in (gzip.compress, zstd.compress)
                                        for data in (_PAGE, _ZEROS)),
           (gzip.compress(b""), b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08", b"\x50\x2a\x4d\x18", bytes(8), b"\xff" * 8)),
    Target("wire", _frames, tuple(b"".join(frame(kind, Chunk(1, ()), _PAGE[:9])) * 3 for kind in Kind),
           (b"\0" * 4, b"\xff" * 4, b"\x01\0\0\0")),
    Target("headers", _headers, (_COOKIES, _RESPONSE), _HEADER_WORDS),
    Target("heads in lines", _heads_in_lines, (_HEADS, _BLANKS, _RESPONSE), _HEADER_WORDS),
    Target("heads in streams", _heads_in_streams, (_HEADS, _BLANKS, _RESPONSE), _HEADER_WORDS),
    Target("robots", _robots, (_ROBOTS, _ROBOTS.replace(b"\n", b"\r\n")),
           (b"\n", b"*", b"$", b"%2A", b"User-agent: ", b"Disallow: ", b"Allow: /", b"Crawl-delay: ", b"\xef\xbb\xbf")),
)  # fmt: skip
