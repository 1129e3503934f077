"""Processes of pools of gevent's greenlets and requests: what the documents recommend.

Each process has its share of the list and sends what came of it back at the end of the share: gevent and a shared
`multiprocessing.Queue` hang. A process that dies takes its share with it.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator

from gevent.pool import Pool

from benchmarks.recipes.page import Fetch

NAME = "processes of gevent pools"
PROCESSES = True
MANY_IN_FLIGHT = True


def run(fetch: Fetch, urls: list[str], procs: int, conc: int) -> Iterator[tuple[bool, float]]:
    """Whether each page was good, and its time in ms."""
    ends = [_start(fetch, urls[share::procs], conc) for share in range(procs)]
    for end in ends:
        with os.fdopen(end, "rb") as pipe:
            yield from pickle.load(pipe)
        os.wait()


def _start(fetch: Fetch, urls: list[str], conc: int) -> int:
    """A forked process with a share of the list; the pipe in which its results will be."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(list(Pool(conc).imap_unordered(fetch, urls)), pipe)
        os._exit(0)
    os.close(writing)
    return reading
