"""How many exchanges at once go to one address: thousands of names can sit on one machine. No I/O, no clock."""

from __future__ import annotations

import dataclasses
import heapq
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclasses.dataclass(slots=True)
class _Machine(Generic[Item]):
    """One address: how many exchanges it has, and what waits for a place."""

    active: int = 0
    queue: deque[Item] = dataclasses.field(default_factory=deque)


class Machines(Generic[Item]):
    """At most `most` items at one address at once (0: no limit), first come, first served."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._machines: dict[str, _Machine[Item]] = {}

    def enter(self, address: str, item: Item) -> bool:
        """Take a place at `address`; False where the item has to wait until a `leave` hands it one."""
        if not self._most:
            return True
        machine = self._machines.get(address)
        if machine is None:
            machine = self._machines[address] = _Machine()
        if machine.active >= self._most:
            machine.queue.append(item)
            return False
        machine.active += 1
        return True

    def leave(self, address: str) -> Item | None:
        """Give back a place; the item that has it now, None where nobody waited."""
        machine = self._machines.get(address)
        if machine is None:
            return None
        if machine.queue:
            return machine.queue.popleft()
        machine.active -= 1
        if not machine.active:
            del self._machines[address]
        return None

    def forget(self) -> list[Item]:
        """Give up all that waits, and return it."""
        items = [item for machine in self._machines.values() for item in machine.queue]
        for machine in self._machines.values():
            machine.queue.clear()
        return items

    def waiting(self, most: int) -> list[tuple[str, int]]:
        """The addresses that most items wait for, and how many."""
        queued = ((len(machine.queue), address) for address, machine in self._machines.items() if machine.queue)
        return [(address, count) for count, address in heapq.nlargest(most, queued)]
