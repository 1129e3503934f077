"""Where entries come from: files, standard input, the caller's own objects."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from crawler.errors import InputError
from crawler.records import Request
from crawler.sources.base import Source
from crawler.sources.cutter import Layout
from crawler.sources.files import open_files
from crawler.sources.formats import format_of
from crawler.sources.iterable import AsyncSource, IterableSource
from crawler.sources.standard_input import StandardInput

if TYPE_CHECKING:
    import asyncio

Items = Iterable[str | Request] | AsyncIterable[str | Request]
Lists = str | os.PathLike[str] | Sequence[os.PathLike[str]]
"""The path of a list, a pattern or a folder of them, `-` for standard input; several as a list of `Path`s."""
Urls = Lists | Items


def open_items(items: Items, loop: asyncio.AbstractEventLoop | None = None) -> Source:
    """The caller's own objects as a source; an asynchronous iterable is pulled on `loop` where one is given."""
    if isinstance(items, AsyncIterable):
        return AsyncSource(items, loop)
    return IterableSource(items)


def open_urls(urls: Urls, spool: Path, layout: Layout = Layout()) -> Source:  # noqa: B008 - it is frozen
    """Any list as a source; standard input is spooled to `spool`. Raises InputError."""
    paths = paths_of(urls)
    if paths == ["-"]:
        return StandardInput(spool, layout=layout)
    if paths is None:
        return open_items(cast("Items", urls))
    if "-" in paths:
        raise InputError("Standard input (-) is a list of its own; send the files through it, or name files alone.")
    return open_files(paths, layout)


def paths_of(urls: Urls) -> list[str] | None:
    """The paths that a list is named by; None where it is the caller's own objects. Raises InputError."""
    if isinstance(urls, str | os.PathLike):
        return [os.fspath(urls)]
    if not isinstance(urls, Sequence) or not urls:
        return None
    paths = [os.fspath(item) for item in urls if isinstance(item, os.PathLike)]
    if paths and len(paths) < len(urls):
        raise InputError("A list holds either paths or URLs, and not both of them.")
    if not paths:
        _refuse_names(urls)
    return paths or None


def _refuse_names(items: Sequence[object]) -> None:
    """Raise InputError where the first few strings are meant as names of files: strings are URLs."""
    for item in itertools.islice(items, 3):
        if isinstance(item, str) and format_of(item) and len(item) < 255 and Path(item).is_file():
            raise InputError(f"{item!r} is read as a URL here; to read files give their paths: [Path({item!r}), …].")
