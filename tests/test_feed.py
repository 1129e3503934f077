"""The feed: the list, read in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator

from crawler.feed import Feed
from crawler.records import Request
from crawler.sources.iterable import IterableSource


def test_entries_that_are_large_are_not_read_far_ahead() -> None:
    """What waits to be taken is bounded in bytes as well, whatever of a request is large."""
    for request in (Request("a", body=b"x" * 1024**2), Request("a", extra={"a": "x" * 1024**2})):
        read = 0

        def endless(request: Request = request) -> Iterator[Request]:
            nonlocal read
            while True:
                read += 1
                yield request

        feed = Feed(IterableSource(endless()), lambda: None)
        while feed._has_room:
            pass
        taken = feed.take()
        feed.close()

        assert 8 == len(taken)
        assert read < 100
