"""A pool of gevent's greenlets and requests, all of the standard library patched."""

from __future__ import annotations

from collections.abc import Iterator

from gevent.pool import Pool

from benchmarks.recipes.page import Fetch

NAME = "gevent pool"
PROCESSES = False
MANY_IN_FLIGHT = True


def run(fetch: Fetch, urls: list[str], procs: int, conc: int) -> Iterator[tuple[bool, float]]:  # noqa: ARG001
    """Whether each page was good, and its time in ms."""
    yield from Pool(conc).imap_unordered(fetch, urls)
