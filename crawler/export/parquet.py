"""Rows as Parquet, a row group at a time, so that memory does not grow with the crawl."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from crawler.errors import UsageError
from crawler.export.columns import COLUMNS, Column, records
from crawler.export.snapshot import Snapshot
from crawler.export.target import Target

if TYPE_CHECKING:
    import pyarrow

STREAMS = True

_BATCH_ROWS = 2_000  # as Python's objects, which take several times as much as Arrow's
_GROUP_BATCHES = 25


def write(crawl: Snapshot, out: Target) -> str:
    """One file with all rows; raises UsageError where pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow, which is not installed: pip install 'crawler[parquet]'.") from error
    types = [_type(column, pyarrow) for column in COLUMNS]
    schema = pyarrow.schema(zip((column.name for column in COLUMNS), types, strict=True))
    values = (values for _, values in records(crawl))
    count = 0
    with out.opened() as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while batches := [_batch(rows, schema, pyarrow) for rows in itertools.islice(_batched(values), _GROUP_BATCHES)]:
            group = pyarrow.Table.from_batches(batches, schema)
            writer.write_table(group, row_group_size=group.num_rows)
            count += group.num_rows
    return f"{count:,} rows"


def _batched(values: Iterator[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    while rows := list(itertools.islice(values, _BATCH_ROWS)):
        yield rows


def _batch(rows: list[Sequence[Any]], schema: pyarrow.Schema, arrow: ModuleType) -> pyarrow.RecordBatch:
    columns = [
        _array(list(values), field.type, arrow) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return arrow.record_batch(columns, schema)


def _array(values: list[Any], kind: pyarrow.DataType, arrow: ModuleType) -> pyarrow.Array:
    if arrow.types.is_timestamp(kind):
        return arrow.array(values, arrow.string()).cast(kind)  # parses them, ten times as fast as Python
    return arrow.array(values, kind)


def _type(column: Column, arrow: ModuleType) -> pyarrow.DataType:
    if column.kind == "timestamp":
        return arrow.timestamp("ms", "UTC")  # what Common Crawl's own Parquet files say
    return getattr(arrow, "string" if column.kind == "json" else column.kind)()
