"""The library: fetch in bulk from a script, a notebook, or a service; no `__main__` guard needed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import threading
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from crawler import forks
from crawler.config import CrawlConfig, parse_names
from crawler.errors import ConfigError, UsageError
from crawler.executors.base import Executor
from crawler.executors.processes import make_executor
from crawler.function import load, named
from crawler.job import Summary, default_out, run_job
from crawler.page import Page
from crawler.pipeline import Pipeline
from crawler.sources import Items, Urls, open_items, paths_of
from crawler.sources.base import Source
from crawler.store.previous import previous_of


class Pool:
    """Workers that are kept warm for many calls.

    Takes the settings of `CrawlConfig` as keyword arguments; raises ConfigError. Safe to use from several threads:
    calls that run at the same time have workers of their own, which are kept for later ones.
    """

    def __init__(self, **settings: Any) -> None:
        self._config = make_config(settings)
        _refuse_layout(self._config)
        if self._config.parse is not None:
            load(self._config.parse)  # what is wrong with it is said here, not in the workers
        if (previous := previous_of(self._config)) is not None:
            previous.close()
        self._lock = threading.Lock()
        self._idle: list[Executor] = []
        self._closed = False
        forks.heed(self)
        weakref.finalize(self, _end, self._idle).atexit = False  # with this process all of them leave by themselves

    def fetch(self, urls: Items, *, ordered: bool = False) -> Generator[Page, None, None]:
        """One page for each entry of `urls`, as they come, or in their order; see `crawler.fetch`."""
        source = open_items(urls)  # what is wrong with it is said now, not at the first page
        return self._pages(source, ordered)

    async def afetch(self, urls: Items, *, ordered: bool = False) -> AsyncGenerator[Page, None]:
        """One page for each entry of `urls`, as they come, or in their order; see `crawler.afetch`."""
        batches = self._batches(open_items(urls, asyncio.get_running_loop()), ordered)
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, thread_name_prefix="crawler")
        try:
            while (batch := await loop.run_in_executor(thread, next, batches, None)) is not None:
                for page in batch:
                    yield page
        finally:
            # One thread does both, so the generator is closed after its last step, also when we were cancelled.
            await asyncio.shield(loop.run_in_executor(thread, batches.close))
            thread.shutdown(wait=False)

    def close(self) -> None:
        """End the workers that are kept. A call that still runs ends its own when it is done."""
        with self._lock:
            self._closed = True
            idle = self._idle[:]
            self._idle.clear()
        _end(idle)

    async def aclose(self) -> None:
        """`close`, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pages(self, source: Source, ordered: bool) -> Generator[Page, None, None]:
        with contextlib.closing(self._batches(source, ordered)) as batches:
            for batch in batches:
                yield from batch

    def _batches(self, source: Source, ordered: bool) -> Generator[list[Page], None, None]:
        executor, whole = self._lease(), False
        try:
            pipeline = Pipeline(source, executor, self._config, secrets.token_bytes(16), ordered=ordered)
            with contextlib.closing(pipeline.run()) as results:
                for batch in results:
                    yield [Page(result.row, result.headers, result.payload) for result in batch]
            whole = True
        finally:
            self._give_back(executor, whole=whole)

    def _lease(self) -> Executor:
        with self._lock:
            if self._closed:
                raise UsageError("This pool is closed; make a new one.")
            return self._idle.pop() if self._idle else make_executor(self._config, keep="page")

    def _give_back(self, executor: Executor, *, whole: bool) -> None:
        """Keep an executor whose call came to its end; one that was left early still works for nobody: end it."""
        with self._lock:
            if whole and not self._closed:
                self._idle.append(executor)
                return
        executor.close()

    def forked(self) -> None:
        """In a process that is forked off, begin with nothing: the workers are those of the other one."""
        self._lock = threading.Lock()
        self._idle.clear()


def _end(idle: list[Executor]) -> None:
    """End the workers that nobody uses."""
    while idle:
        idle.pop().close()


def fetch(urls: Items, *, ordered: bool = False, **settings: Any) -> Generator[Page, None, None]:
    """Fetch URLs in bulk: one page for each entry, denied and invalid ones included, in the order they come.

    `urls` is any iterable or async iterable of strings or `Request`s, also an endless one or one that waits for
    earlier pages (it is read in a thread of its own). Pages come lazily: a slow loop body slows the crawl down, and
    leaving the loop ends the workers. `ordered` gives the pages in the order of the list; the crawl then runs ahead of
    the oldest open page by a bounded number of entries. `settings` are those of `CrawlConfig`.

    Raises ConfigError and InputError at once, WorkerError and whatever `urls` raises from the loop.
    """
    pool = Pool(**settings)
    pages = pool.fetch(urls, ordered=ordered)
    return _closing(pool, pages)


async def afetch(urls: Items, *, ordered: bool = False, **settings: Any) -> AsyncGenerator[Page, None]:
    """`fetch` for an event loop: `async for page in afetch(urls)`. An async iterable is read in the caller's loop."""
    pool = Pool(**settings)
    try:
        async with contextlib.aclosing(pool.afetch(urls, ordered=ordered)) as pages:
            async for page in pages:
                yield page
    finally:
        await pool.aclose()


def crawl(urls: Urls, out: str | Path | None = None, *, restart: bool = False, **settings: Any) -> Summary:
    """Crawl a list into the folder `out`, or go on with the crawl that is there: `crawl run` as a call.

    `urls` is the path of a list, a pattern or a folder of them, several as a list of `pathlib.Path`s, `-` for standard
    input, or an iterable as for `fetch`. Raises UsageError before
    anything is fetched and RunError when the run itself fails.
    """
    config = make_config(settings)
    if paths_of(urls) is None:
        _refuse_layout(config)
    return run_job(urls, Path(out) if out is not None else default_out(urls), config, restart=restart)


def make_config(settings: Mapping[str, Any]) -> CrawlConfig:
    """A configuration from keyword arguments; raises ConfigError for what is no setting, or no value of one."""
    known = {field.name for field in dataclasses.fields(CrawlConfig)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise ConfigError(f"There is no setting {unknown[0]!r}; there are {', '.join(sorted(known))}.")
    values: dict[str, Any] = {}
    for name, value in settings.items():
        items = value.items() if isinstance(value, Mapping) else value
        values[name] = tuple(items) if isinstance(value, Mapping | list) else value
    if isinstance(carry := values.get("carry"), str):
        values["carry"] = parse_names(carry)
    if callable(function := values.get("parse")):
        values["parse"] = named(function)
    if isinstance(values.get("previous"), os.PathLike):
        values["previous"] = os.fspath(values["previous"])
    try:
        return msgspec.convert(values, CrawlConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"A setting is of the wrong kind: {error}.") from error


def _refuse_layout(config: CrawlConfig) -> None:
    """Raise ConfigError where columns of a list are named, and there is none: objects say all for themselves."""
    defaults = CrawlConfig()
    for name in ("format", "column", "carry"):
        if getattr(config, name) != getattr(defaults, name):
            raise ConfigError(f"{name} is for lists in files; give a Request with an extra of its own instead.")


def _closing(pool: Pool, pages: Generator[Page, None, None]) -> Generator[Page, None, None]:
    with pool, contextlib.closing(pages):
        yield from pages
