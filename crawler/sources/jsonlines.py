"""A list of URLs, or of whole requests, as JSON: one object a line."""

from __future__ import annotations

from typing import Any

import msgspec

from crawler.errors import InputError
from crawler.escape import printable
from crawler.records import Entry, Request
from crawler.sources.base import read_entry, show
from crawler.sources.cutter import LONGEST_RECORD, Cutter
from crawler.sources.iterable import is_plain, read_request

_REQUEST = ("method", "headers", "body")
_METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))
_SHOWN = 300  # characters of an object's names
_decode = msgspec.json.Decoder().decode


class JsonLines(Cutter):
    """An entry a line that is not blank: an object with the URL in the layout's column, or a URL alone, in quotes.

    `method`, `headers` (an object of strings) and `body` make it a whole request. A body that is text is sent as it
    is; any other one as JSON, with the Content-Type of that. Raises InputError where no object of the first block has a
    column that was named, or the text is one JSON value in many lines.
    """

    form = "jsonl"
    _seen = False  # whether objects have shown which names there are

    def _read(self, lines: list[bytes], *, last: bool = False) -> tuple[list[Entry], int]:  # noqa: ARG002 - each ends
        values = [
            (number, text, *_read_value(text))
            for number, line in enumerate(lines, self.line + 1)
            if (text := line.strip())
        ]
        self._check(values)
        return [self._entry_of(*value) for value in values], 0

    def _check(self, values: list[tuple[int, bytes, Any, str | None]]) -> None:
        """Raise InputError where none of the first objects has a column, or the text is JSON of many lines."""
        if self.line == 0 and values and (values[0][1] == b"{" or values[0][1].startswith(b"[")):
            raise InputError(f"{self._name} is JSON of more than a line; write one object a line (jq -c '.[]').")
        objects = [value for _, _, value, _ in values if isinstance(value, dict)]
        if self._seen or not objects:
            return
        self._seen = True
        found = {name: None for item in objects for name in item}  # in their order
        for name in (self._layout.column, *self._layout.carry):
            if name not in found:
                shown = printable(", ".join(found), _SHOWN) or "nothing"
                raise InputError(
                    f"{self._name} has no {name!r} in line {values[0][0]}; it has {shown}: name one of them with "
                    "--column or --carry."
                )

    def _entry_of(self, number: int, line: bytes, value: Any, problem: str | None) -> Entry:
        if isinstance(value, str):
            value = {self._layout.column: value}
        if isinstance(value, dict):
            return self._entry_in(value, line, number)
        return self._bad(number, line, problem or "The line is no JSON object.")

    def _entry_in(self, item: dict[str, Any], line: bytes, number: int) -> Entry:
        url = item.get(self._layout.column)
        extra = {name: item[name] for name in self._layout.carry if name in item} or None
        if not isinstance(url, str) or not url.strip():
            request, _ = read_request(Request(show(line), extra=extra))
            return self._entry(number, request, f"The object has no URL {self._layout.column!r}, or it is no text.")
        if extra is None and item.keys().isdisjoint(_REQUEST):
            text, problem = read_entry(url.encode())
            return self._entry(number, Request(text), problem)
        try:
            request, problem = read_request(_request(url, item, extra))
        except msgspec.ValidationError as error:
            return self._bad(number, line, f"The request cannot be sent: {error}.")
        self._plain &= problem is not None or is_plain(request)
        return self._entry(number, request, problem)


def _read_value(line: bytes) -> tuple[Any, str | None]:
    """What a line of JSON says, and None; or None and what is wrong with it."""
    if len(line) > LONGEST_RECORD:
        return None, f"The line is longer than {LONGEST_RECORD:,} bytes."
    try:
        return _decode(line), None
    except (ValueError, RecursionError) as error:  # msgspec's own errors, and those of UTF-8, are ValueErrors
        return None, f"The line is no JSON: {error}."


def _request(url: str, item: dict[str, Any], extra: dict[str, Any] | None) -> Request:
    """The request that an object describes; raises ValidationError."""
    method = item.get("method") or "GET"
    headers, body = item.get("headers") or {}, item.get("body")
    if isinstance(method, str) and method.upper() in _METHODS:
        method = method.upper()  # as the Fetch Standard has it; any other name is as it stands (RFC 9110 §9.1)
    if body is not None and not isinstance(body, str):
        body = msgspec.json.encode(body)
        if isinstance(headers, dict) and not any(name.lower() == "content-type" for name in headers):
            headers = {**headers, "Content-Type": "application/json"}
    raw = body.encode() if isinstance(body, str) else body or b""
    return msgspec.convert({"url": url, "method": method, "headers": headers, "body": raw, "extra": extra}, Request)
