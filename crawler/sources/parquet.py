"""A list of URLs as a Parquet file: a column of URLs, read in batches of rows."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from crawler.errors import InputError
from crawler.escape import printable
from crawler.records import Entry, Request
from crawler.sources.base import Mark, read_entry
from crawler.sources.cutter import Layout, begin_hash
from crawler.sources.iterable import read_request
from crawler.sources.packed import Damage, Unpacked, packing_of
from crawler.sources.text import open_list, reason_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH = 1_000
_BATCH_BYTES = 4 * 1024**2
_READ_BYTES = 64 * 1024  # of a column chunk at a time
_SHOWN = 300  # characters of the columns' names
_encode = msgspec.msgpack.Encoder(enc_hook=str).encode


class ParquetSource:
    """The entries of a Parquet file: one a row, `source_line` is the row's number; of other columns nothing is read.

    What is held of it is a page of each column. A compressed file is unpacked into a nameless temporary one, as it is
    read from its end. Marks count rows; here `position` is an estimate. Raises InputError where it cannot be read, or
    a column is not there.
    """

    length: int | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        first_seq: int = 1,
        layout: Layout = Layout(),  # noqa: B008 - it is frozen
    ) -> None:
        self.name = os.fspath(path)
        self.first_seq = first_seq
        self._layout = layout
        self._begin()
        with self._opened() as table:
            self._columns = [self._find(name, table.schema_arrow) for name in (layout.column, *layout.carry)]
            self._rows: int = table.metadata.num_rows
        with open_list(self.name) as file:
            self.total_bytes: int | None = os.fstat(file.fileno()).st_size

    @property
    def position(self) -> int:
        """How many of the file's bytes were read, by the share of its rows."""
        return (self.total_bytes or 0) * self._read // max(self._rows, 1)

    @property
    def next_seq(self) -> int:
        """The seq behind the last entry that was yielded."""
        return self.first_seq + self._read

    def __iter__(self) -> Iterator[list[Entry]]:
        self._begin()
        name = printable(self.name)
        for rows in self._batches(self._rows):
            entries = []
            for row in rows:
                self._read += 1
                request, problem = self._request(row)
                entries.append(Entry(self.first_seq + self._read - 1, name, self._read, request, problem))
            self._hash.update(b"".join(map(_encode, rows)))
            yield entries

    def mark(self) -> Mark:
        """The rows that were yielded so far, what is carried included; `offset` counts them."""
        return Mark(self._read, self._hash.hexdigest())

    def check(self, mark: Mark) -> bool:
        """Whether the marked rows are all; raises InputError where the file does not begin with them."""
        if mark.offset <= self._rows and self._mark_of(mark.offset).digest == mark.digest:
            return mark.offset == self._rows
        raise InputError(
            f"{self.name} differs from what this crawl began with in its first {mark.offset:,} rows; "
            "only add rows at its end, or begin a new crawl (--restart)."
        )

    def whole(self) -> Mark:
        """The mark behind its last row."""
        return self._mark_of(self._rows)

    def verify(self) -> None:
        """Nothing more than was done when this was made: a compressed file was unpacked whole."""

    def _begin(self) -> None:
        self._read = 0
        self._hash: hashlib.blake2b = begin_hash("parquet")

    def _mark_of(self, count: int) -> Mark:
        hashed = begin_hash("parquet")
        for rows in self._batches(count):
            hashed.update(b"".join(map(_encode, rows)))
        return Mark(count, hashed.hexdigest())

    def _batches(self, count: int) -> Iterator[list[tuple[Any, ...]]]:
        """The first `count` rows, each the URL and what is carried."""
        wanted = list(dict.fromkeys(self._columns))
        with self._opened() as table:
            for batch in table.iter_batches(_batch_rows(table.metadata, wanted), columns=wanted, use_threads=False):
                values = [_values(batch.column(name)) for name in self._columns]
                rows = list(zip(*values, strict=True))[:count]
                count -= len(rows)
                if rows:
                    yield rows
                if not count:
                    return

    def _request(self, row: tuple[Any, ...]) -> tuple[Request, str | None]:
        url = row[0].encode() if isinstance(row[0], str) else row[0] or b""
        text, problem = read_entry(url)
        if not text:
            problem = "The row has no URL."
        extra = dict(zip(self._layout.carry, row[1:], strict=True)) or None
        if extra is None:
            return Request(text), problem
        request, unfit = read_request(Request(text, extra=extra))
        return request, problem or unfit

    def _find(self, name: str, schema: pa.Schema) -> str:
        """The column of this name; raises InputError."""
        import pyarrow as pa

        if name not in schema.names:
            shown = printable(", ".join(schema.names), _SHOWN)
            raise InputError(
                f"{self.name} has no column {name!r}; it has {shown}: name one of them with --column or --carry."
            )
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary)
        if name == self._layout.column and not any(is_text(kind) for is_text in texts):
            raise InputError(f"{self.name} has no URLs in its column {name!r} but {kind}; name another with --column.")
        return name

    @contextlib.contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        """The file; whatever is wrong with it is an InputError."""
        pa, pq = _pyarrow()
        try:
            with open_list(self.name) as file, self._unpacked(file) as plain, _reader(pq, plain) as table:
                yield table
        except (OSError, pa.ArrowException, Damage) as error:
            where = f" behind row {self._read:,}" if self._read else ""
            reason = printable(reason_of(error).rstrip(". "), _SHOWN)
            raise InputError(
                f"{self.name} is no Parquet file, or is damaged{where} ({reason}); mend it and run the command again."
            ) from error

    @contextlib.contextmanager
    def _unpacked(self, file: BinaryIO) -> Iterator[BinaryIO]:
        packing = packing_of(self.name, file.read(4))
        file.seek(0)
        if packing is None:
            yield file
            return
        with tempfile.TemporaryFile(prefix="crawler-") as plain:
            text = Unpacked(file, packing)
            while block := text.read():
                plain.write(block)
            yield plain


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("Parquet needs pyarrow; install it with: pip install 'crawler[parquet]'.") from error
    return pa, pq


def _reader(pq: Any, file: BinaryIO) -> pq.ParquetFile:
    # Without a buffer of its own a column chunk would be read whole, however large its row group is.
    return pq.ParquetFile(file, buffer_size=_READ_BYTES, pre_buffer=False, page_checksum_verification=True)


def _batch_rows(metadata: Any, columns: list[str]) -> int:
    """How many rows to take at a time: no more than bring some megabytes, on average."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    size: int = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)
    rows: int = metadata.num_rows
    return max(1, min(_BATCH, _BATCH_BYTES * rows // max(size, 1)))


def _values(column: pa.Array) -> list[Any]:
    """A column as Python's own values."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":  # for these alone it would want pandas
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values
