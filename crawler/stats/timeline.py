"""Pages and bytes over time, in slots of one width."""

from __future__ import annotations

import msgspec

_SLOTS = 60
_WIDTHS_MS = (
    *(100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000),
    *(minutes * 60_000 for minutes in (2, 5, 10, 15, 30, 60, 120, 180, 360, 720)),
)
_DAY_MS = 86_400_000


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """What was fetched in one slot: pages, those of them with a 2xx status, bytes over the wire."""

    pages: int = 0
    ok: int = 0
    bytes_wire: int = 0


class Timeline(msgspec.Struct, frozen=True):
    """Slots of `width_s` seconds, the first of which begins at `start` (seconds since the epoch)."""

    start: float
    width_s: float
    slots: list[Slot]


def slot_ms(first_ms: int, last_ms: int) -> int:
    """The width of slots, in milliseconds and in a measure that people use, of which about sixty span that time."""
    span = max(last_ms - first_ms, 0) + 1
    fitting = (width for width in _WIDTHS_MS if width * _SLOTS >= span)
    return next(fitting, -(-span // (_SLOTS * _DAY_MS)) * _DAY_MS)


def timeline_of(slots: dict[int, Slot], width_ms: int) -> Timeline | None:
    """The slots by their number since the epoch, those without a page between them included.

    The width was chosen by a sample: where the rows reach far beyond it, slots are put together until all fit.
    """
    while slots and max(slots) - min(slots) >= 2 * _SLOTS:
        slots, width_ms = _halved(slots), width_ms * 2
    if not slots:
        return None
    first = min(slots)
    line = [slots.get(number, Slot()) for number in range(first, max(slots) + 1)]
    return Timeline(first * width_ms / 1000, width_ms / 1000, line)


def _halved(slots: dict[int, Slot]) -> dict[int, Slot]:
    merged: dict[int, Slot] = {}
    for number, slot in slots.items():
        merged[number // 2] = added(merged.get(number // 2, Slot()), slot)
    return merged


def added(one: Slot, other: Slot) -> Slot:
    """Both slots as one."""
    return Slot(one.pages + other.pages, one.ok + other.ok, one.bytes_wire + other.bytes_wire)
