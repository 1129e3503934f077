"""A thread beside an event loop for what takes a stranger's time: while a page is parsed, connections are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from crawler.records import Parsed
from crawler.session import Parsing

_LOOK_S = 0.001


class Aside:
    """One thread, which is started when it is first needed. One that never returns dies with its process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parser")

    async def do(self, parsing: Parsing, sent: Callable[[], bool]) -> Parsed:
        """Parse a page as soon as it is `sent`: from then on nothing that happens in here can cost it."""
        await asyncio.sleep(0)  # a turn of the loop, which writes
        while not sent():  # noqa: ASYNC110 - a transport has no event for it
            await asyncio.sleep(_LOOK_S)
        return await asyncio.get_running_loop().run_in_executor(self._thread, parsing)

    def close(self) -> None:
        """Wait for nothing."""
        self._thread.shutdown(wait=False, cancel_futures=True)
