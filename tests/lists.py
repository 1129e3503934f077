"""Lists of URLs in every format, for the tests of those who read them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

from crawler.records import Entry

Row = dict[str, Any]


def entries_of(source: Iterable[list[Entry]]) -> list[Entry]:
    """All entries of a source."""
    return [entry for batch in source for entry in batch]


def lines(rows: Sequence[Row]) -> bytes:
    """The URLs alone, one a line."""
    return "".join(f"{row['url']}\n" for row in rows).encode()


def table(rows: Sequence[Row], delimiter: str = ",") -> bytes:
    """A table with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else ["url"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def objects(rows: Sequence[Row]) -> bytes:
    """An object a line."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def columns(rows: Sequence[Row]) -> bytes:
    """A Parquet file of small row groups."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), out, row_group_size=3)
    return out.getvalue()


FORMATS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    "txt": lines,
    "csv": table,
    "tsv": lambda rows: table(rows, "\t"),
    "jsonl": objects,
    "parquet": columns,
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}


def write(folder: Path, rows: Sequence[Row], form: str, packing: str = "", name: str = "list") -> Path:
    """A list as a file whose name tells what it is."""
    path = folder / f"{name}.{form}{packing}"
    path.write_bytes(PACKINGS[packing](FORMATS[form](rows)))
    return path
