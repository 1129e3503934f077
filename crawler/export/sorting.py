"""Lines put in order, more of them than memory holds: sorted runs in nameless files, merged at the end."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_RUN_BYTES = 64 * 1024**2
_MOST_RUNS = 64  # each is an open file


class Sorter:
    """Takes lines (with their line ends) and gives them back in the order of their bytes. A context manager.

    Runs lie in `folder`, where they vanish with the process. May raise OSError.
    """

    def __init__(self, folder: Path, run_bytes: int = _RUN_BYTES) -> None:
        self._folder = folder
        self._run_bytes = run_bytes
        self._lines: list[bytes] = []
        self._bytes = 0
        self._runs: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(self._runs)

    def add(self, line: bytes) -> None:
        """Take a line."""
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= self._run_bytes:
            self._lines.sort()
            self._spill(self._lines)

    def __iter__(self) -> Iterator[bytes]:
        """All lines in their order, one pass; none is added after it."""
        self._lines.sort()
        return heapq.merge(*self._runs, self._lines)

    def _spill(self, lines: Iterable[bytes]) -> None:
        merged = self._runs if len(self._runs) == _MOST_RUNS else []
        run = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - it is closed with the others
        self._runs = [*self._runs, run]
        run.writelines(heapq.merge(*merged, lines))
        run.seek(0)
        if merged:
            self._runs = [run]
            self._close(merged)
        self._lines, self._bytes = [], 0

    @staticmethod
    def _close(files: Iterable[IO[bytes]]) -> None:
        for file in files:
            file.close()
