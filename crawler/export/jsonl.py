"""Rows as JSON, an object a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from crawler.export.columns import COLUMNS, records
from crawler.export.snapshot import Snapshot
from crawler.export.target import Target

STREAMS = True

_NAMES = tuple(column.name for column in COLUMNS)
_JSON = tuple(place for place, column in enumerate(COLUMNS) if column.kind == "json")
_encoder = msgspec.json.Encoder()


def write(crawl: Snapshot, out: Target) -> str:
    """One object a row, every column in each."""
    count = 0
    with out.opened() as file:
        for count, (_, values) in enumerate(records(crawl), 1):  # noqa: B007 - the last one is how many there are
            file.write(line(values))
    return f"{count:,} rows"


def line(values: Sequence[Any], **more: Any) -> bytes:
    """The line of one row, with `more` behind its columns; what is JSON text in the row is part of the object."""
    row = list(values)
    for place in _JSON:
        row[place] = _decoded(row[place])
    return _encoder.encode(dict(zip(_NAMES, row, strict=True)) | more) + b"\n"


def _decoded(text: str | None) -> Any:
    try:
        return None if text is None else msgspec.json.decode(text)
    except msgspec.DecodeError:  # somebody else's: it stays the text that it is
        return text
