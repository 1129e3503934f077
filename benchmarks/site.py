"""What the origin answers to a request: bytes, when, and whether the connection ends with them. No I/O.

| path | answer |
| --- | --- |
| `/page/N?size=BYTES` | `page(N, BYTES)`, an HTML page of that many bytes (8192) |
| `/close/N?size=BYTES` | the same, and the connection is closed after it |
| `/wait/SECONDS/N?size=BYTES` | the same as `/page`, so many seconds later |
| `/wild/N` | one of `WILD`, by turns |
| `/robots.txt` | keeps everybody out of `/private/` |
| `/file/PATH` | a file of the folder that is served; a query is ignored |
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import mimetypes
import os
import random
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

PAGE_BYTES = 8192
OVERSIZED_BYTES = 1_000_000

WILD = (
    *("page",) * 10,
    *("gzip",) * 4,
    *("redirect",) * 2,
    "missing",
    "broken",
    "slow",
    "dropped",
)
"""What the entries of the wild are, by their number modulo twenty; each fiftieth one is `oversized` instead."""

_PAGE = re.compile(rb"/(?:(page|close)|wait/(\d{1,4}(?:\.\d{1,6})?))/(\d{1,18})(?:\?size=(\d{1,8}))?")
_WILD = re.compile(rb"/wild/(\d{1,18})")
_SLOW_S = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of a response, the seconds to wait before it, and whether the connection is closed after it."""

    payload: bytes
    seconds: float = 0.0
    last: bool = False


def page(number: int, size: int = PAGE_BYTES) -> bytes:
    """The page that `/page/NUMBER?size=SIZE` serves: `size` bytes, the same ones in every run."""
    opening = b"<!doctype html>\n<html><head><title>Page %d</title></head><body>\n" % number
    return (opening + _filler(size)[len(opening) :])[:size]


def wild_kind(number: int) -> str:
    """What `/wild/NUMBER` is."""
    return "oversized" if number % 50 == 49 else WILD[number % len(WILD)]


def served_files(root: Path) -> dict[str, Path]:
    """Every file below `root` by its path in a URL (`library/json.html`, percent-encoded); links are left out."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return {quote(os.fsencode(path.relative_to(root))): path for path in files}


class Site:
    """The answers to all requests, with the files below `root` in memory."""

    def __init__(self, root: Path | None = None) -> None:
        self._files = _load(root) if root is not None else {}

    def answer(self, head: bytes) -> Answer:
        """The answer to a request whose head, without its empty line, is `head`."""
        method, _, rest = head.partition(b" ")
        target = rest.partition(b" ")[0]
        last = b"\r\nconnection: close" in head.lower()
        if method != b"GET":
            return Answer(_NOT_ALLOWED, last=last)
        if match := _PAGE.fullmatch(target):
            number, size = int(match[3]), int(match[4] or PAGE_BYTES)
            closes = match[1] == b"close"
            return Answer(_head(size, closes=closes) + page(number, size), float(match[2] or 0), last or closes)
        if match := _WILD.fullmatch(target):
            return _wild(int(match[1]), last)
        if target == b"/robots.txt":
            return Answer(_ROBOTS, last=last)
        return Answer(self._files.get(unquote_to_bytes(target.partition(b"?")[0]), _NOT_FOUND), last=last)


def _wild(number: int, last: bool) -> Answer:
    kind, body = wild_kind(number), page(number)
    match kind:
        case "gzip":
            packed = gzip.compress(body, compresslevel=1, mtime=0)
            return Answer(_head(len(packed), extra="Content-Encoding: gzip\r\n") + packed, last=last)
        case "redirect":
            return Answer(_head(0, "302 Found", extra=f"Location: /page/{number}\r\n"), last=last)
        case "missing":
            return Answer(_head(len(body), "404 Not Found") + body, last=last)
        case "broken":
            return Answer(_head(len(body), "500 Internal Server Error") + body, last=last)
        case "slow":
            return Answer(_head(len(body)) + body, _SLOW_S, last)
        case "dropped":
            return Answer(_head(len(body)) + body[: len(body) // 2], last=True)
        case "oversized":
            return Answer(_head(OVERSIZED_BYTES) + page(number, OVERSIZED_BYTES), last=last)
    return Answer(_head(len(body)) + body, last=last)


@functools.cache
def _words() -> list[str]:
    """A vocabulary, so that a page compresses about as well as text does."""
    chance = random.Random(1)
    return ["".join(chance.choices("etaoinshrdlucmfw", k=chance.randint(2, 9))) for _ in range(2000)]


@functools.lru_cache(maxsize=64)
def _filler(size: int) -> bytes:
    """What all pages of a size have in common."""
    chance, lines, length = random.Random(size), [], 0
    frequency = [1 / rank for rank in range(1, len(_words()) + 1)]
    while length < size:
        words = " ".join(chance.choices(_words(), frequency, k=chance.randint(20, 80)))
        lines.append(f'<p class="text"><a href="/page/{chance.randrange(10**6)}">link</a> {words}</p>\n')
        length += len(lines[-1])
    closing = "</body></html>\n"
    return ("".join(lines)[: max(size - len(closing), 0)] + closing).encode("ascii")


@functools.lru_cache(maxsize=4096)
def _head(
    length: int,
    status: str = "200 OK",
    *,
    content_type: str = "text/html; charset=utf-8",
    closes: bool = False,
    extra: str = "",
) -> bytes:
    lines = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{extra}"
    return f"{lines}{'Connection: close' + chr(13) + chr(10) if closes else ''}\r\n".encode("ascii")


_NOT_FOUND = _head(0, "404 Not Found")
_NOT_ALLOWED = _head(0, "405 Method Not Allowed")
_RULES = b"User-agent: *\nDisallow: /private/\n"
_ROBOTS = _head(len(_RULES), content_type="text/plain") + _RULES


def _load(root: Path) -> Mapping[bytes, bytes]:
    """The response to each path. What is no key cannot be served, so no path leads out of `root`."""
    return {
        b"/file/" + unquote_to_bytes(path): _head(len(body), content_type=_media_type(file)) + body
        for path, file in served_files(root).items()
        for body in [file.read_bytes()]
    }


def _media_type(file: Path) -> str:
    guessed, coding = mimetypes.guess_type(file.name)
    if coding is not None:
        return f"application/{coding}"  # the file is what is asked for, not what is packed into it
    return guessed or "application/octet-stream"
