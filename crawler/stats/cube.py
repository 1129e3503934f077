"""All that has few values, in one pass: outcomes, error classes, statuses, media types, and when."""

from __future__ import annotations

import sqlite3
from collections import Counter

from crawler.records import OUTCOMES, Outcome
from crawler.stats.timeline import Slot, Timeline, added, slot_ms, timeline_of
from crawler.store.database import OK

# The width of a slot is in milliseconds; `fetched_at` is ISO 8601, to the millisecond in what is written today.
_MS = "CAST(strftime('%s', fetched_at) AS INTEGER) * 1000 + CAST(substr(fetched_at, 21, 3) AS INTEGER)"
_CUBE = f"""
    SELECT outcome, error_class, status, content_type, {OK} AS ok, ({_MS}) / :width AS slot,
        count(*), total(bytes_wire), total(bytes_body), total(total_ms), count(total_ms), min(fetched_at),
        max(fetched_at)
    FROM pages GROUP BY outcome, error_class, status, content_type, ok, slot
"""  # noqa: S608 - a constant
_TYPES_SHOWN = 12
_TYPES_KEPT = 2_000  # servers invent as many as they like
_SLOTS_KEPT = 10_000
_OTHER = "other"
_UNSAID = "none said"


class Cube:
    """The sums over all rows, filled a group of them at a time."""

    def __init__(self, width_ms: int) -> None:
        self.outcomes: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        self.error_classes: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.ok = self.timed = 0
        self.bytes_wire = self.bytes_body = self.total_ms = 0.0
        self.first: str | None = None
        self.last: str | None = None
        self._types: Counter[str] = Counter()
        self._other_types = 0
        self._slots: dict[int, Slot] = {}
        self._width_ms = width_ms

    def foremost_types(self) -> dict[str, int]:
        """The media types without their parameters, most frequent first, and the rest of them as one."""
        foremost = dict(self._types.most_common(_TYPES_SHOWN))
        rest = self._types.total() - sum(foremost.values()) + self._other_types
        return foremost | ({_OTHER: rest + foremost.get(_OTHER, 0)} if rest else {})

    def timeline(self) -> Timeline | None:
        """When pages came; None while there are none."""
        return timeline_of(self._slots, self._width_ms)

    def add(
        self,
        kind: tuple[Outcome, str | None, int | None, str | None, int | None, int | None],
        count: int,
        sums: tuple[float, float, float, int],
        times: tuple[str | None, str | None],
    ) -> None:
        """Add a group of rows."""
        outcome, error_class, status, content_type, is_ok, slot = kind
        ok = count if is_ok else 0
        self.outcomes[outcome] += count
        self.ok += ok
        self.bytes_wire += sums[0]
        self.bytes_body += sums[1]
        self.total_ms += sums[2]
        self.timed += sums[3]
        if error_class is not None:
            self.error_classes[error_class] += count
        if status is not None:
            self.statuses[status] += count
            self._add_type(content_type, count)
        self._add_times(*times)
        if slot is not None:
            self._add_slot(slot, Slot(count, ok, int(sums[0])))

    def _add_type(self, content_type: str | None, count: int) -> None:
        self._types[(content_type or "").partition(";")[0].strip().lower() or _UNSAID] += count
        if len(self._types) > 2 * _TYPES_KEPT:
            kept = Counter(dict(self._types.most_common(_TYPES_KEPT)))
            self._other_types += self._types.total() - kept.total()
            self._types = kept

    def _add_slot(self, number: int, slot: Slot) -> None:
        if number in self._slots or len(self._slots) < _SLOTS_KEPT:
            self._slots[number] = added(self._slots.get(number, Slot()), slot)

    def _add_times(self, first: str | None, last: str | None) -> None:
        if first is not None and last is not None:
            self.first = min(first, self.first or first)
            self.last = max(last, self.last or last)


def read_cube(connection: sqlite3.Connection, times_ms: tuple[int, int] | None) -> Cube:
    """The cube of a crawl, with slots as wide as `times_ms` asks for, about the first and the last time there is."""
    width_ms = slot_ms(*times_ms) if times_ms is not None else 1000
    cube = Cube(width_ms)
    for group in connection.execute(_CUBE, {"width": width_ms}):
        cube.add(group[:6], group[6], group[7:11], group[11:])
    return cube
