"""Records that lie in no file of ours: where other machines fetched, the archive is in their depot.

A row says which by the name of its WARC file: one with a slash is the depot's, any other a file of `DIR/warc`.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

from crawler.depot import open_depot
from crawler.depot.base import Depot
from crawler.errors import NotRecordedError
from crawler.store.database import open_reading, read_meta


def is_elsewhere(file: str) -> bool:
    """Whether a row's `warc_file` is the name of an object in the depot."""
    return "/" in file


@functools.lru_cache(maxsize=64)
def depot_of(folder: Path) -> Depot:
    """The depot of the crawl in a folder; raises FolderError, ConfigError, and NotRecordedError where it has none."""
    with contextlib.closing(open_reading(folder / "crawl.db")) as connection:
        where = read_meta(connection).get("depot")
    if where is None:
        raise NotRecordedError(f"{folder} does not say where the pages of other machines are.")
    return open_depot(where)


def read_at(archive: Path, file: str, offset: int, length: int) -> bytes:
    """So many bytes of a WARC file of the crawl whose own ones are in `archive`; raises OSError and CrawlerError."""
    if is_elsewhere(file):
        return depot_of(archive.parent).read(file, offset, length)
    descriptor = os.open(archive / file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)
