"""`concurrent.futures.ThreadPoolExecutor` and requests.

The whole list is submitted at once: a future for each URL, and its result, stay in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.recipes.page import Fetch

NAME = "ThreadPoolExecutor"
PROCESSES = False
MANY_IN_FLIGHT = True


def run(fetch: Fetch, urls: list[str], procs: int, conc: int) -> Iterator[tuple[bool, float]]:  # noqa: ARG001
    """Whether each page was good, and its time in ms."""
    with ThreadPoolExecutor(max_workers=conc) as pool:
        yield from pool.map(fetch, urls)
