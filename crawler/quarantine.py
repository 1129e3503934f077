"""Entries that were in flight when their worker died: each runs again alone, so that only killers are condemned.

Counting how often an entry was near a death condemns its neighbours; running it alone in a fresh worker does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from crawler.records import FlowState

_DEATHS = 2


class Quarantine:
    """The suspects of each worker. A worker with suspects gets nothing else until they are through, one at a time."""

    def __init__(self) -> None:
        self._suspects: dict[int, deque[FlowState]] = {}
        self._alone: dict[int, FlowState] = {}
        self._deaths: dict[int, int] = {}  # by seq, of those that were alone when their worker died
        self.waiting = 0

    def holds(self, worker: int) -> bool:
        """Whether this worker is reserved for its suspects."""
        return worker in self._suspects or worker in self._alone

    def add(self, worker: int, suspects: Iterable[FlowState]) -> None:
        """Suspect these."""
        queue = self._suspects.setdefault(worker, deque())
        for state in suspects:
            queue.append(state)
            self.waiting += 1
        if not queue:
            del self._suspects[worker]

    def next(self, worker: int) -> FlowState | None:
        """The suspect that this worker should run now, alone; None while one is running or none is left."""
        if worker in self._alone or worker not in self._suspects:
            return None
        queue = self._suspects[worker]
        state = self._alone[worker] = queue.popleft()
        self.waiting -= 1
        if not queue:
            del self._suspects[worker]
        return state

    def cleared(self, worker: int) -> None:
        """The one that ran alone is through, however it ended."""
        state = self._alone.pop(worker, None)
        if state is not None:
            self._deaths.pop(state.seq, None)

    def condemned(self, worker: int, suspects: Iterable[FlowState]) -> FlowState | None:
        """This worker died with these in flight: the entry that has now killed twice while it was alone, or None.

        Once may be somebody else's doing: an operator's, or the kernel's that was out of memory.
        """
        state = self._alone.pop(worker, None)
        if state is None or state not in suspects:
            return None
        deaths = self._deaths.pop(state.seq, 0) + 1
        if deaths >= _DEATHS:
            return state
        self._deaths[state.seq] = deaths
        return None

    def workers(self) -> list[int]:
        """The workers that have suspects to run."""
        return list(self._suspects)
