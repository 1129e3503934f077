"""Compressed files: read as a stream, in bounded memory, and no byte that is damaged is taken for the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, Protocol, cast

from backports import zstd
from isal import igzip_lib

BLOCK = 64 * 1024
"""Bytes that are read, and that are given, at a time."""

_WINDOW_LOG = 27  # 128 MB: what the command zstd unpacks without being asked to (--long=27)


class Damage(Exception):  # noqa: N818 - it never leaves this package: who knows the line says it (InputError)
    """What is wrong with an archive, as a phrase."""


class _Decompressor(Protocol):
    """One stream; at most `max_length` bytes a call."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Packing(NamedTuple):
    """One kind of compressed file: how its name ends, how a stream begins (a pattern), who unpacks it."""

    name: str
    suffix: str
    magic: re.Pattern[bytes]
    make: Callable[[], _Decompressor]


def _gzip() -> _Decompressor:
    return cast("_Decompressor", igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP))


def _zstd() -> _Decompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


PACKINGS = (
    Packing("gzip", ".gz", re.compile(rb"\x1f\x8b\x08"), _gzip),  # RFC 1952 §2.3.1
    Packing("zstd", ".zst", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), _zstd),  # RFC 8878 §3.1
)
_MAGIC_BYTES = 4
# The libraries' stubs call the classes of their errors instances.
_ERRORS = cast("tuple[type[Exception], ...]", (igzip_lib.IsalError, zstd.ZstdError))


def packing_of(name: str, head: bytes) -> Packing | None:
    """The kind of a file by the first bytes of it, or else by its name."""
    begun = [packing for packing in PACKINGS if packing.magic.match(head)]
    named = [packing for packing in PACKINGS if name.lower().endswith(packing.suffix)]
    return next(iter(begun + named), None)


class Unpacked:
    """The bytes of a compressed file's streams, which may follow one another, behind the reading end of a file.

    Whatever is wrong raises Damage, when what earlier calls could unpack was given: a stream that is cut, a checksum,
    something else behind the end. (Zeros behind a gzip stream are padding.) May raise OSError.
    """

    def __init__(self, file: BinaryIO, packing: Packing) -> None:
        self.name = file.name
        self._file = file
        self._packing = packing
        self._stream: _Decompressor | None = None
        self._data = b""  # what was read of the file and not given to a stream
        self._streams = 0

    def read(self, count: int = BLOCK, /) -> bytes:
        """The next bytes, at most `count`; none at the end."""
        try:
            while self._stream is not None or self._open():
                assert self._stream is not None
                if piece := self._next(self._stream, count):
                    return piece
        except _ERRORS as error:
            raise Damage(f"its {self._packing.name} stream is damaged ({str(error).rstrip('.')})") from error
        return b""

    def _open(self) -> bool:
        """Begin the next stream, if there is one; raises Damage for what is none."""
        self._fill()
        if self._streams and self._packing.suffix == ".gz":
            while self._data and not self._data.strip(b"\0"):
                self._data = b""
                self._fill()
        if self._streams and not self._data:
            return False
        if not self._packing.magic.match(self._data):
            where = "behind the end of a stream" if self._streams else "at its beginning"
            raise Damage(f"{where} stands no {self._packing.name}")
        self._streams += 1
        self._stream = self._packing.make()
        return True

    def _fill(self) -> None:
        """Read so much that the beginning of a stream can be told, if there is so much."""
        while len(self._data) < _MAGIC_BYTES and (block := self._file.read(BLOCK)):
            self._data += block

    def _next(self, stream: _Decompressor, count: int) -> bytes:
        """What comes next of a stream; nothing where it asks for more, or ends."""
        if not self._data and stream.needs_input:
            self._data = self._file.read(BLOCK)
            if not self._data:
                raise Damage(f"its {self._packing.name} stream is cut")
        data, self._data = self._data, b""
        piece = stream.decompress(data, count)
        if stream.eof:
            self._data, self._stream = stream.unused_data, None
        return piece
