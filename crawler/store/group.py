"""What waits for the next commit, and when that is due."""

from __future__ import annotations

from crawler.records import Result

GROUP_SECONDS = 1.0
GROUP_BYTES = 8 * 1024**2
GROUP_ROWS = 2000


class Group:
    """Results by seq, in order of arrival; due by age, payload bytes or rows, whichever comes first."""

    def __init__(self) -> None:
        self._results: dict[int, Result] = {}
        self._bytes = 0
        self._since: float | None = None

    def add(self, result: Result) -> None:
        """Take a result, unless its seq is already waiting."""
        if result.row.seq not in self._results:
            self._results[result.row.seq] = result
            self._bytes += len(result.payload)

    def due(self, now: float) -> bool:
        """Whether the group is old, heavy or long enough, at `now` in seconds."""
        if not self._results:
            return False
        if self._since is None:
            self._since = now
        age = now - self._since
        return age >= GROUP_SECONDS or self._bytes >= GROUP_BYTES or len(self._results) >= GROUP_ROWS

    def take(self) -> dict[int, Result]:
        """The results that wait; the group is empty afterwards."""
        results, self._results = self._results, {}
        self._bytes, self._since = 0, None
        return results
