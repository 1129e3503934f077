"""Tables: rows out of blocks, whatever stands between the quotes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawler.errors import InputError
from crawler.records import Entry
from crawler.sources.cutter import LONGEST_RECORD, Layout
from crawler.sources.table import Table, TabTable

_FIELD = st.text(st.sampled_from('ab,;"\t\r\n\0é') | st.characters(codec="utf-8"), max_size=6)
_GRID = st.lists(st.tuples(_FIELD, _FIELD.map(lambda text: f"u{text}"), _FIELD), min_size=1, max_size=6)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """The data in blocks."""
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes, size: int = 65_536, layout: Layout = Layout(), kind: type[Table] = Table) -> list[Entry]:  # noqa: B008 - it is frozen
    """The entries of a table that comes in blocks of this size."""
    table = kind("list", 1, layout)
    return [entry for block in cut(data, size) for entry in table.feed(block)] + table.finish()


def said(entries: list[Entry]) -> list[tuple[int, str, str | None]]:
    """Line, URL and problem of each entry."""
    return [(entry.source_line, entry.request.url, entry.problem) for entry in entries]


@settings(deadline=None)
@given(grid=_GRID, size=st.integers(1, 40), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_table_in_any_blocks(grid: list[tuple[str, str, str]], size: int, end: str) -> None:
    """Whatever stands in the fields, and however the blocks are cut, each row is one entry with its fields whole."""
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("id", "url", "label"), *grid])
    entries = read(b"\xef\xbb\xbf" + out.getvalue().encode(), size, Layout(carry=("label", "id")))
    assert [{"label": label, "id": id_} for id_, _, label in grid] == [entry.request.extra for entry in entries]
    assert [url.strip() for _, url, _ in grid if url.isprintable()] == [
        entry.request.url for entry, (_, url, _) in zip(entries, grid, strict=True) if url.isprintable()
    ]


@settings(deadline=None)
@given(st.binary(max_size=80) | st.text('u,"\r\n', max_size=60).map(str.encode), st.integers(1, 30))
@example(b'"\nu\n\r"\r\r', 1)
def test_any_bytes_in_any_blocks(data: bytes, size: int) -> None:
    """Any bytes are the same entries however they are cut, and a mark covers what was yielded."""
    data = b"url,id\n" + data
    whole = read(data)
    assert whole == read(data, size)
    table = Table("list")
    entries: list[Entry] = []
    for block in cut(data, size):
        entries += table.feed(block)
        assert entries == read(data[: table.mark().offset])[: len(entries)]
    entries += table.finish()
    assert len(data) == table.mark().offset


def test_lines_and_blank_lines() -> None:
    """A row stands in the line that it begins in; blank lines are no entries."""
    assert [(3, "a", None), (6, "b", None), (7, "c", None)] == said(read(b'\nurl,x\na,"1\n2"\n\nb,\n c ,d'))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b",x", "The row has no URL."),
        (b"a,b,c", "The row has 3 fields and not 2; a field with a comma in it stands in quotes."),
        (b"a\xff,x", "The entry is not UTF-8."),
        (b"a\0,x", "The entry holds a control character."),
        (b'"a\nb",x', "The entry holds a control character."),
        (b"u," + b"x" * LONGEST_RECORD, f"The row is longer than {LONGEST_RECORD:,} bytes."),
        (b'u,"' + (b"x" * 99_999 + b"\n") * 20 + b'"', "The row has a quote that does not end."),
    ],
)
def test_rows_that_are_none(row: bytes, problem: str) -> None:
    """A row that cannot be a URL is one entry with a problem, and spoils no other row."""
    entries = read(b"url,id\nfirst,1\n" + row + b"\nlast,2\n")
    assert problem in [entry.problem for entry in entries]
    assert ("first", "last") == (entries[0].request.url, entries[-1].request.url)
    assert None is entries[-1].problem


def test_a_field_that_is_missing() -> None:
    """A row that ends before a carried column has nothing there."""
    (entry,) = read(b"url,id\na\n", layout=Layout(carry=("id",)))
    assert ("a", {"id": None}, None) == (entry.request.url, entry.request.extra, entry.problem)


def test_a_quote_that_does_not_end() -> None:
    """A stray quote spoils its own line alone, at the end of the list too."""
    entries = read(b'url\na\n"b\nc\nd\n', 3)
    assert [("a", False), ('"b', True), ("c", False), ("d", False)] == [
        (entry.request.url, entry.problem is not None) for entry in entries
    ]


def test_a_row_without_end_is_never_held() -> None:
    """Of a row that does not end no more is held than a row may have, and a block."""
    table = Table("list")
    table.feed(b'url,x\na,"')
    entries: list[Entry] = []
    for _ in range(40):
        entries += table.feed(b"x" * 99_999 + b"\n")
        assert len(table._rest) <= LONGEST_RECORD + 100_000
    assert entries[0].problem is not None


@pytest.mark.parametrize(("text", "kind"), [(b"id;url\n1;a,b\n", Table), (b"id\turl\n1\ta,b\n", Table),
                                            (b"id|url\n1|a,b", Table), (b'id\turl\n1\t"a,b"\n', TabTable)])  # fmt: skip
def test_delimiters(text: bytes, kind: type[Table]) -> None:
    """What stands between the fields is what makes a header with the URL's column."""
    assert ["a,b"] == [entry.request.url for entry in read(text, kind=kind)]


def test_columns() -> None:
    """A column is found by its name, whatever its case where that tells; by its number where there is no header."""
    assert ["b"] == [entry.request.url for entry in read(b"id, URL \na,b\n")]
    assert ["B"] == [entry.request.url for entry in read(b"URL,url,Url\na,B,c\n")]
    entries = read(b"1,a.com\n2,b.com\n", layout=Layout(column="2", carry=("1",)))
    assert [("a.com", {"1": "1"}), ("b.com", {"1": "2"})] == [(e.request.url, e.request.extra) for e in entries]


@pytest.mark.parametrize(
    ("data", "layout", "words"),
    [
        (
            b"id,link\n",
            Layout(),
            "list has no column 'url' in line 1; it has id, link: name one of them with --column or --carry, or count",
        ),
        (b"URL,Url\n", Layout(), "no column 'url'"),
        (b"url\n", Layout(carry=("x\x1b",)), r"no column 'x\\x1b' in line 1; it has url"),
        (b"\n\xff\x1b[31m\n", Layout(), r"in line 2; it has \\xff\\x1b\[31m"),
        (b'"url\na\n', Layout(), "a quote in line 1 that does not end"),
        (b"1,2\n", Layout(column="3"), "no column '3' in line 1; it has 1, 2"),
    ],
)
def test_columns_that_are_not_there(data: bytes, layout: Layout, words: str) -> None:
    """A wrong column is one sentence that names the list, the line and what there is."""
    with pytest.raises(InputError, match=words):
        read(data, layout=layout)
