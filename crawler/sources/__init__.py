"""Where entries come from: files, standard input, the caller's own objects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Iterable
from pathlib import Path

from crawler.records import Request
from crawler.sources.base import Source
from crawler.sources.iterable import AsyncSource, IterableSource
from crawler.sources.standard_input import StandardInput
from crawler.sources.text import TextSource

Items = Iterable[str | Request] | AsyncIterable[str | Request]
Urls = str | os.PathLike[str] | Items
"""The path of a list, `-` for standard input, or the caller's own objects."""


def open_items(items: Items, loop: asyncio.AbstractEventLoop | None = None) -> Source:
    """The caller's own objects as a source; an asynchronous iterable is pulled on `loop` where one is given."""
    if isinstance(items, AsyncIterable):
        return AsyncSource(items, loop)
    return IterableSource(items)


def open_urls(urls: Urls, spool: Path) -> Source:
    """Any list as a source; standard input is spooled to `spool`. Raises InputError."""
    if isinstance(urls, str | os.PathLike):
        path = os.fspath(urls)
        return StandardInput(spool) if path == "-" else TextSource(path)
    return open_items(urls)
