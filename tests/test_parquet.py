"""Parquet: rows out of row groups, in bounded memory."""

from __future__ import annotations

import datetime
import decimal
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lists import entries_of

from crawler.errors import InputError
from crawler.records import Entry
from crawler.sources.cutter import Layout
from crawler.sources.parquet import ParquetSource


def write(folder: Path, **columns: Any) -> Path:
    """A file of these columns."""
    path = folder / "list.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(),
                                  pa.dictionary(pa.int32(), pa.string())])  # fmt: skip
def test_kinds_of_text(kind: pa.DataType, tmp_path: Path) -> None:
    """A column of any kind of text holds URLs; a row without one, or with what is none, is an entry with a problem."""
    path = write(tmp_path, url=pa.array(["http://a.test/", None, " b.test ", "a\x00"]).cast(kind))
    assert [(1, "http://a.test/", None), (2, "", "The row has no URL."), (3, "b.test", None),
            (4, "a\\x00", "The entry holds a control character.")] == [
        (entry.source_line, entry.request.url, entry.problem) for entry in entries_of(ParquetSource(path))
    ]  # fmt: skip


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    """Bytes are taken as UTF-8; what is none is an entry with a problem."""
    (entry,) = entries_of(ParquetSource(write(tmp_path, url=[b"a\xff"])))
    assert ("a\\xff", "The entry is not UTF-8.") == (entry.request.url, entry.problem)


def test_what_is_carried(tmp_path: Path) -> None:
    """Values of other columns are carried as JSON has them, in the order of `carry`."""
    day = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
    path = write(
        tmp_path,
        raw=[b"x"], when=pa.array([day]).cast(pa.timestamp("ns", "UTC")), url=["a"], price=[decimal.Decimal("1.50")],
        tags=[["a", None]], size=[2**63 - 1], nested=[{"a": 1}],
    )  # fmt: skip
    carry = ("size", "price", "when", "raw", "tags", "nested")
    (entry,) = entries_of(ParquetSource(path, layout=Layout(carry=carry)))
    expected = {"size": 2**63 - 1, "price": "1.50", "when": "2026-01-02T03:04:05.678901Z", "raw": "eA==",
                "tags": ["a", None], "nested": {"a": 1}}  # fmt: skip
    assert expected == entry.request.extra
    assert [*expected] == [*(entry.request.extra or {})]


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (Layout(column="link"), "list.parquet has no column 'link'; it has url, id: name one of them with --column"),
        (Layout(carry=("x",)), "has no column 'x'"),
        (Layout(column="id"), "has no URLs in its column 'id' but int64; name another with --column"),
    ],
)
def test_columns_that_are_not_there(layout: Layout, words: str, tmp_path: Path) -> None:
    """A wrong column is one sentence that names the file and what there is."""
    with pytest.raises(InputError, match=words):
        ParquetSource(write(tmp_path, url=["a"], id=[1]), layout=layout)


def test_damaged_pages(tmp_path: Path) -> None:
    """A file that is damaged in its middle ends in one sentence; what came before it are entries."""
    path = tmp_path / "list.parquet"
    urls = [f"http://a.test/{n}" for n in range(9_000)]
    pq.write_table(pa.table({"url": urls}), path, row_group_size=3_000, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 50] = bytes(50)
    path.write_bytes(data)
    found: list[Entry] = []
    with pytest.raises(InputError, match=r"list.parquet is no Parquet file, or is damaged behind row \d,000 \("):
        found.extend(entry for batch in ParquetSource(path) for entry in batch)
    assert urls[: len(found)] == [entry.request.url for entry in found]
    assert found


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed the extra is told its name."""
    path = write(tmp_path, url=["a"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'crawler\[parquet\]'"):
        ParquetSource(path)


def test_large_values_come_a_few_at_a_time(tmp_path: Path) -> None:
    """A batch has the fewer rows the more there is in them."""
    path = write(tmp_path, url=[f"http://a.test/{n}" for n in range(50)], page=[f"{n}" * 500_000 for n in range(50)])
    batches = list(ParquetSource(path, layout=Layout(carry=("page",))))
    assert max(map(len, batches)) <= 8
    assert 50 == sum(map(len, batches))
    assert [50] == [len(batch) for batch in ParquetSource(path)]


def test_position(tmp_path: Path) -> None:
    """The position goes from 0 to the file's length with its rows."""
    source = ParquetSource(write(tmp_path, url=["a"] * 1_500))
    assert [1_000 * (source.total_bytes or 0) // 1_500, source.total_bytes] == [source.position for _ in source]
