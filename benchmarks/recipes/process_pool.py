"""`concurrent.futures.ProcessPoolExecutor` and requests.

A process that dies breaks the pool: all that was not done yet raises `BrokenProcessPool`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from benchmarks.recipes.page import Fetch

NAME = "ProcessPoolExecutor"
PROCESSES = True
MANY_IN_FLIGHT = False


def run(fetch: Fetch, urls: list[str], procs: int, conc: int) -> Iterator[tuple[bool, float]]:  # noqa: ARG001
    """Whether each page was good, and its time in ms."""
    with ProcessPoolExecutor(max_workers=procs) as pool:
        yield from pool.map(fetch, urls, chunksize=10)
