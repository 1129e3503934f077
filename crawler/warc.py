"""WARC 1.1 records as finished bytes, one gzip member each (annex D.2), and back again.

A record that is made here can always be read: no byte that a server or a list sent ends a line or a record.
"""

from __future__ import annotations

import functools
import random
import re
import zlib
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from isal import isal_zlib

from crawler.digests import digest_of
from crawler.headers import first
from crawler.records import Earlier, Headers, Truncated

# Levels 1 and 2 give the same size within a percent; 0 is a third faster and half as large again.
_LEVEL = 1
_LEAST_LEVEL = 0  # of records that are a head and nothing else: 4 µs less, 150 bytes more
_PACKED_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "application/zip", "application/gzip"})
_GZIP = 16 + zlib.MAX_WBITS
_END = b"\r\n\r\n"
_CONFORMS_TO = "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"
_PROFILE = "http://netpreserve.org/warc/1.1/revisit/"
REFERS_TO = "X-Crawler-Refers-To"
"""Where a revisit's payload lies in the archive of the previous crawl: file, offset and length."""
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})
# The payload is de-chunked: under its own name the field would make readers look for chunks.
_RENAMED = "X-Crawler-"
_TRANSFER_ENCODING = "transfer-encoding"

_LINE_BREAK = re.compile(r"[\x00\r\n]")
_NAME_LENGTH = 64  # of names that are remembered: the same few stand in every record
_NOT_IN_NAME = re.compile(r"[\x00-\x20:\x7f]")
_NOT_IN_URL = re.compile(r"[^\x21-\x7e]")

_FREE_BITS, _FIXED_BITS = ~(0xF << 76 | 0x3 << 62), 0x4 << 76 | 0x2 << 62

_Fields = Sequence[tuple[str, str | None]]


def new_id() -> str:
    """A fresh record id, `urn:uuid:` and a random UUID (RFC 9562 §5.4)."""
    # The variant (10) and the version (0100) over random bits; from a generator that the system has seeded.
    digits = f"{random.getrandbits(128) & _FREE_BITS | _FIXED_BITS:032x}"
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def warcinfo(*, filename: str, date: str, software: str, fields: Mapping[str, str]) -> bytes:
    """The record that begins a file (WARC 1.1 §6.2); `fields` are further ones of its block."""
    known = {"software": software, "format": "WARC File Format 1.1", "conformsTo": _CONFORMS_TO}
    block = _lines((*known.items(), *fields.items()), "utf-8")
    about = (("WARC-Filename", filename), ("Content-Type", "application/warc-fields"))
    return _record("warcinfo", new_id(), date, about, block)


def response(
    *,
    record_id: str,
    url: str,
    date: str,
    ip: str | None,
    status: int,
    reason: str,
    version: str,
    headers: Headers,
    payload: bytes,
    digest: str,
    truncated: Truncated | None = None,
    identified: str | None = None,
    packed: bool = False,
    earlier: Earlier | None = None,
) -> bytes:
    """The record of one answer (WARC 1.1 §6.3).

    Where an `earlier` record holds the same payload it is a revisit (§6.7): the head alone, and what it refers to; the
    `digest` is then that of the payload that is not said again.

    `date` is UTC as WARC writes it (`2026-01-31T12:00:00Z`, fractions of a second allowed); `payload` is
    de-chunked and still in its content coding, `digest` its digest; `identified` is what `identify` says of
    the decoded body. `packed` says that the payload is compressed already: then its member holds all as it is, for a
    tenth of the time and some 250 bytes more.
    """
    head = http_head(status, reason, version, headers)
    about = (
        ("WARC-Target-URI", _ascii_url(url)),
        ("WARC-IP-Address", ip),
        ("WARC-Payload-Digest", digest),
        ("WARC-Truncated", truncated),
        ("WARC-Identified-Payload-Type", identified),
        ("Content-Type", "application/http; msgtype=response"),
    )
    if earlier is None:
        return _record("response", record_id, date, about, head, payload, packed or identified in _PACKED_TYPES)
    return _record("revisit", record_id, date, (*about, *_revisit(earlier, status)), head)


