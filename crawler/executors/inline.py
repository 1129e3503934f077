"""Workers as threads of this process, over the same pipes: for tests, debuggers, and engines that are scripted."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from crawler.executors.pipes import Child, PipeExecutor
from crawler.wire import Settings

Serve = Callable[[int, int], None]
"""Being the child: what `crawler.worker.serve` does with a worker's two pipe ends."""


class _Thread:
    """A worker in a thread; it ends when its pipes do."""

    def __init__(self, target: Callable[[], None], worker: int) -> None:
        self._thread = threading.Thread(target=target, name=f"worker-{worker}", daemon=True)
        self._thread.start()

    def end(self, within_s: float) -> None:  # noqa: ARG002 - a thread cannot be ended
        """Wait for it."""
        self._thread.join()

    def let_be(self) -> None:
        """Nothing of it is here: threads do not go through a fork."""

    def in_flight(self) -> set[int]:
        """None: a thread does not die of what it does."""
        return set()

    def cause(self) -> str:
        """Why it is gone: a fault that its thread printed."""
        return "stopped"


class InlineExecutor(PipeExecutor):
    """Runs each worker as a thread that calls `serve(read_fd, write_fd)`."""

    def __init__(self, workers: int, settings: Settings, serve: Serve) -> None:
        super().__init__(workers, settings, silence_s=math.inf)  # one that is stuck could not be ended
        self._serve = serve

    def _start_child(self, worker: int, read_fd: int, write_fd: int) -> Child:
        return _Thread(lambda: self._serve(read_fd, write_fd), worker)
