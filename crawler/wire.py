"""Frames on a pipe: a kind, a head (msgpack), a payload (raw bytes), all length-prefixed.

parent → worker:  HELLO settings · CHUNK work · END no more will come ·
                      STOP begin nothing more, finish what is in flight
worker → parent:  CREDIT send me a chunk · RESULT one entry's fate · MOVED a redirect to another's host ·
                  STATUS how it is doing · BYE all is written
"""

from __future__ import annotations

import enum
import os
import signal
import struct
from collections.abc import Generator
from typing import Any, NamedTuple

import msgspec

from crawler.config import CrawlConfig
from crawler.errors import WorkerError
from crawler.records import Chunk, FlowState, Headers, Keep, Result, Row, Status

_PREFIX = struct.Struct("<BII")
_MOST_BYTES = 1 << 30  # more than any head of ours: whoever announces it does not speak this protocol


PARENTS_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
"""Signals that reach the whole process group and are answered by the parent alone: workers ignore them."""


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


class Frame(NamedTuple):
    """One frame as it came."""

    kind: Kind
    head: bytes
    payload: bytes


class Settings(msgspec.Struct, frozen=True):
    """What a worker is told first: who it is, and how to work.

    `homes` is the number of workers that hosts are spread over; 0: any worker may fetch any host. `spool` is the folder
    that takes what bodies hold beyond the budget; None: the temporary folder.
    """

    config: CrawlConfig
    worker: int
    homes: int
    keep: Keep
    sys_path: tuple[str, ...] = ()
    spool: bytes | None = None


class _ResultHead(msgspec.Struct, frozen=True, array_like=True):
    row: Row
    record_at: int
    record_length: int
    headers: Headers


_encode = msgspec.msgpack.Encoder().encode
_decode_chunk = msgspec.msgpack.Decoder(Chunk).decode
_decode_state = msgspec.msgpack.Decoder(FlowState).decode
_decode_result = msgspec.msgpack.Decoder(_ResultHead).decode
_decode_status = msgspec.msgpack.Decoder(Status).decode
_decode_settings = msgspec.msgpack.Decoder(Settings).decode


def frame(kind: Kind, message: Any = None, payload: bytes = b"") -> tuple[bytes, bytes]:
    """A frame as two buffers: prefix and head together, and the payload, which is not copied."""
    head = _encode(message)
    return _PREFIX.pack(kind, len(head), len(payload)) + head, payload


def result_frame(result: Result) -> tuple[bytes, bytes]:
    """One entry's fate as a RESULT frame."""
    head = _ResultHead(result.row, result.record_at, result.record_length, result.headers)
    return frame(Kind.RESULT, head, result.payload)


def read_result(frame: Frame) -> Result:
    """The fate in a RESULT frame."""
    head = _decode_result(frame.head)
    return Result(head.row, frame.payload, head.record_at, head.record_length, head.headers)


def read_chunk(frame: Frame) -> Chunk:
    """The work in a CHUNK frame."""
    return _decode_chunk(frame.head)


def read_state(frame: Frame) -> FlowState:
    """The state in a MOVED frame."""
    return _decode_state(frame.head)


def read_status(frame: Frame) -> Status:
    """What a worker says of itself in a STATUS frame."""
    return _decode_status(frame.head)


class FrameReader:
    """Cuts a stream of bytes into frames; raises WorkerError for what is no frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Generator[Frame, None, None]:
        """The frames that `data` completes."""
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= _PREFIX.size:
                kind, head, payload = _PREFIX.unpack_from(self._buffer, at)
                if head > _MOST_BYTES or kind not in Kind._value2member_map_:
                    raise WorkerError("A worker sent bytes that are no frame of ours; run the same command again.")
                start = at + _PREFIX.size
                if len(self._buffer) < start + head + payload:
                    break
                middle, at = start + head, start + head + payload
                with memoryview(self._buffer) as view:  # released before anybody can stop reading
                    message = Frame(Kind(kind), bytes(view[start:middle]), bytes(view[middle:at]))
                yield message
        finally:
            del self._buffer[:at]


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
