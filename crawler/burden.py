"""What the redirects weigh that a worker's entries have behind them.

A page's body is in the budget (`crawler/budget.py`) and soon written; the hops of thousands of entries that wait for
one slow host are in memory, however large a site made them, and as long as that may be.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from crawler.records import Headers, Hop

_LIGHT_BYTES = 64 * 1024**2
_MOST_BYTES = 4 * _LIGHT_BYTES


class Burden:
    """The bytes of all hops of one worker."""

    def __init__(self, light_bytes: int = _LIGHT_BYTES, most_bytes: int = _MOST_BYTES) -> None:
        self.bytes = 0
        self._light_bytes = light_bytes
        self._most_bytes = most_bytes

    def take(self, hop: Hop) -> Hop | None:
        """The hop as it may be kept: whole, `bare` where there are many, or not at all."""
        if self.bytes >= self._most_bytes:
            return None
        kept = hop if self.bytes < self._light_bytes else bare(hop)
        self.add((kept,))
        return kept

    def add(self, hops: Iterable[Hop]) -> None:
        """Hops came with their entry."""
        self.bytes += sum(map(weight, hops))

    def drop(self, hops: Iterable[Hop]) -> None:
        """Hops leave with their entry."""
        self.bytes -= sum(map(weight, hops))


def bare(hop: Hop) -> Hop:
    """The hop without its body, and of the fields with Location alone; marked as cut (WARC 1.1 §5.13)."""
    return msgspec.structs.replace(hop, headers=(("Location", hop.location),), payload=b"", truncated="length")


def weight(hop: Hop) -> int:
    """Roughly the bytes that it takes."""
    body = len(hop.payload) + len(hop.request_body)
    return (
        body + len(hop.url) + len(hop.location) + weight_of_fields(hop.headers) + weight_of_fields(hop.request_headers)
    )


def weight_of_fields(headers: Headers) -> int:
    """The same of header fields alone."""
    return sum(len(name) + len(value) for name, value in headers)
