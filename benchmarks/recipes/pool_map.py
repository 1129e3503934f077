"""`multiprocessing.Pool.map` and requests.

Nothing is known before all is done, and the whole list of results is in memory. A process that is killed
takes its pages with it, and the call waits for them for ever.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

from benchmarks.recipes.page import Fetch

NAME = "Pool.map"
PROCESSES = True
MANY_IN_FLIGHT = False


def run(fetch: Fetch, urls: list[str], procs: int, conc: int) -> Iterator[tuple[bool, float]]:  # noqa: ARG001
    """Whether each page was good, and its time in ms."""
    with multiprocessing.Pool(procs) as pool:
        yield from pool.map(fetch, urls)
