"""Who may go now: per-host slots, delays and push-back, on a clock that is passed in.

Pull, not push: `next(now)` answers with an item whose host has a free slot, or None, and `wake_at()` says when it
is worth asking again. A parked item is one entry in a deque: no task, no timer of its own.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from crawler.pushback import PushBack

Hold = Literal["limit", "delay", "push-back"]

Item = TypeVar("Item")

_DELAYS_MOST = 50_000  # hosts whose own delay is remembered, as many as robots.txt are


def _everything(item: object, now: float) -> bool:  # noqa: ARG001 - what `admits` is given
    return True


@dataclasses.dataclass(slots=True)
class _Slot:
    """One host: what waits for it, how many exchanges it has in flight, and when it may be asked again."""

    queue: deque[object] = dataclasses.field(default_factory=deque)
    active: int = 0
    not_before: float = 0.0
    listed: bool = False  # in `_ready` or in `_sleeping`; a host is listed at most once
    asleep: bool = False  # in `_sleeping`


class Politeness(Generic[Item]):
    """At most `per_host` items of a host at once (0: no limit), `delay` seconds between their starts.

    A host that pushes back gets fewer, and a rest (`PushBack`). `ready` is the number of items that could go now: what
    tells a worker whether it needs more work.
    """

    def __init__(self, per_host: int, delay: float) -> None:
        self._limit = per_host or math.inf
        self._delay = delay
        self._delays: dict[str, float] = {}  # of hosts that ask for one of their own, the longest known first
        self._pushback = PushBack(self._limit)
        self._slots: dict[str, _Slot] = {}
        self._ready: deque[str] = deque()
        self._ready_items = 0
        self._sleeping: list[tuple[float, str]] = []
        self.parked = 0

    @property
    def ready(self) -> int:
        """How many parked items could go now; a lower bound, cheap to ask."""
        if self._limit == math.inf and not self._delay and not self._delays:
            return self._ready_items
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
        self._ready_items += slot.listed and not slot.asleep
        self._list(host, slot)

    def forget(self) -> list[Item]:
        """Give up all that is parked, and return it."""
        items: list[Item] = []
        for slot in self._slots.values():
            items += slot.queue  # type: ignore[arg-type]
            slot.queue.clear()
        self.parked = self._ready_items = 0
        for host in self._ready:
            self._slots[host].listed = False
            self._drop_if_idle(host, self._slots[host])
        self._ready.clear()
        return items

    def next(self, now: float, admits: Callable[[Item, float], bool] = _everything) -> Item | None:
        """Take the slot of some host and its next item, hosts in turn; None where every one must wait.

        An item that `admits` takes for itself, and denies, costs its host neither slot nor delay.
        """
        while self._sleeping and self._sleeping[0][0] <= now:
            self._wake(heapq.heappop(self._sleeping)[1])
        while self._ready:
            host = self._ready.popleft()
            slot = self._slots[host]
            slot.listed = False
            self._ready_items -= len(slot.queue)
            if self._due(host, slot) > now:
                self._list(host, slot)  # also without work: its delay may have begun anew since it was listed
                self._drop_if_idle(host, slot)
            elif not slot.queue:
                self._drop_if_idle(host, slot)
            else:
                item: Item = slot.queue.popleft()  # type: ignore[assignment]
                self.parked -= 1
                admitted = admits(item, now)
                if admitted:
                    slot.active += 1
                    slot.not_before = now + self._delays.get(host, self._delay)
                self._list(host, slot)
                if admitted:
                    return item
                self._drop_if_idle(host, slot)
        return None

    def start(self, host: str, granted: float, now: float) -> bool:
        """Whether an item whose slot was `granted` then may start only now; if so its delay counts from now.

        Not if another was granted one since, or the host has pushed back: this gives its slot back and is parked again.
        """
        slot, delay = self._slots[host], self._delays.get(host, self._delay)
        if slot.not_before > granted + delay and delay:
            return False
        if self._pushback.rests_until(host) > now:
            return False
        slot.not_before = now + delay
        return True

    def slow(self, host: str, delay: float, since: float | None = None) -> None:
        """Let `delay` seconds at least lie between the starts of `host`, the next of them counted from `since`."""
        self._delays[host] = max(delay, self._delay, self._delays.pop(host, 0.0))
        if len(self._delays) > _DELAYS_MOST:
            del self._delays[next(iter(self._delays))]
        if since is not None:
            slot = self._slots.setdefault(host, _Slot())
            slot.not_before = max(slot.not_before, since + delay)
            self._list(host, slot)

    def release(self, host: str) -> None:
        """Give back a slot that `next` took: the exchange is closed."""
        slot = self._slots[host]
        slot.active -= 1
        self._list(host, slot)
        self._drop_if_idle(host, slot)

    def pushed_back(self, host: str, began: float, asked_s: float, now: float) -> bool:
        """An item of `host` that `began` then was pushed back; `asked_s` is the rest that the host asked for, or 0.

        Whether that has gone on for so long, without one good answer, that the host need not be asked again.
        """
        return self._pushback.heed(host, began, self._slots[host].active, asked_s, now)

    def answered(self, host: str, began: float) -> None:
        """An item of `host` that `began` then got a good answer."""
        self._pushback.relax(host, began)

    def wake_at(self) -> float | None:
        """When a host that only time holds back may go; None where time alone changes nothing."""
        return self._sleeping[0][0] if self._sleeping else None

    def waiting(self, most: int, now: float) -> list[tuple[str, int, Hold, float]]:
        """The hosts that most items wait for: the host, how many, what holds them, and the seconds that it rests.

        A host that could go is not waited for: whatever waits there, waits for the pool.
        """
        queued = (
            (len(slot.queue), host)
            for host, slot in self._slots.items()
            if slot.queue and (slot.asleep or not slot.listed)
        )
        return [(host, count, *self._hold(host, now)) for count, host in heapq.nlargest(most, queued)]

    def _hold(self, host: str, now: float) -> tuple[Hold, float]:
        rests_s = self._pushback.rests_until(host) - now
        if rests_s > 0:
            return "push-back", rests_s
        return "delay" if self._slots[host].active < self._pushback.places(host) else "limit", 0.0

    def _due(self, host: str, slot: _Slot) -> float:
        """When the next item of the host may start, for all that time tells.

        Infinity while all its places are taken, minus infinity where nothing but those was ever in the way.
        """
        places, rests_until = self._pushback.terms(host)
        if slot.active >= places:
            return math.inf
        delay = self._delays.get(host, self._delay)
        return max(slot.not_before, rests_until) if delay and slot.not_before else rests_until

    def _list(self, host: str, slot: _Slot) -> None:
        # With a delay, a host without work stays listed until the delay is over: it must be remembered till then.
        if slot.listed or not (slot.queue or self._delays.get(host, self._delay)):
            return
        due = self._due(host, slot)
        if due == math.inf:
            return
        slot.listed = True
        slot.asleep = due > -math.inf
        if slot.asleep:
            heapq.heappush(self._sleeping, (due, host))
        else:
            self._ready.append(host)
            self._ready_items += len(slot.queue)

    def _wake(self, host: str) -> None:
        slot = self._slots[host]
        slot.asleep = False
        self._ready.append(host)
        self._ready_items += len(slot.queue)

    def _drop_if_idle(self, host: str, slot: _Slot) -> None:
        if not (slot.queue or slot.active or slot.listed):
            del self._slots[host]
