"""Three readers of WARC files that know nothing of each other, and nothing of ours.

Each has the same shape: it reads a file to its end and returns a sentence about it, or raises ValueError where the
file, a record or a digest is not right. One alone does not do: warcio, for one, accepts a file that is cut in half.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

_PIECE_BYTES = 1 << 20

Reader = Callable[[Path], int]
"""Reads a file, returns how many it found right (bytes for gzip, records for the others); raises ValueError."""


def read_by_gzip(path: Path) -> int:
    """Every member whole and with its right checksum (RFC 1952 §2.3.1); the bytes that they hold."""
    count = 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE_BYTES):
                count += len(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name}: {error}") from error
    return count


def read_by_warcio(path: Path) -> int:
    """Every record's block and payload digest verified by warcio; how many records."""
    from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped]  # publishes no types
    from warcio.exceptions import ArchiveLoadFailed  # type: ignore[import-untyped]

    count = 0
    try:
        with path.open("rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                while record.raw_stream.read(_PIECE_BYTES):
                    pass
                _require(record.digest_checker.passed, path, record.rec_headers.get_header("WARC-Record-ID"))
                count += 1
    except ArchiveLoadFailed as error:
        raise ValueError(f"{path.name}: {error}") from error
    return count


def read_by_fastwarc(path: Path) -> int:
    """Every record's block digest, and every response's payload digest, verified by FastWARC; how many records."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    count = 0
    try:
        for record in ArchiveIterator(str(path), parse_http=False):
            record.freeze()  # the block is read twice
            right = record.verify_block_digest()
            if record.record_type == WarcRecordType.response:
                record.parse_http()
                right = right and record.verify_payload_digest()
            _require(right, path, record.record_id)
            count += 1
    except OSError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return count


READERS: Mapping[str, Reader] = {"gzip": read_by_gzip, "warcio": read_by_warcio, "FastWARC": read_by_fastwarc}
_UNITS = {"gzip": "bytes"}


def verdict(name: str, files: Iterable[Path]) -> tuple[bool, str]:
    """Whether a reader finds all of the files right, and its words for it."""
    try:
        count = sum(READERS[name](path) for path in files)
    except ValueError as error:
        return False, f"wrong: {error}"
    return True, f"right, {count:,} {_UNITS.get(name, 'records with right digests')}"


def _require(right: bool | None, path: Path, record: str | None) -> None:
    if not right:
        raise ValueError(f"{path.name}: record {record} has no digest, or a wrong one")
