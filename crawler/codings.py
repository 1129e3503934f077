"""Content codings (RFC 9110 §8.4.1): encoded bytes in, decoded bytes out, in slices and under a cap.

A message may carry several codings, the last one named being the outermost. What each of them gives is
bounded, so neither a bomb nor a bomb within a bomb takes more memory, or much more time, than the cap allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

import brotli
from backports import zstd
from isal import igzip_lib

SLICE_BYTES = 64 * 1024
"""What a decompressor gives in one call at most."""

MOST_RATIO = 1_100
"""How many times what came may come out of it, beyond `FREE_BYTES`; deflate cannot give more than 1,032 (RFC 1951)."""

FREE_BYTES = 1 << 20
"""What may come out whatever the ratio is: a page of blanks is no bomb."""

_INPUT_BYTES = 8 * 1024  # what the first decompressor is given in one call; less costs time, more is memory

# Streams that may follow each other in one coding: empty ones cost time and never reach the cap.
_MOST_STREAMS = 4096
# Gives one block of output, 32 KB: brotli goes by whole blocks, each larger than the one before.
_BROTLI_LIMIT = 16 * 1024
# RFC 9659: a window of more than 8 MB is not allowed in the coding "zstd".
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
_ZSTD_FRAME = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")  # RFC 8878 §3.1.1 and §3.1.2
_GZIP_MEMBER = b"\x1f\x8b\x08"  # RFC 1952 §2.3.1


# The libraries' stubs call the classes of their errors instances.
_ERRORS = cast("tuple[type[Exception], ...]", (igzip_lib.IsalError, brotli.error, zstd.ZstdError))


class CodingError(ValueError):
    """The bytes are not what their content coding says."""


class _Decompressor(Protocol):
    """What `bz2.BZ2Decompressor` made the custom: one stream, and at most `max_length` bytes a call."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _BrotliDecompressor:
    """Brotli (RFC 7932) behind the customary interface; may give up to 32 KB where less was asked for."""

    unused_data = b""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self._gave = False

    @property
    def eof(self) -> bool:
        return bool(self._stream.is_finished())

    @property
    def needs_input(self) -> bool:
        # It can accept more as soon as its input is used up, though output may still wait.
        return not self._gave and bool(self._stream.can_accept_more_data())

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = bytes(self._stream.process(data, output_buffer_limit=min(max_length, _BROTLI_LIMIT)))
        self._gave = bool(piece)
        return piece


def _gzip(start: bytes, again: bool) -> _Decompressor | None:
    # Members may follow each other (RFC 1952 §2.2); anything else after one is padding, as gzip(1) has it.
    if again and not start.startswith(_GZIP_MEMBER):
        return None
    return _isal(igzip_lib.DECOMP_GZIP)


def _deflate(start: bytes, again: bool) -> _Decompressor | None:
    if again:
        return None
    # "deflate" is the zlib format (RFC 9110 §8.4.1.2), yet some servers send bare deflate data (RFC 1951).
    # That never looks like a zlib header: the low nibble 8 would be a stored block with padding other than 0.
    is_zlib = start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return _isal(igzip_lib.DECOMP_ZLIB if is_zlib else igzip_lib.DECOMP_DEFLATE)


def _isal(flag: int) -> _Decompressor:
    decompressor: _Decompressor = igzip_lib.IgzipDecompressor(flag=flag)
    return decompressor


def _zstd(start: bytes, again: bool) -> _Decompressor | None:
    if again and not _ZSTD_FRAME.match(start):
        return None
    return zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)


def _brotli(start: bytes, again: bool) -> _Decompressor | None:  # noqa: ARG001 - one signature for all openers
    # The library refuses such bytes where they arrive with the end: the answer must not hang on the split.
    if again:
        raise CodingError("there are bytes after the end")
    return _BrotliDecompressor()


# For each coding: how to open a stream, given its first bytes and whether another one went before it (None:
# what follows is no stream, and is ignored), and how many bytes that takes.
_OPENERS: dict[str, tuple[Callable[[bytes, bool], _Decompressor | None], int]] = {
    "gzip": (_gzip, len(_GZIP_MEMBER)),
    "x-gzip": (_gzip, len(_GZIP_MEMBER)),
    "deflate": (_deflate, 2),
    "br": (_brotli, 1),
    "zstd": (_zstd, 4),
}
CODINGS = frozenset(_OPENERS)
"""The content codings that can be decoded."""

