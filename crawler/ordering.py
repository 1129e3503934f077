"""Results in the order of the list: held until all before them are out, in bounded memory."""

from __future__ import annotations

import msgspec

from crawler.records import Result

_MEMORY_BYTES = 64 * 1024**2
_FILE_BYTES = 64 * 1024**2


class _Spill:
    """A temporary file of payloads, each of which is taken once; it is closed by `close`."""

    def __init__(self) -> None:
        import tempfile  # an unordered crawl never needs it

        self._file = tempfile.TemporaryFile(prefix="crawler-")  # noqa: SIM115 - closed by close()
        self.length = 0
        self.live = 0

    def put(self, payload: bytes) -> int:
        """Append a payload; returns its offset."""
        offset = self._file.seek(self.length)
        self._file.write(payload)
        self.length += len(payload)
        self.live += 1
        return offset

    def take(self, offset: int, size: int) -> bytes:
        """A payload, which nobody asks for again."""
        self.live -= 1
        self._file.seek(offset)
        return self._file.read(size)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


class InOrder:
    """Holds results that came too early. `released` counts those that were given out.

    Payloads beyond `memory_bytes` wait in temporary files of about `file_bytes`, so that neither the memory grows nor
    a later page's bytes can stand in the way of the one that everybody waits for. A file goes with its last payload.
    """

    def __init__(self, memory_bytes: int = _MEMORY_BYTES, file_bytes: int = _FILE_BYTES) -> None:
        self.released = 0
        self._memory_bytes = memory_bytes
        self._file_bytes = file_bytes
        self._held: dict[int, Result] = {}
        self._spilled: dict[int, tuple[_Spill, int, int]] = {}  # seq → file, offset and length
        self._bytes = 0
        self._files: list[_Spill] = []  # the last one is written to

    def add(self, results: list[Result]) -> list[Result]:
        """Take in results, in any order; give out those whose turn it is."""
        for result in results:
            self._hold(result)
        due: list[Result] = []
        while self.released + 1 in self._held:
            self.released += 1
            due.append(self._give(self.released))
        return due

    def close(self) -> None:
        """Forget what is held."""
        for file in self._files:
            file.close()

    def _hold(self, result: Result) -> None:
        seq, size = result.row.seq, len(result.payload)
        next_one = seq == self.released + 1
        if size and not next_one and self._bytes + size > self._memory_bytes:
            file = self._roomy_file()
            self._spilled[seq] = (file, file.put(result.payload), size)
            result = msgspec.structs.replace(result, payload=b"")
        self._bytes += len(result.payload)
        self._held[seq] = result

    def _give(self, seq: int) -> Result:
        result = self._held.pop(seq)
        self._bytes -= len(result.payload)
        if seq not in self._spilled:
            return result
        file, offset, size = self._spilled.pop(seq)
        payload = file.take(offset, size)
        if not file.live:
            self._files.remove(file)
            file.close()
        return msgspec.structs.replace(result, payload=payload)

    def _roomy_file(self) -> _Spill:
        if not self._files or self._files[-1].length >= self._file_bytes:
            self._files.append(_Spill())
        return self._files[-1]
