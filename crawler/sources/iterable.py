"""URLs from the caller's own objects: a list, a generator, an asynchronous one."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import reprlib
from collections.abc import AsyncIterable, Callable, Collection, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from crawler.errors import InputError
from crawler.headers import TOKEN
from crawler.records import Entry, Request
from crawler.sources.base import Mark, read_entry, show

if TYPE_CHECKING:
    import asyncio

_BATCH = 1_000
_END = object()
_encode = msgspec.msgpack.Encoder().encode
_Step = Coroutine[Any, Any, object]


class _ItemSource:
    """What the two sources of objects share: items are numbered, checked and made entries."""

    total_bytes: int | None = None
    length: int | None = None

    def __init__(self, name: str, first_seq: int) -> None:
        self.name = name
        self.first_seq = first_seq
        self.position = 0
        self._hash = hashlib.blake2b()
        self._plain = True
        self._expected: Mark | None = None

    @property
    def next_seq(self) -> int:
        """The seq behind the last entry that was yielded."""
        return self.first_seq + self.position

    def mark(self) -> Mark | None:
        """The requests of the entries that were yielded, their `extra` aside; here `offset` counts entries."""
        return Mark(self.position, self._hash.hexdigest(), self._plain)

    def check(self, mark: Mark) -> bool:
        """Objects can be read only once: iterating raises InputError where they differ from what was marked."""
        self._expected = mark if mark.offset else None
        return False

    def _entries(self, items: Iterable[object]) -> list[Entry]:
        entries: list[Entry] = []
        for item in items:
            request, problem = read_request(item)
            seq = self.next_seq
            self.position += 1
            self._hash.update(_encode((request.url, request.method, request.headers, request.body)))
            self._plain &= problem is not None or is_plain(request)
            self._compare(ended=False)
            entries.append(Entry(seq, self.name, self.position, request, problem))
        return entries

    def _compare(self, *, ended: bool) -> None:
        """Raise InputError where these are not the objects that a crawl began with."""
        expected = self._expected
        if expected is None or (self.position < expected.offset and not ended):
            return
        self._expected = None
        if self.mark() != expected:
            raise InputError(
                f"{self.name} differs from the {expected.offset:,} entries that this crawl began with; "
                "only add some at its end, or begin a new crawl (--restart)."
            )


class IterableSource(_ItemSource):
    """URLs or Requests from any iterable; `source_line` is the ordinal, `position` counts entries.

    A collection comes in batches; anything else may wait for its next item, so each comes alone. What is
    neither a string nor a Request is an entry with a problem. Raises InputError for a lone string, TypeError
    for what cannot be iterated over, and what the iterable raises.
    """

    def __init__(self, items: Iterable[object], *, first_seq: int = 1, name: str | None = None) -> None:
        if isinstance(items, str | bytes | Request):
            raise InputError("One URL was given where a list of them is expected; write [url].")
        waits = not isinstance(items, Collection)
        super().__init__(name or ("<iterable>" if waits else f"<{type(items).__name__}>"), first_seq)
        if isinstance(items, Collection):
            self.length = len(items)
        self._batch = 1 if waits else _BATCH
        self._items = iter(items)

    def __iter__(self) -> Iterator[list[Entry]]:
        while batch := list(itertools.islice(self._items, self._batch)):
            yield self._entries(batch)
        self._compare(ended=True)


class AsyncSource(_ItemSource):
    """URLs or Requests from an asynchronous iterable, one at a time, for a reader thread.

    They are pulled on `loop`, which runs in another thread; without one this source runs a loop of its own.
    """

    def __init__(
        self,
        items: AsyncIterable[object],
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        first_seq: int = 1,
        name: str = "<async iterable>",
    ) -> None:
        super().__init__(name, first_seq)
        self._items = aiter(items)
        self._loop = loop
        self._pending: asyncio.Task[object] | None = None
        self._closed = False

    def __iter__(self) -> Iterator[list[Entry]]:
        import asyncio  # a list in a file does not pay for it

        if (loop := self._loop) is not None:
            yield from self._pulled(lambda step: asyncio.run_coroutine_threadsafe(step, loop).result())
            return
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            yield from self._pulled(runner.run)

    def close(self) -> None:
        """Pull no more, from any thread: what waits for its next item is cancelled, and the iterable is closed.

        That is done in its loop, and not waited for.
        """
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the iterable with it
                self._loop.call_soon_threadsafe(self._give_up)

    def _give_up(self) -> None:
        self._closed = True
        if self._pending is not None:
            self._pending.cancel()
        elif self._loop is not None:
            self._ending = self._loop.create_task(self._close_items())

    async def _close_items(self) -> None:
        close = getattr(self._items, "aclose", None)  # generators have it, other iterators need not
        if close is not None:
            with contextlib.suppress(Exception):  # nobody is there to hear of it
                await close()

    async def _next(self) -> object:
        import asyncio

        if self._closed:
            return _END
        self._pending = asyncio.current_task()
        try:
            return await anext(self._items, _END)
        finally:
            self._pending = None

    def _pulled(self, run: Callable[[_Step], object]) -> Iterator[list[Entry]]:
        while (item := run(self._next())) is not _END:
            yield self._entries([item])
        self._compare(ended=True)


def read_request(item: object) -> tuple[Request, str | None]:
    """The request that an object stands for, and what makes it none."""
    if isinstance(item, str):
        url, problem = read_entry(item.encode(errors="surrogatepass"))
        return Request(url), problem
    if not isinstance(item, Request):
        return Request(_shown(item)), f"An entry is a string or a Request, and not {type(item).__name__}."
    try:
        # Bytes are bytes: else a text would be taken for base64.
        item = msgspec.convert(msgspec.structs.asdict(item), Request, builtin_types=(bytes, bytearray, memoryview))
        # As JSON has it: a datetime or NaN would pass the pipe and then find no place in the row.
        item = msgspec.structs.replace(item, extra=msgspec.json.decode(msgspec.json.encode(item.extra)))
        msgspec.msgpack.encode(item)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        return Request(_shown(item.url)), f"The Request cannot be sent: {error}."
    url, problem = read_entry(item.url.encode(errors="surrogatepass"))
    if not TOKEN.fullmatch(item.method):
        problem = problem or "The Request cannot be sent: its method is no token (RFC 9110 §5.6.2)."
    return (item if url == item.url else msgspec.structs.replace(item, url=url)), problem


def is_plain(request: Request) -> bool:
    """Whether a request is no more than a URL and its `extra`: what the row keeps of one."""
    return (request.method, request.headers, request.body) == ("GET", {}, b"")


def _shown(item: object) -> str:
    text = item if isinstance(item, str) else _REPR.repr(item)
    return show(text.encode(errors="surrogatepass"))


_REPR = reprlib.Repr()
_REPR.maxother = _REPR.maxstring = 2_000
