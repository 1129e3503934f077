"""Entries that were in flight when their worker died: they run again apart, so that only killers are condemned.

Counting how often an entry was near a death condemns its neighbours. Here each death splits its suspects into parts
that run one after the other, and only a part in which a worker dies again is split further, down to one entry that
runs alone. One at a time from the start would be as just, and hopeless where those in flight are the slow ones.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Iterable

from crawler.records import FlowState

Group = tuple[FlowState, ...]

_PARTS = 4
_DEATHS = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a death proves: nothing against those that are `free`, and perhaps the guilt of one.

    The `killer` was in flight in `deaths` workers when they died, in the last two of them alone.
    """

    free: Group
    killer: FlowState | None = None
    deaths: int = 0


class Quarantine:
    """The suspects of each worker. A worker with suspects gets nothing else until they are through, group by group."""

    def __init__(self) -> None:
        self._groups: dict[int, deque[Group]] = {}
        self._running: dict[int, set[int]] = {}  # the seqs of each worker's group that are not through
        self._alone: dict[int, int] = {}  # the seq that its worker got alone
        self._deaths: Counter[int] = Counter()  # by seq, of the workers in which it was in flight
        self._alone_deaths: Counter[int] = Counter()
        self.waiting = 0

    def holds(self, worker: int) -> bool:
        """Whether this worker is reserved for its suspects."""
        return worker in self._groups or worker in self._running

    def workers(self) -> list[int]:
        """The workers that have suspects to run."""
        return list(self._groups)

    def next(self, worker: int) -> Group:
        """The suspects that this worker should run now; none while some are running or where none is left."""
        if worker in self._running or worker not in self._groups:
            return ()
        groups = self._groups[worker]
        group = groups.popleft()
        if not groups:
            del self._groups[worker]
        self.waiting -= len(group)
        self._running[worker] = {state.seq for state in group}
        if len(group) == 1:
            self._alone[worker] = group[0].seq
        return group

    def cleared(self, worker: int, seqs: Iterable[int]) -> None:
        """Entries are through, however they ended."""
        if worker not in self._running:
            return
        for seq in seqs:
            self._running[worker].discard(seq)
            self._forget(seq)
        if not self._running[worker]:
            self._leave(worker)

    def died(self, worker: int, suspects: Iterable[FlowState], others: Iterable[FlowState]) -> Verdict:
        """A worker died with these in flight, while the others waited in it.

        An entry is condemned when it has killed twice while it was alone: once may be somebody else's doing, an
        operator's, or the kernel's that was out of memory.
        """
        suspects, others = tuple(suspects), tuple(others)
        apart, alone = worker in self._running, self._alone.get(worker)
        self._leave(worker)
        self._deaths.update(state.seq for state in suspects)
        if apart:
            self._put_first(worker, [others])
        free = () if apart else others
        if suspects and suspects[0].seq == alone:
            self._alone_deaths[alone] += 1
            if self._alone_deaths[alone] >= _DEATHS:
                deaths = self._deaths[alone]
                self._forget(alone)
                return Verdict(free, suspects[0], deaths)
        self._put_first(worker, _parts(suspects))
        return Verdict(free)

    def _put_first(self, worker: int, groups: Iterable[Group]) -> None:
        filled = [group for group in groups if group]
        if filled:
            self._groups.setdefault(worker, deque()).extendleft(reversed(filled))
            self.waiting += sum(map(len, filled))

    def _leave(self, worker: int) -> None:
        self._running.pop(worker, None)
        self._alone.pop(worker, None)

    def _forget(self, seq: int) -> None:
        self._deaths.pop(seq, None)
        self._alone_deaths.pop(seq, None)


def _parts(states: Group) -> list[Group]:
    """Cut into parts of the same size, or one less; each is smaller than the whole, unless that is one entry."""
    size = -(-len(states) // _PARTS)
    return [states[at : at + size] for at in range(0, len(states), size)] if states else []
