"""The origin's end of an HTTP/2 connection (RFC 9113), for `python -m benchmarks.origin --http2`.

It answers what the site answers, and `/mute/KEY`: the first connection that asks for it never says a word again, as one
whose path through the network broke; others get a page.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterable
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import ProtocolError

from benchmarks.site import Site

_MUTE = re.compile(rb"/mute/(\S+)")
_numbers = itertools.count(1)
_muted: set[bytes] = set()


class Http2Connection(asyncio.Protocol):
    """One connection; its number stands in each answer's field `x-connection`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._requests: dict[int, tuple[bytes, bytes]] = {}
        self._unsent: dict[int, bytes] = {}
        self._number = str(next(_numbers)).encode("ascii")
        self._mute = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the methods, not the type
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._mute:
            return
        try:
            self._take(self._h2.receive_data(data))
        except ProtocolError:
            self._transport.abort()
            return
        self._flush()

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, RequestReceived):
                fields = dict(event.headers)
                self._requests[event.stream_id or 0] = (fields[b":method"], fields[b":path"])
            elif isinstance(event, StreamEnded):
                self._answer(event.stream_id or 0)
            elif isinstance(event, StreamReset):
                self._unsent.pop(event.stream_id or 0, None)
            elif isinstance(event, WindowUpdated):
                for stream in list(self._unsent):
                    self._push(stream)

    def _answer(self, stream: int) -> None:
        method, path = self._requests.pop(stream)
        mute = _MUTE.fullmatch(path)
        if mute is not None and mute[1] not in _muted:
            _muted.add(mute[1])
            self._mute = True
            return
        asked = b"%s %s HTTP/1.1" % (method, b"/page/1" if mute is not None else path)
        head, _, body = self._site.answer(asked).payload.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        self._h2.send_headers(
            stream, [(b":status", status.split(b" ")[1]), *fields, (b"x-connection", self._number)], end_stream=not body
        )
        if body:
            self._unsent[stream] = body
            self._push(stream)

    def _push(self, stream: int) -> None:
        """Send as much of a body as the client has room for (RFC 9113 §5.2)."""
        body = self._unsent.pop(stream)
        while body and (room := min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)):
            piece, body = body[:room], body[room:]
            self._h2.send_data(stream, piece, end_stream=not body)
        if body:
            self._unsent[stream] = body

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._transport.write(data)
