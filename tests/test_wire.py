"""Frames: what is written is what is read, however the pipe cuts it."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import state

from crawler.config import CrawlConfig
from crawler.errors import WorkerError
from crawler.records import Chunk, Cookie, Hop, Result, Row
from crawler.wire import (
    Frame,
    FrameReader,
    Kind,
    Settings,
    frame,
    read_chunk,
    read_first,
    read_result,
    read_state,
    result_frame,
)

HOP = Hop(
    "http://a/", "GET", (("A", "b"),), b"", 302, "Found", "1.1", (("Location", "/b"),), b"moved", "/b", "1.2.3.4", 1.5
)
STATE = state(
    "http://a/", hops=(HOP,), cookies=(Cookie("n", "v", "a", True, "/", False),), body=b"\x00\xff", extra={"id": [1]}
)
ROW = Row(7, "list", 9, "http://a/", "http://a/", "a", "fetched", status=200, total_ms=1.5)


def read(data: bytes, pieces: list[int]) -> list[Frame]:
    reader, frames, at = FrameReader(), [], 0
    for size in [*pieces, len(data)]:
        frames += list(reader.feed(data[at : at + size]))
        at += size
    return frames


@given(
    st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=300)), max_size=20),
    st.lists(st.integers(0, 50), max_size=40),
)
def test_frames_survive_any_cut(messages: list[tuple[Kind, bytes]], pieces: list[int]) -> None:
    """The frames read are the frames written, in their order, wherever the stream is cut."""
    data = b"".join(buffer for kind, payload in messages for buffer in frame(kind, "head", payload))

    assert messages == [(message.kind, message.payload) for message in read(data, pieces)]


def test_messages_come_back_as_they_were() -> None:
    """A chunk, a state with its hops and cookies, and a result are equal after the pipe."""
    result = Result(ROW, b"payload", 3, 4, (("A", "b"),))
    data = b"".join([*frame(Kind.CHUNK, Chunk(1, (STATE,))), *frame(Kind.MOVED, STATE), *result_frame(result)])
    chunk, moved, settled = read(data, [])

    assert (Chunk(1, (STATE,)), STATE, result) == (read_chunk(chunk), read_state(moved), read_result(settled))


@pytest.mark.parametrize(
    "prefix", [struct.pack("<BII", 99, 0, 0), struct.pack("<BII", 2, 1 << 31, 0), b"Traceback (most recent call last)"]
)
def test_what_is_no_frame_is_said(prefix: bytes) -> None:
    """Bytes of another kind (a stray print, a wrong version) are an error, not a hang or a huge allocation."""
    with pytest.raises(WorkerError):
        read(prefix, [])


def test_the_first_frame_is_read_and_nothing_after_it() -> None:
    """What follows the settings stays in the pipe for the driver."""
    settings = Settings(CrawlConfig(conc=7), 1, 2, "page", ("/x",))
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"".join(frame(Kind.HELLO, settings)) + b"rest")
    os.close(write_fd)

    assert settings == read_first(read_fd)
    assert b"rest" == os.read(read_fd, 10)
    os.close(read_fd)


def test_a_parent_that_is_gone_before_hello() -> None:
    """No settings, no error: there is nothing to do."""
    read_fd, write_fd = os.pipe()
    os.close(write_fd)

    assert None is read_first(read_fd)
    os.close(read_fd)


def test_a_page_of_more_than_a_gigabyte_may_come() -> None:
    """`--max-body 1G` is a setting that people make: what is announced for it is a frame like any other."""
    assert [] == read(struct.pack("<BII", Kind.RESULT, 10, (1 << 30) + 4096) + b"the beginning", [])
