"""Processes of pools of gevent's greenlets and requests: what the documents recommend.

Each process has its share of the list and leaves what came of it in a file, at the end of the share: gevent and a
shared `multiprocessing.Queue` hang. A process that dies takes its share with it.
"""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gevent.pool import Pool

from benchmarks.recipes.page import Fetch

NAME = "processes of gevent pools"
PROCESSES = True
MANY_IN_FLIGHT = True


def run(fetch: Fetch, urls: list[str], procs: int, conc: int) -> Iterator[tuple[bool, float]]:
    """Whether each page was good, and its time in ms."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / str(share) for share in range(procs)]
        shares = [(fetch, urls[share::procs], conc, file) for share, file in enumerate(files)]
        workers = [multiprocessing.Process(target=_fetch_share, args=share) for share in shares]
        for worker in workers:
            worker.start()
        for worker, file in zip(workers, files, strict=True):
            worker.join()
            if file.exists():
                yield from pickle.loads(file.read_bytes())


def _fetch_share(fetch: Fetch, urls: list[str], conc: int, file: Path) -> None:
    file.write_bytes(pickle.dumps(list(Pool(conc).imap_unordered(fetch, urls))))
