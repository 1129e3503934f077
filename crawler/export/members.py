"""The records of an archive file one after the other, in bounded memory, whatever stands in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple, cast

from isal import igzip_lib

from crawler.errors import NotRecordedError, StoreError
from crawler.export.snapshot import WarcFile

_PIECE_BYTES = 64 * 1024
_SLICE_BYTES = 256 * 1024
# The library's stubs call the class of its errors an instance.
_DamagedError = cast("type[Exception]", igzip_lib.IsalError)
_HEAD_BYTES = 1024**2  # an answer's header fields are a third of it at most


class Member(NamedTuple):
    """One gzip member: where it begins, its length, both in bytes, and the first megabyte of what it holds."""

    offset: int
    length: int
    head: bytes


class _Reader:
    """A file's bytes up to its committed end, each of them also handed to `take`."""

    def __init__(self, file: BinaryIO, length: int, take: Callable[[bytes], object]) -> None:
        self._file = file
        self._left = length
        self._take = take

    def read(self) -> bytes:
        piece = self._file.read(min(_PIECE_BYTES, self._left))
        self._left -= len(piece)
        self._take(piece)
        return piece


def members(warc: WarcFile, take: Callable[[bytes], object] = len) -> Iterator[Member]:
    """The records of a file; `take` is called with all of its committed bytes on the way.

    Raises NotRecordedError, with file and byte, where the file is damaged or shorter than it should be.
    """
    at = 0
    try:
        with warc.open() as file:
            reader, data = _Reader(file, warc.length, take), b""
            while at < warc.length:
                head, length, data = _member(reader, data)
                yield Member(at, length, head)
                at += length
    except (OSError, ValueError, StoreError, _DamagedError) as error:
        why = str(error).rstrip(".")
        raise NotRecordedError(f"{warc.path} is damaged: the record at byte {at} cannot be read: {why}.") from error


def _member(reader: _Reader, data: bytes) -> tuple[bytes, int, bytes]:
    """The head of the member that begins with `data`, its length, and what was read beyond its end."""
    stream = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    head, length = bytearray(), 0
    while not stream.eof:
        if stream.needs_input:
            data = data or reader.read()
            if not data:
                raise ValueError("the file ends within it")
            length += len(data)
        head += stream.decompress(data, _SLICE_BYTES)[: max(0, _HEAD_BYTES - len(head))]
        data = b""
    return bytes(head), length - len(stream.unused_data), stream.unused_data
