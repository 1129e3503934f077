"""What stands at the head of a row's record and not in the row: the media type that was identified, and a Location."""

from __future__ import annotations

import os
import re
import zlib
from types import TracebackType
from typing import NamedTuple, Self

from crawler import warc
from crawler.errors import CrawlerError
from crawler.export.snapshot import Snapshot
from crawler.headers import first
from crawler.records import Row
from crawler.store.elsewhere import is_elsewhere, read_at

_GZIP = 16 + zlib.MAX_WBITS
_START_BYTES = 1024  # of a record: its WARC head, but for very long URLs
_IDENTIFIED = re.compile(rb"\r\nWARC-Identified-Payload-Type: *([^\r\n]*)\r\n", re.IGNORECASE)


class Head(NamedTuple):
    """`identified` as WARC-Identified-Payload-Type; `location` of a redirect that was not followed."""

    identified: str | None = None
    location: str | None = None


_NOTHING = Head()


class Heads:
    """Reads heads, mostly one after the other in one file, which stays open. A context manager."""

    def __init__(self, crawl: Snapshot) -> None:
        self._crawl = crawl
        self._file = ""
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def of(self, row: Row) -> Head:
        """The head of the row's record; empty where it has none, or where it cannot be read, which is counted."""
        if not row.warc_length or row.warc_file is None or row.warc_offset is None:
            return _NOTHING
        try:
            return self._read(row.warc_file, row.warc_offset, row.warc_length, row.status or 0)
        except (OSError, ValueError, zlib.error, CrawlerError):
            self._crawl.leave_out(row)
            return _NOTHING

    def _read(self, file: str, offset: int, length: int, status: int) -> Head:
        size = _START_BYTES
        while True:
            member = self._bytes(file, offset, min(size, length))
            start, end, _ = zlib.decompressobj(_GZIP).decompress(member).partition(b"\r\n\r\n")
            if end:
                break
            if size >= length:
                raise ValueError("The record does not hold its own head.")
            size *= 8
        found = _IDENTIFIED.search(start + b"\r\n")
        location = None
        if 300 <= status < 400:
            _, block = warc.read_record(self._bytes(file, offset, length))
            location = first(warc.parse_http(block)[3], "location")
        return Head(found[1].decode("latin-1") if found else None, location)

    def _bytes(self, file: str, offset: int, length: int) -> bytes:
        if is_elsewhere(file):
            return read_at(self._crawl.folder.warc, file, offset, length)
        return os.pread(self._open(file), length, offset)

    def _open(self, file: str) -> int:
        if self._descriptor is None or file != self._file:
            self._close()
            self._descriptor = os.open(self._crawl.folder.warc / file, os.O_RDONLY | os.O_CLOEXEC)
            self._file = file
        return self._descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
