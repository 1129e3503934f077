"""Fetch every URL of a list, as fast as the machine can, politely, safely, and without ever losing one.

    import crawler
    for page in crawler.fetch(urls, procs=2, conc=100): ...
    summary = crawler.crawl("urls.txt", out="out")

Names are loaded when they are first used: a worker, or `crawl --help`, does not pay for what it does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawler.api import Pool, afetch, crawl, fetch
    from crawler.config import CrawlConfig
    from crawler.errors import (
        ConfigError,
        CrawlerError,
        FolderError,
        InputError,
        NotRecordedError,
        RunError,
        StoreError,
        UsageError,
        WorkerError,
    )
    from crawler.job import Summary
    from crawler.page import Page
    from crawler.records import Request
    from crawler.results import Results
    from crawler.results import open_crawl as open  # noqa: A004 - crawler.open reads well and is the fixed name

_HOMES = {
    "crawler.api": ("Pool", "afetch", "crawl", "fetch"),
    "crawler.config": ("CrawlConfig",),
    "crawler.errors": (
        "ConfigError",
        "CrawlerError",
        "FolderError",
        "InputError",
        "NotRecordedError",
        "RunError",
        "StoreError",
        "UsageError",
        "WorkerError",
    ),
    "crawler.job": ("Summary",),
    "crawler.page": ("Page",),
    "crawler.records": ("Request",),
    "crawler.results": ("Results", "open"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ConfigError",
    "CrawlConfig",
    "CrawlerError",
    "FolderError",
    "InputError",
    "NotRecordedError",
    "Page",
    "Pool",
    "Request",
    "Results",
    "RunError",
    "StoreError",
    "Summary",
    "UsageError",
    "WorkerError",
    "afetch",
    "crawl",
    "fetch",
    "open",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'crawler' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), "open_crawl" if name == "open" else name)
    globals()[name] = value
    return value
