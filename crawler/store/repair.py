"""The end of an archive that is not what was committed: cut, or with a bit that has flipped.

fsync(2) is a promise of the disk's, and some break it when the power goes. So at each start the last records of the
archive are read once; where they are damaged, what is whole before them stays, and what is not loses its row: then it
is fetched again.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

_GZIP = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 16 * 1024  # deflate makes a thousand times as much of it at most


class Recorded(NamedTuple):
    """Where a row's records lie: `members` gzip members from `offset` (in bytes) on, its own the first of them."""

    offset: int
    members: int


_WARCINFO = Recorded(0, 1)


def is_whole(path: Path, start: int, end: int) -> bool:
    """Whether the bytes from `start` to `end` of a file are there, and are whole gzip members (RFC 1952 §2.2)."""
    if not path.is_file() or path.stat().st_size < end:
        return False
    with path.open("rb") as file:
        return _is_whole(file, start, end)


def whole_end(path: Path, recorded: Iterable[Recorded]) -> int:
    """Where the last of the rows `recorded` (latest first) ends whose records are whole, and all between it and the one
    before it; where the warcinfo ends if there is no such row, and 0 if that is not whole either.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for later, earlier in itertools.pairwise(itertools.chain(recorded, [_WARCINFO])):
            end = _end(file, later, size)
            if end is not None and _is_whole(file, earlier.offset, later.offset):
                return end
        return _end(file, _WARCINFO, size) or 0


def _is_whole(file: BinaryIO, start: int, end: int) -> bool:
    at: int | None = start
    while at is not None and at < end:
        at = _member_end(file, at, end)
    return at == end


def _end(file: BinaryIO, records: Recorded, size: int) -> int | None:
    """Where these records end; None where they are not whole."""
    at: int | None = records.offset
    for _ in range(records.members):
        at = _member_end(file, at, size) if at is not None else None
    return at


def _member_end(file: BinaryIO, start: int, limit: int) -> int | None:
    """Where the gzip member at `start` ends, its checksum and length checked; None where it is not whole."""
    unzip = zlib.decompressobj(_GZIP)
    file.seek(start)
    at = start
    try:
        while not unzip.eof:
            piece = file.read(max(0, min(_PIECE_BYTES, limit - at)))
            if not piece:
                return None
            at += len(piece)
            unzip.decompress(piece)
    except zlib.error:
        return None
    return at - len(unzip.unused_data)
