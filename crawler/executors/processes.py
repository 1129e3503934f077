"""Workers as fresh interpreters, one a core: no fork, no `__main__` guard, nothing inherited but two pipes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from crawler.chunks import needs_homes
from crawler.config import CrawlConfig
from crawler.executors.base import Executor
from crawler.executors.child import start
from crawler.executors.pipes import SILENCE_S, Child, PipeExecutor
from crawler.executors.spare import Spare
from crawler.records import Keep
from crawler.wire import Settings


class ProcessExecutor(PipeExecutor):
    """Runs each worker as `python -P -m crawler.worker` (or what its engine needs in that place).

    The first one is the `spare`, where there is one: it was started for the same engine and as many in flight.
    """

    def __init__(
        self, workers: int, settings: Settings, silence_s: float = SILENCE_S, spare: Spare | None = None
    ) -> None:
        super().__init__(workers, settings, silence_s)
        self._spare = spare

    def _connect(self, worker: int) -> tuple[Child, int, int]:
        return (self._spare and self._spare.take()) or super()._connect(worker)

    def _start_child(self, worker: int, read_fd: int, write_fd: int) -> Child:  # noqa: ARG002
        config = self._settings.config
        return start(config.engine, config.conc, read_fd, write_fd)


def make_executor(
    config: CrawlConfig, keep: Keep, spool: Path | None = None, spare: Spare | None = None, shards: int = 0
) -> Executor:
    """The executor that a configuration asks for; its workers make of each fate what `keep` says, and spool there.

    Where several machines have `shards` between them, no entry leaves the one of its host but through the parent.
    """
    homes = config.procs if needs_homes(config) else 0
    # Python passes over a Path in there, and so do we; a name that is no UTF-8 could not travel.
    paths = tuple(path for path in sys.path if isinstance(path, str) and path.encode(errors="ignore").decode() == path)
    folder = None if spool is None else os.fsencode(spool.resolve())
    return ProcessExecutor(config.procs, Settings(config, 0, homes, keep, paths, folder, shards), spare=spare)
