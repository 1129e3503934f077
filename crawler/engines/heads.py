"""A response's head from the lines that a library hands over, read strictly.

libcurl passes on what other parsers refuse: a space before a field's colon, a Content-Length beside a
Transfer-Encoding. A head here is what RFC 9112 says, or a `MalformedError`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from crawler.engines.http1 import (
    FRAMINGS,
    LINE_BYTES,
    MOST_FIELDS,
    MOST_INTERIM,
    MOST_TRAILERS,
    TOO_MANY_INTERIM,
    framing_problem,
)
from crawler.records import ErrorClass, Headers

_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]|2) ([1-9][0-9]{2})(?: ([^\0\r\n]*))?\r?\n")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\0\r\n]*)\r?\n")
_ENDS = (b"\r\n", b"\n")
_REMEMBERED_BYTES = 160  # of a line; longer ones are read anew each time
_REMEMBERED = 4096  # lines: most pages of a site have most of theirs in common


class MalformedError(Exception):
    """What came is no head of HTTP, or more of one than is taken."""

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.error_class: ErrorClass = error_class


class Head(NamedTuple):
    """The final head: `version` as digits, such as `1.1`; `fields` in the order of the wire, as Latin-1."""

    status: int
    reason: str
    version: str
    fields: Headers


def read_head(lines: Sequence[bytes]) -> tuple[Head, int] | None:
    """The final head in the lines so far, and how many they are with it and with interim ones (RFC 9110 §15.2).

    None where it is not whole yet. Lines have their ends and are unfolded. Raises MalformedError.
    """
    start = 0
    for number in range(MOST_INTERIM + 2):
        end = _end(lines, start)
        if end is None:
            break
        if number > MOST_INTERIM:
            raise MalformedError("protocol", TOO_MANY_INTERIM)
        head = _read_block(lines[start:end])
        start = end + 1
        if head.status == 101:
            raise MalformedError("protocol", "101 although no other protocol was asked for")
        if head.status >= 200:
            return head, start
    return None


def check_trailers(lines: Sequence[bytes]) -> None:
    """Raise MalformedError where the lines after a body are too many."""
    if len(lines) > MOST_TRAILERS:
        raise MalformedError("headers_too_large", f"more than {MOST_TRAILERS} trailers")


def _end(lines: Sequence[bytes], start: int) -> int | None:
    """Where the next blank line is; nearly always at the end."""
    if lines and lines[-1] == b"\r\n" and lines.count(b"\r\n") == 1 and b"\n" not in lines:
        return len(lines) - 1 if start < len(lines) else None
    return next((at for at in range(start, len(lines)) if lines[at] in _ENDS), None)


def _read_block(block: Sequence[bytes]) -> Head:
    """One head, without the blank line after it."""
    if len(block) > MOST_FIELDS + 1:
        raise _too_large()
    status, reason, version = _status_line(block[0] if block else b"")
    fields, framings = [], 0
    for line in block[1:]:
        field, frames = _field(line) if len(line) <= _REMEMBERED_BYTES else _long_field(line)
        fields.append(field)
        framings += frames
    if framings > 1 and version != "2":
        raise MalformedError("protocol", "more than one framing")
    return Head(status, reason, version, tuple(fields))


def _long_field(line: bytes) -> tuple[tuple[str, str], bool]:
    if len(line) > LINE_BYTES:
        raise _too_large()
    return _field.__wrapped__(line)


def _too_large() -> MalformedError:
    return MalformedError("headers_too_large", f"a line of over {LINE_BYTES} bytes, or over {MOST_FIELDS} fields")


@functools.lru_cache(maxsize=256)
def _status_line(line: bytes) -> tuple[int, str, str]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MalformedError("protocol", "a status line that is none")
    return int(match[2]), (match[3] or b"").decode("latin-1"), match[1].decode("ascii")


@functools.lru_cache(maxsize=_REMEMBERED)
def _field(line: bytes) -> tuple[tuple[str, str], bool]:
    """A field, and whether it frames the message (RFC 9112 §6.3)."""
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        raise MalformedError("protocol", "a line that is no header field")
    name, value = match[1].decode("ascii"), match[2].strip(b" \t").decode("latin-1")
    known = name.lower()
    problem = framing_problem(((known, value),))
    if problem is not None:
        raise MalformedError("protocol", problem)
    return (name, value), known in FRAMINGS
