"""Results in the order of the list: held until all before them are out, in bounded memory."""

from __future__ import annotations

import tempfile
from typing import IO

import msgspec

from crawler.records import Result

_MEMORY_BYTES = 64 * 1024**2


class InOrder:
    """Holds results that came too early. `released` counts those that were given out.

    Payloads beyond `memory_bytes` wait in a temporary file, so that neither the memory grows nor a later page's
    bytes can stand in the way of the one that everybody waits for.
    """

    def __init__(self, memory_bytes: int = _MEMORY_BYTES) -> None:
        self.released = 0
        self._memory_bytes = memory_bytes
        self._held: dict[int, Result] = {}
        self._spilled: dict[int, tuple[int, int]] = {}  # seq → offset and length in the file
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def add(self, results: list[Result]) -> list[Result]:
        """Take in results, in any order; give out those whose turn it is."""
        for result in results:
            self._hold(result)
        due: list[Result] = []
        while self.released + 1 in self._held:
            self.released += 1
            due.append(self._give(self.released))
        if self._file is not None and not self._spilled:
            self._file.seek(0)
            self._file.truncate()
        return due

    def close(self) -> None:
        """Forget what is held."""
        if self._file is not None:
            self._file.close()

    def _hold(self, result: Result) -> None:
        seq, size = result.row.seq, len(result.payload)
        next_one = seq == self.released + 1
        if size and not next_one and self._bytes + size > self._memory_bytes:
            self._spilled[seq] = (self._spill(result.payload), size)
            result = msgspec.structs.replace(result, payload=b"")
        self._bytes += len(result.payload)
        self._held[seq] = result

    def _give(self, seq: int) -> Result:
        result = self._held.pop(seq)
        self._bytes -= len(result.payload)
        if seq not in self._spilled:
            return result
        assert self._file is not None
        offset, size = self._spilled.pop(seq)
        self._file.seek(offset)
        return msgspec.structs.replace(result, payload=self._file.read(size))

    def _spill(self, payload: bytes) -> int:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="crawler-")  # noqa: SIM115 - closed by close()
        offset = self._file.seek(0, 2)
        self._file.write(payload)
        return offset