def _revisit(earlier: Earlier, status: int) -> _Fields:
    """The fields of a revisit: what it refers to, and why (WARC 1.1 §6.7.2, §6.7.3)."""
    unmodified = status == 304
    return (
        ("WARC-Profile", _PROFILE + ("server-not-modified" if unmodified else "identical-payload-digest")),
        ("WARC-Truncated", None if unmodified else "length"),
        ("WARC-Refers-To-Target-URI", _ascii_url(earlier.url)),
        ("WARC-Refers-To-Date", earlier.fetched_at),
        (REFERS_TO, earlier.record),
    )


def request(
    *,
    concurrent_to: str,
    url: str,
    date: str,
    ip: str | None,
    method: str,
    headers: Headers,
    content: bytes = b"",
    redact: frozenset[str] = frozenset(),
) -> bytes:
    """The record of the request that brought the response whose id is `concurrent_to` (WARC 1.1 §6.4).

    Host and Content-Length, which the engine adds, are added where `headers` lacks them. `[redacted]` stands
    for the values of Authorization, Proxy-Authorization, Cookie and the fields named in `redact` (lowercase).
    """
    url = _ascii_url(url)
    about = (
        ("WARC-Target-URI", url),
        ("WARC-IP-Address", ip),
        ("WARC-Concurrent-To", f"<{concurrent_to}>"),
        ("Content-Type", "application/http; msgtype=request"),
    )
    head = _request_head(method, url, headers, len(content), redact)
    return _record("request", new_id(), date, about, head, content)


def http_head(status: int, reason: str, version: str, headers: Headers) -> bytes:
    """Status line and header fields in the form of HTTP/1.1 (RFC 9112 §4), the empty line included.

    `version` is `HTTP/1.0` or taken as `HTTP/1.1`, whatever it was. Transfer-Encoding is renamed to
    X-Crawler-Transfer-Encoding. CR, LF and NUL become spaces; what cannot stand in a name becomes `_`.
    """
    line = f"{'HTTP/1.0' if version == 'HTTP/1.0' else 'HTTP/1.1'} {status:03d} {_one_line(reason)}\r\n"
    fields: _Fields = headers
    if first(headers, _TRANSFER_ENCODING) is not None:
        fields = [(_RENAMED + n if n.lower() == _TRANSFER_ENCODING else n, value) for n, value in headers]
    return line.encode("latin-1", "replace") + _lines(fields, "latin-1") + b"\r\n"


def parse_http(block: bytes) -> tuple[int, str, str, Headers, bytes]:
    """Status, reason, version, header fields and payload of a response record's block: `http_head` undone.

    Never raises; what is no status is 0.
    """
    head, _, payload = block.partition(_END)
    line, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = line.partition(" ")
    status, _, reason = rest.partition(" ")
    headers = tuple(_field(line) for line in lines)
    return int(status) if re.fullmatch("[0-9]{1,9}", status) else 0, reason, version, headers, payload


def read_record(member: bytes) -> tuple[dict[str, str], bytes]:
    """The WARC header fields and the block of one record; raises ValueError where it is damaged."""
    unzip = zlib.decompressobj(_GZIP)
    try:
        data = unzip.decompress(member)
    except zlib.error as error:
        raise ValueError(f"The record is no gzip member: {error}.") from error
    if not unzip.eof or unzip.unused_data:
        raise ValueError("The record does not end where its gzip member does.")
    head, _, rest = data.partition(_END)
    version, *lines = head.decode("utf-8").split("\r\n")
    headers = dict(_field(line) for line in lines)
    length = int(headers.get("Content-Length", "-1"))
    if not version.startswith("WARC/1.") or length < 0 or rest[length:] != _END:
        raise ValueError("The record is not a whole WARC record.")
    return headers, rest[:length]


_MAGIC = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"PK\x03\x04": "application/zip",
    b"\x1f\x8b\x08": "application/gzip",
}
_MAGICS = tuple(_MAGIC)
# The tags that WHATWG MIME Sniffing §7.1 takes for HTML, `meta` and `link` beside them.
_HTML = re.compile(
    rb"<(?:!--|(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p"
    rb"|meta|link)[\s>])",
    re.IGNORECASE,
)
_JSON = re.compile(rb"""\{\s*["}]|\[\s*["\d\[\]{tfn-]""")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # WHATWG MIME Sniffing §3, binary data byte


