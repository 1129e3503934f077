"""JSON Lines: URLs, and whole requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.errors import InputError
from crawler.records import Entry, Request
from crawler.sources.cutter import LONGEST_RECORD, Layout
from crawler.sources.jsonlines import JsonLines


def read(data: bytes, size: int = 65_536, layout: Layout = Layout()) -> list[Entry]:  # noqa: B008 - it is frozen
    """The entries of a list that comes in blocks of this size."""
    lines = JsonLines("list", 1, layout)
    blocks = (data[at : at + size] for at in range(0, len(data), size))
    return [entry for block in blocks for entry in lines.feed(block)] + lines.finish()


def request_of(item: Any, layout: Layout = Layout()) -> Request:  # noqa: B008 - it is frozen
    """The request of an object, which is one."""
    (entry,) = read(json.dumps(item).encode(), layout=layout)
    assert entry.problem is None
    return entry.request


@pytest.mark.parametrize(
    ("item", "request_"),
    [
        ("http://a/", Request("http://a/")),
        ({"url": " http://a/ "}, Request("http://a/")),
        ({"url": "a", "method": "post", "body": "x=1"}, Request("a", "POST", body=b"x=1")),
        ({"url": "a", "method": "Purge"}, Request("a", "Purge")),
        ({"url": "a", "headers": {"X": "y"}}, Request("a", headers={"X": "y"})),
        ({"url": "a", "method": None, "headers": None, "body": None}, Request("a")),
        (
            {"url": "a", "method": "POST", "body": {"q": ["é"]}},
            Request("a", "POST", {"Content-Type": "application/json"}, '{"q":["é"]}'.encode()),
        ),
        (
            {"url": "a", "method": "POST", "headers": {"content-type": "x/y"}, "body": [1]},
            Request("a", "POST", {"content-type": "x/y"}, b"[1]"),
        ),
    ],
)
def test_requests(item: Any, request_: Request) -> None:
    """A line is a URL or a request; a body that is no text is sent as JSON."""
    assert request_ == request_of(item)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "The line is no JSON: Input data was truncated."),
        (b"http://a/", "The line is no JSON: "),
        (
            b'{"url": "\xff"}',
            ("The line is no JSON: 'utf-8' codec", "The line is no JSON: Invalid UTF-8"),
        ),  # since 0.23
        (b"[" * 100_000, "The line is no JSON: "),
        (b"null", "The line is no JSON object."),
        (b"5", "The line is no JSON object."),
        (b"{}", "The object has no URL 'url', or it is no text."),
        (b'{"url": 5}', "The object has no URL 'url', or it is no text."),
        (b'{"url": ""}', "The object has no URL 'url', or it is no text."),
        (b'{"url": "a\\u0000"}', "The entry holds a control character."),
        (b'{"url": "a", "method": "A B"}', "The Request cannot be sent: its method is no token"),
        (b'{"url": "a", "method": 5}', "The request cannot be sent: Expected `str`"),
        (b'{"url": "a", "headers": {"a": 5}}', "The request cannot be sent: Expected `str`"),
        (b'{"url": "a", "headers": [["a", "b"]]}', "The request cannot be sent: Expected `object`"),
        (b'{"url": "' + b"x" * LONGEST_RECORD + b'"}', f"The line is longer than {LONGEST_RECORD:,} bytes."),
    ],
)
def test_lines_that_are_none(line: bytes, problem: str | tuple[str, ...]) -> None:
    """A line that is no request is one entry with a problem and a printable URL, and spoils no other line."""
    entries = read(b'{"url": "first"}\n\n' + line + b'\r"last"')
    assert [(1, "first", None), (4, "last", None)] == [
        (entry.source_line, entry.request.url, entry.problem) for entry in (entries[0], entries[-1])
    ]
    assert str(entries[1].problem).startswith(problem)
    assert entries[1].request.url.isprintable()


def test_what_is_carried() -> None:
    """Values are carried as they are; a name that an object has not is not there; too large a number is a problem."""
    layout = Layout(column="link", carry=("id", "tags"))
    data = b'{"link": "a", "id": 1, "tags": [null]}\n{"link": "b", "id": "x"}\n{"link": "c"}\n{"id": 7}'
    assert [{"id": 1, "tags": [None]}, {"id": "x"}, None, {"id": 7}] == [
        entry.request.extra for entry in read(data, layout=layout)
    ]
    (entry,) = read(b'{"url": "a", "id": ' + b"9" * 30 + b"}", layout=Layout(carry=("id",)))
    assert "cannot be sent" in str(entry.problem)


@pytest.mark.parametrize(
    ("data", "layout", "words"),
    [
        (b'{"link": "a", "id": 1}\n', Layout(), "list has no 'url' in line 1; it has link, id: name one of them with"),
        (b'\n\n{"url": "a"}\n{"b": 1}\n', Layout(carry=("id",)), "list has no 'id' in line 3; it has url, b"),
        (b"{}", Layout(), "it has nothing"),
        (
            b'[\n{"url": "a"}\n]',
            Layout(),
            r"list is JSON of more than a line; write one object a line \(jq -c '\.\[\]'\)",
        ),
        (b'{\n"url": "a"\n}', Layout(), "list is JSON of more than a line"),
    ],
)
def test_lists_that_are_none(data: bytes, layout: Layout, words: str) -> None:
    """A name that no object has, or JSON of many lines, is one sentence that names the list and the line."""
    with pytest.raises(InputError, match=words):
        read(data, layout=layout)


def test_marks_of_requests() -> None:
    """A mark says when a request was more than a URL."""
    lines = JsonLines("list")
    lines.feed(b'{"url": "a"}\n')
    assert lines.mark().plain
    lines.feed(b'{"url": "a", "method": "POST"}\n')
    assert not lines.mark().plain


@settings(deadline=None)
@given(st.binary(max_size=80) | st.text('{"url":a}\r\n', max_size=60).map(str.encode), st.integers(1, 30))
def test_any_bytes_in_any_blocks(data: bytes, size: int) -> None:
    """Any bytes are the same entries however they are cut."""
    data = b'{"url": "a"}\n' + data
    assert read(data) == read(data, size)