SMALL_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
"""Those whose decoders take 32 KB and not up to 16 MB of what went before (RFC 7932 §9.1, RFC 9659)."""


class _Layer:
    """One coding: any number of its streams, one after the other."""

    def __init__(self, coding: str, max_bytes: int) -> None:
        self._open, self._start_bytes = _OPENERS[coding]
        self._room = max_bytes
        self._stream: _Decompressor | None = None
        self._start = b""  # what came of a stream that is not open yet
        self._streams = 0
        self._ignores = False
        self.complete = True
        self.full = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What `data` brings, in slices; sets `full` and ends where it is more than `max_bytes` in all."""
        while data and not self._ignores:
            if self._stream is None:
                data, self._start = self._start + data, b""
                self._stream = self._next(data)
            if self._stream is None:
                return
            yield from self._drain(self._stream, data)
            if self.full or not self._stream.eof:
                return
            data, self._stream, self.complete = self._stream.unused_data, None, True

    def _next(self, start: bytes) -> _Decompressor | None:
        """The stream that begins with `start`; None where that is too little to tell, or no stream."""
        if not self._streams:
            self.complete = False
        if len(start) < self._start_bytes:
            self._start = start
            return None
        if self._streams == _MOST_STREAMS:
            raise CodingError(f"there are more than {_MOST_STREAMS} streams, one after the other")
        stream = self._open(start, self._streams > 0)
        self._streams += 1
        self._ignores = self.complete = stream is None
        return stream

    def _drain(self, stream: _Decompressor, data: bytes) -> Iterator[bytes]:
        while True:
            piece = stream.decompress(data, min(SLICE_BYTES, self._room + 1))
            yield piece[: self._room]
            self._room -= len(piece)
            self.full = self._room < 0
            if self.full or stream.eof or stream.needs_input:
                return
            data = b""  # it holds more than it gave: an empty piece asks for the rest


class Decoder:
    """All codings of one message: `codings` in the order in which they were applied, each one of `CODINGS`.

    No coding gives more than `max_bytes`, and all together no more than `MOST_RATIO` times what came: where they would,
    the output is cut there and `full` is set.

    What comes is decoded in slices that are counted from its beginning, and a rest waits for more: the libraries keep
    back what they have where they meet damage in the same call, and so the outcome would hang on the pieces. `taken` is
    how many bytes were decoded.
    """

    def __init__(self, codings: Sequence[str], max_bytes: int) -> None:
        self._layers = [_Layer(coding, max_bytes) for coding in reversed(codings)]
        self._rest = b""
        self._given = 0
        self._is_bomb = False
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether the cap or the ratio was crossed: nothing more can be decoded."""
        return self._is_bomb or any(layer.full for layer in self._layers)

    @property
    def complete(self) -> bool:
        """Whether every coding has come to its end marker, or has not begun."""
        return all(layer.complete for layer in self._layers)

    def decode(self, data: bytes, *, last: bool = False) -> Iterator[bytes]:
        """The decoded bytes that `data` brings, in slices of `SLICE_BYTES` at most; raises CodingError.

        `last` says that no more will come, so that nothing waits.
        """
        data = self._rest + data
        whole = len(data) if last else len(data) - len(data) % _INPUT_BYTES
        self._rest = data[whole:]
        try:
            for at in range(0, whole, _INPUT_BYTES):
                end = min(at + _INPUT_BYTES, whole)
                self.taken += end - at
                for piece in self._through(0, data[at:end]):
                    yield self._within_ratio(piece)
                    if self.full:
                        return
        except _ERRORS as error:
            raise CodingError(str(error)) from error

    def _within_ratio(self, piece: bytes) -> bytes:
        room = max(FREE_BYTES, MOST_RATIO * self.taken) - self._given
        self._given += len(piece)
        self._is_bomb = len(piece) > room
        return piece[:room]

    def _through(self, depth: int, data: bytes) -> Iterator[bytes]:
        if depth == len(self._layers):
            yield data
            return
        layer = self._layers[depth]
        for piece in layer.decode(data):
            yield from self._through(depth + 1, piece)
            if self.full:
                return