def identify(start: bytes) -> str | None:
    """The media type that the first bytes of a body show, whatever its header says; None: no telling."""
    if start.startswith(_MAGICS):
        return next(media_type for magic, media_type in _MAGIC.items() if start.startswith(magic))
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<?xml"):
        return "application/xml"
    if _HTML.match(text):
        return "text/html"
    if not text or _BINARY.search(text):
        return None
    return "application/json" if _JSON.match(text) else "text/plain"


def _record(
    kind: str, record_id: str, date: str, about: _Fields, head: bytes, payload: bytes = b"", packed: bool = False
) -> bytes:
    # Every value here is of our making, or was made safe before.
    fields = "".join([f"{name}: {value}\r\n" for name, value in about if value is not None])
    text = (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <{record_id}>\r\nWARC-Date: {date}\r\n{fields}"
        f"WARC-Block-Digest: {digest_of(head, payload)}\r\nContent-Length: {len(head) + len(payload)}\r\n\r\n"
    )
    record = b"".join((text.encode(), head, payload, _END))
    if packed and payload:
        return zlib.compress(record, 0, _GZIP)  # isal's least level makes it larger
    return bytes(isal_zlib.compress(record, _LEVEL if payload else _LEAST_LEVEL, _GZIP))


def _request_head(method: str, url: str, headers: Headers, length: int, redact: frozenset[str]) -> bytes:
    authority, target = _split(url)
    fields, has_host = _request_fields(headers, length, redact)
    host = "" if has_host else f"Host: {authority}\r\n"
    return f"{_name(method)} {target} HTTP/1.1\r\n{host}".encode("latin-1", "replace") + fields


@functools.lru_cache(maxsize=64)
def _request_fields(headers: Headers, length: int, redact: frozenset[str]) -> tuple[bytes, bool]:
    """The lines of a request's fields with the empty one, most often those of the last; and whether Host is there."""
    secret = _CREDENTIALS | redact
    fields = [(name, "[redacted]" if name.lower() in secret else value) for name, value in headers]
    if length and first(headers, "content-length") is None:
        fields.append(("Content-Length", str(length)))
    return _lines(fields, "latin-1") + b"\r\n", first(headers, "host") is not None


def _split(url: str) -> tuple[str, str]:
    """The authority of a URL and the target in origin form (RFC 9112 §3.2.1)."""
    rest = url.partition("://")[2].partition("#")[0]
    authority, slash, path = rest.partition("/")
    if "?" in authority:
        authority, slash, path = rest.partition("?")
    return authority, f"/{path}" if slash != "?" else f"/?{path}"


def _lines(fields: _Fields, encoding: str) -> bytes:
    lines = [f"{_name(name)}: {value}\r\n" for name, value in fields if value is not None]
    text = "".join(lines)
    if text.count("\r") != len(lines) or text.count("\n") != len(lines) or "\x00" in text:
        text = "".join([f"{_name(name)}: {_one_line(value)}\r\n" for name, value in fields if value is not None])
    return text.encode(encoding, "replace")


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    name = name.strip(" \t")
    if name.lower() == _RENAMED.lower() + _TRANSFER_ENCODING:
        name = name[len(_RENAMED) :]
    return name, value.strip(" \t")


def _name(text: str) -> str:
    return _short_name(text) if len(text) <= _NAME_LENGTH else _NOT_IN_NAME.sub("_", text)


@functools.lru_cache(maxsize=4096)
def _short_name(text: str) -> str:
    return _NOT_IN_NAME.sub("_", text) or "_"


def _one_line(text: str) -> str:
    return _LINE_BREAK.sub(" ", text)


def _ascii_url(url: str) -> str:
    """The URL with everything in percent form that could end a line, or that is not ASCII."""
    if url.isascii() and url.isprintable() and " " not in url:
        return url
    return _NOT_IN_URL.sub(lambda match: quote(match[0], errors="replace"), url)
