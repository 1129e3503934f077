"""How many entries each host has: exact, in 12 bytes a host, whatever their number."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SPILL = 100_000
"""Hosts whose names are kept until they become numbers."""

_NAMED = 1_000


class Census:
    """Counts hosts. The names of the largest ones are kept, of all others a 64-bit hash and a number.

    A host is named when it is among the largest 1,000 of those seen so far at a time when it was seen, which a host
    that stands out among millions always is. numpy is imported when there are more than `spill` hosts.
    """

    def __init__(self, spill: int = SPILL) -> None:
        self._spill = spill
        self._recent: Counter[str] = Counter()
        self._named: dict[str, int] = {}
        self._hashes: npt.NDArray[np.int64] | None = None
        self._counts: npt.NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        """The number of hosts."""
        if self._hashes is None:
            return len(self._recent)
        self._merge()
        return len(self._hashes)

    def add(self, hosts: Iterable[str]) -> None:
        """Count an entry for each of these hosts."""
        self._recent.update(hosts)
        if len(self._recent) >= self._spill:
            self._merge()

    def largest(self, number: int) -> list[tuple[str, int]]:
        """The hosts with the most entries, in descending order; at most 1,000."""
        if self._hashes is None:
            return self._recent.most_common(number)
        self._merge()
        return heapq.nlargest(number, self._named.items(), key=lambda item: item[1])

    def _merge(self) -> None:
        """Let the recent ones become numbers, but for the names of the largest."""
        if not self._recent:
            return
        import numpy as np

        names = list(self._recent)
        hashes = np.fromiter(map(hash, names), np.int64, len(names))
        counts = np.fromiter(self._recent.values(), np.uint32, len(names))
        self._recent = Counter()
        order = np.argsort(hashes)
        hashes, counts = hashes[order], counts[order]
        if self._hashes is None or self._counts is None:
            self._hashes, self._counts = hashes, counts
        else:
            at = np.searchsorted(self._hashes, hashes)
            known = self._hashes[np.minimum(at, len(self._hashes) - 1)] == hashes
            self._counts[at[known]] += counts[known]
            counts[known] = self._counts[at[known]]
            self._hashes = np.insert(self._hashes, at[~known], hashes[~known])
            self._counts = np.insert(self._counts, at[~known], counts[~known])
        totals = zip((names[each] for each in order.tolist()), counts.tolist(), strict=True)
        self._named.update(totals)
        self._named = dict(heapq.nlargest(_NAMED, self._named.items(), key=lambda item: item[1]))
