"""Who may go now: per-host slots and delays, on a clock that is passed in.

Pull, not push: `next(now)` answers with an item whose host has a free slot, or None, and `wake_at()` says when it
is worth asking again. A parked item is one entry in a deque: no task, no timer of its own.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclasses.dataclass(slots=True)
class _Slot:
    """One host: what waits for it, how many exchanges it has in flight, and when it may be asked again."""

    queue: deque[object] = dataclasses.field(default_factory=deque)
    active: int = 0
    not_before: float = 0.0
    listed: bool = False  # in `_ready` or in `_sleeping`; a host is listed at most once


class Politeness(Generic[Item]):
    """At most `per_host` items of a host at once (0: no limit), `delay` seconds between their starts.

    `ready` is the number of items that could go now: what tells a worker whether it needs more work.
    """

    def __init__(self, per_host: int, delay: float) -> None:
        self._limit = per_host or float("inf")
        self._delay = delay
        self._slots: dict[str, _Slot] = {}
        self._ready: deque[str] = deque()
        self._sleeping: list[tuple[float, str]] = []
        self.parked = 0

    @property
    def ready(self) -> int:
        """How many parked items could go now; a lower bound, cheap to ask."""
        if self._limit == float("inf") and not self._delay:
            return self.parked
        return len(self._ready)

    def park(self, host: str, item: Item, *, first: bool = False) -> None:
        """Let `item` wait for a slot of `host`; ahead of all others of that host where `first`."""
        slot = self._slots.get(host)
        if slot is None:
            slot = self._slots[host] = _Slot()
        if first:
            slot.queue.appendleft(item)
        else:
            slot.queue.append(item)
        self.parked += 1
        self._list(host, slot)

    def forget(self) -> list[Item]:
        """Give up all that is parked, and return it."""
        items: list[Item] = []
        for slot in self._slots.values():
            items += slot.queue  # type: ignore[arg-type]
            slot.queue.clear()
        self.parked = 0
        for host in self._ready:
            self._slots[host].listed = False
            self._drop_if_idle(host, self._slots[host])
        self._ready.clear()
        return items

    def next(self, now: float) -> Item | None:
        """Take the slot of some host and its next item, hosts in turn; None where every one must wait."""
        while self._sleeping and self._sleeping[0][0] <= now:
            self._ready.append(heapq.heappop(self._sleeping)[1])
        while self._ready:
            host = self._ready.popleft()
            slot = self._slots[host]
            slot.listed = False
            if not slot.queue:
                self._drop_if_idle(host, slot)
            elif slot.not_before > now:
                self._list(host, slot)
            else:
                slot.active += 1
                slot.not_before = now + self._delay
                item: Item = slot.queue.popleft()  # type: ignore[assignment]
                self.parked -= 1
                self._list(host, slot)
                return item
        return None

    def start(self, host: str, granted: float, now: float) -> bool:
        """Whether an item whose slot was `granted` then may start only now; if so its delay counts from now.

        Not if another was granted one since: that one starts, and this gives its slot back and is parked again.
        """
        slot = self._slots[host]
        if slot.not_before > granted + self._delay and self._delay:
            return False
        slot.not_before = now + self._delay
        return True

    def release(self, host: str) -> None:
        """Give back a slot that `next` took: the exchange is closed."""
        slot = self._slots[host]
        slot.active -= 1
        self._list(host, slot)
        self._drop_if_idle(host, slot)

    def wake_at(self) -> float | None:
        """When a host that only its delay holds back may go; None where time alone changes nothing."""
        return self._sleeping[0][0] if self._sleeping else None

    def waiting(self, most: int) -> list[tuple[str, int, bool]]:
        """The hosts that most items wait for: the host, how many, and whether a delay (else the limit) holds them."""
        queued = ((len(slot.queue), host) for host, slot in self._slots.items() if slot.queue)
        largest = heapq.nlargest(most, queued)
        return [(host, count, self._slots[host].active < self._limit) for count, host in largest]

    def _list(self, host: str, slot: _Slot) -> None:
        # With a delay, a host without work stays listed until the delay is over: it must be remembered till then.
        waits = bool(self._delay) and slot.active < self._limit
        if slot.listed or slot.active >= self._limit or not (slot.queue or waits):
            return
        slot.listed = True
        if self._delay and slot.not_before:
            heapq.heappush(self._sleeping, (slot.not_before, host))
        else:
            self._ready.append(host)

    def _drop_if_idle(self, host: str, slot: _Slot) -> None:
        if not (slot.queue or slot.active or slot.listed):
            del self._slots[host]
