"""The set of requests seen so far: 64-bit fingerprints in sorted runs, merged like an LSM tree."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SPILL = 8_192
"""Fingerprints that are kept in a dict before they become a run."""


def fingerprint(key: bytes, method: str, href: str, body: bytes = b"") -> int:
    """The 64-bit fingerprint of a request, by BLAKE2b with a `key` of up to 64 bytes (RFC 7693).

    `href` is normalised. The key keeps a list's author from making two URLs that collide.
    """
    # Neither a method nor a normalised URL holds a space, so no two requests give the same bytes.
    hashed = _keyed(key).copy()
    hashed.update(f"{method} {href} ".encode() + body)
    return int.from_bytes(hashed.digest(), "little")


@functools.lru_cache(maxsize=8)
def _keyed(key: bytes) -> hashlib.blake2b:
    """A hash that has taken in its key and nothing else: to copy it takes less time than to begin another one."""
    return hashlib.blake2b(digest_size=8, key=key)


class _Run(NamedTuple):
    """Fingerprints in ascending order, and for each the seq of the entry that had it first."""

    hashes: npt.NDArray[np.uint64]
    seqs: npt.NDArray[np.unsignedinteger[Any]]


class Seen:
    """The fingerprints that were admitted, each with the seq of its first entry; 12 bytes an entry at length.

    (16 bytes where a seq is over 2³².) numpy is imported when the first run is made: a short list never pays.
    """

    def __init__(self, key: bytes, spill: int = SPILL) -> None:
        self._key = key
        self._spill = spill
        self._recent: dict[int, int] = {}
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return len(self._recent) + sum(len(run.hashes) for run in self._runs)

    @property
    def nbytes(self) -> int:
        """Bytes that the runs take; the dict of at most `spill` recent ones and one batch is not in it."""
        return sum(run.hashes.nbytes + run.seqs.nbytes for run in self._runs)

    def fingerprint(self, method: str, href: str, body: bytes = b"") -> int:
        """The fingerprint of a request under this set's key."""
        return fingerprint(self._key, method, href, body)

    def admit(self, fingerprints: Sequence[int], seqs: Sequence[int]) -> list[int]:
        """For each fingerprint 0 when it is new, else the seq that had it first, this batch included.

        `seqs` are the entries' ordinals, from 1. An entry that is admitted again is no twin of itself: 0.
        """
        firsts = self._look_up(fingerprints)
        for index, (hashed, seq) in enumerate(zip(fingerprints, seqs, strict=True)):
            first = firsts[index] or self._recent.setdefault(hashed, seq)
            firsts[index] = 0 if first == seq else first
        if len(self._recent) >= self._spill:
            self._spill_recent()
        return firsts

    def _look_up(self, fingerprints: Sequence[int]) -> list[int]:
        """For each fingerprint its seq in the runs, or 0."""
        if not self._runs:
            return [0] * len(fingerprints)
        import numpy as np

        unsorted = np.array(fingerprints, dtype=np.uint64)
        order = np.argsort(unsorted)
        wanted = unsorted[order]  # ascending, so that a long run is read from front to back
        firsts = np.zeros(len(wanted), dtype=np.uint64)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run.hashes, wanted), len(run.hashes) - 1)
            firsts[order] += np.where(run.hashes[at] == wanted, run.seqs[at], 0)  # it stands in one run at most
        found: list[int] = firsts.tolist()
        return found

    def _spill_recent(self) -> None:
        """Make a run of the recent ones; merge until each is twice as long as the next: they stay few."""
        import numpy as np

        hashes = np.fromiter(self._recent.keys(), dtype=np.uint64, count=len(self._recent))
        seqs = np.fromiter(self._recent.values(), dtype=np.uint64, count=len(self._recent))
        if int(seqs.max()) < 2**32:
            seqs = seqs.astype(np.uint32)
        self._recent = {}
        order = np.argsort(hashes)
        self._runs.append(_Run(hashes[order], seqs[order]))
        while len(self._runs) > 1 and len(self._runs[-2].hashes) < 2 * len(self._runs[-1].hashes):
            newer, older = self._runs.pop(), self._runs.pop()
            self._runs.append(_merged(older, newer))


def _merged(older: _Run, newer: _Run) -> _Run:
    import numpy as np

    at = np.searchsorted(older.hashes, newer.hashes)
    # np.insert keeps the type of what it inserts into, and would cut a longer seq.
    wide = np.promote_types(older.seqs.dtype, newer.seqs.dtype)
    seqs = older.seqs.astype(wide, copy=False)
    return _Run(np.insert(older.hashes, at, newer.hashes), np.insert(seqs, at, newer.seqs))
