"""Frames on a pipe: a kind, a head (msgpack), a payload (raw bytes), all length-prefixed.

parent → worker:  HELLO settings · CHUNK work · END no more will come ·
                      STOP begin nothing more, finish what is in flight
worker → parent:  CREDIT send me a chunk · RESULT one entry's fate · MOVED a redirect to another's host ·
                  PAGE one entry's fate, but for its parse · PARSED what came of that ·
                  STATUS how it is doing · BYE all is written
"""

from __future__ import annotations

import enum
import os
import struct
from typing import Any, NamedTuple

import msgspec

from crawler.config import CrawlConfig
from crawler.errors import WorkerError
from crawler.records import Chunk, FlowState, Headers, Keep, Parsed, Result, Row, Status

_PREFIX = struct.Struct("<BII")
_MOST_BYTES = 1 << 30  # more than any head of ours: whoever announces it does not speak this protocol


class Kind(enum.IntEnum):
    """What a frame is."""

    HELLO = 1
    CHUNK = 2
    END = 3
    CREDIT = 4
    RESULT = 5
    MOVED = 6
    STATUS = 7
    BYE = 8
    STOP = 9
    PAGE = 10
    PARSED = 11


_KINDS = {kind.value: kind for kind in Kind}  # a look-up costs a tenth of what `Kind(number)` does


class Frame(NamedTuple):
    """One frame as it came."""

    kind: Kind
    head: bytes
    payload: bytes


class Settings(msgspec.Struct, frozen=True):
    """What a worker is told first: who it is, and how to work.

    `homes` is the number of workers that hosts are spread over; 0: any worker may fetch any host. `shards` is into how
    many parts hosts are divided between machines, if there are several: an entry stays in that of its host. `spool` is
    the folder that takes what bodies hold beyond the budget; None: the temporary folder.
    """

    config: CrawlConfig
    worker: int
    homes: int
    keep: Keep
    sys_path: tuple[str, ...] = ()
    spool: bytes | None = None
    shards: int = 0


class _ResultHead(msgspec.Struct, frozen=True, array_like=True):
    row: Row
    record_at: int
    record_length: int
    headers: Headers


_encode = msgspec.msgpack.Encoder().encode
_decode_chunk = msgspec.msgpack.Decoder(Chunk).decode
_decode_state = msgspec.msgpack.Decoder(FlowState).decode
_decode_result = msgspec.msgpack.Decoder(_ResultHead).decode
_decode_parsed = msgspec.msgpack.Decoder(Parsed).decode
_decode_status = msgspec.msgpack.Decoder(Status).decode
_decode_settings = msgspec.msgpack.Decoder(Settings).decode


def frame(kind: Kind, message: Any = None, payload: bytes = b"") -> tuple[bytes, bytes]:
    """A frame as two buffers: prefix and head together, and the payload, which is not copied."""
    head = _encode(message)
    return _PREFIX.pack(kind, len(head), len(payload)) + head, payload


def result_frame(result: Result, kind: Kind = Kind.RESULT) -> tuple[bytes, bytes]:
    """One entry's fate as a RESULT frame, or as a PAGE."""
    head = _ResultHead(result.row, result.record_at, result.record_length, result.headers)
    return frame(kind, head, result.payload)


def read_result(frame: Frame) -> Result:
    """The fate in a RESULT or a PAGE frame."""
    head = _decode_result(frame.head)
    return Result(head.row, frame.payload, head.record_at, head.record_length, head.headers)


def read_chunk(frame: Frame) -> Chunk:
    """The work in a CHUNK frame."""
    return _decode_chunk(frame.head)


def read_state(frame: Frame) -> FlowState:
    """The state in a MOVED frame."""
    return _decode_state(frame.head)


def read_parsed(frame: Frame) -> Parsed:
    """What came of parsing a page, in a PARSED frame."""
    return _decode_parsed(frame.head)


def read_status(frame: Frame) -> Status:
    """What a worker says of itself in a STATUS frame."""
    return _decode_status(frame.head)


class FrameReader:
    """Cuts a stream of bytes into frames; raises WorkerError for what is no frame."""

    def __init__(self) -> None:
        self._rest = bytearray()  # the beginning of a frame whose end has not come

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Each byte of them is copied once, that of a frame in two pieces twice."""
        frames: list[Frame] = []
        at = self._complete(data, frames) if self._rest else 0
        end = len(data)
        while end - at >= _PREFIX.size:
            number, head, payload = _PREFIX.unpack_from(data, at)
            kind = _kind(number, head)
            middle = at + _PREFIX.size + head
            if middle + payload > end:
                break
            frames.append(Frame(kind, data[at + _PREFIX.size : middle], data[middle : middle + payload]))
            at = middle + payload
        if at < end:
            self._rest += memoryview(data)[at:]
        return frames

    def _complete(self, data: bytes, frames: list[Frame]) -> int:
        """Add what the frame that has begun still lacks; returns how many bytes of `data` that took."""
        at = self._take(data, 0, _PREFIX.size)
        if len(self._rest) < _PREFIX.size:
            return at
        number, head, payload = _PREFIX.unpack_from(self._rest)
        kind = _kind(number, head)
        middle = _PREFIX.size + head
        at = self._take(data, at, middle + payload)
        if len(self._rest) == middle + payload:
            with memoryview(self._rest) as view:
                frames.append(Frame(kind, bytes(view[_PREFIX.size : middle]), bytes(view[middle:])))
            self._rest.clear()
        return at

    def _take(self, data: bytes, at: int, size: int) -> int:
        """Let what waits grow to `size` bytes, as far as `data` reaches from `at` on; returns where it goes on."""
        end = min(at + max(size - len(self._rest), 0), len(data))
        self._rest += memoryview(data)[at:end]
        return end


def _kind(number: int, head: int) -> Kind:
    """The kind of a frame; raises WorkerError where there is none, or its head is longer than any of ours."""
    kind = _KINDS.get(number)
    if kind is None or head > _MOST_BYTES:
        raise WorkerError("A worker sent bytes that are no frame of ours; run the same command again.")
    return kind


def read_first(descriptor: int) -> Settings | None:
    """Block for the HELLO frame and nothing after it; None when the parent is gone before it."""
    prefix = _read_exactly(descriptor, _PREFIX.size)
    if prefix is None:
        return None
    kind, head_bytes, payload_bytes = _PREFIX.unpack(prefix)
    head = _read_exactly(descriptor, head_bytes + payload_bytes)
    if kind != Kind.HELLO or head is None:
        return None
    return _decode_settings(head)


def _read_exactly(descriptor: int, count: int) -> bytes | None:
    parts: list[bytes] = []
    while count:
        part = os.read(descriptor, count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
