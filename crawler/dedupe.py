"""The set of requests seen so far: 64-bit fingerprints in sorted runs, merged like an LSM tree."""

from __future__ import annotations

import functools
import hashlib
import importlib
import itertools
import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SPILL = 1 << 16
"""Fingerprints that are kept in a dict before they become runs; they take less memory than numpy itself."""

_SHARD_BITS = 4
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"


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

    (16 bytes where a seq is over 2³².) They lie in 16 shards by their highest bits, so that a merge needs room for a
    sixteenth of them twice. numpy is imported when the first runs are made: a short list never pays.
    """

    def __init__(self, key: bytes, spill: int = SPILL) -> None:
        self._key = key
        self._spill = spill
        self._recent: dict[int, int] = {}
        self._shards: list[list[_Run]] = []  # there are none before the first spill

    def __len__(self) -> int:
        return len(self._recent) + sum(len(run.hashes) for runs in self._shards for run in runs)

    @property
    def nbytes(self) -> int:
        """Bytes that the runs take; the dict of at most `spill` recent ones and one batch is not in it."""
        return sum(run.hashes.nbytes + run.seqs.nbytes for runs in self._shards for run in runs)

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
        if not self._shards:
            return [0] * len(fingerprints)
        import numpy as np

        unsorted = np.array(fingerprints, dtype=np.uint64)
        order = np.argsort(unsorted)
        wanted = unsorted[order]  # ascending, so that a long run is read from front to back
        found = np.zeros(len(wanted), dtype=np.uint64)
        for runs, part in zip(self._shards, _parts(wanted), strict=True):
            for run in runs:
                at = np.minimum(np.searchsorted(run.hashes, wanted[part]), len(run.hashes) - 1)
                found[part] += np.where(run.hashes[at] == wanted[part], run.seqs[at], 0)  # it stands in one at most
        firsts = np.empty_like(found)
        firsts[order] = found
        in_order: list[int] = firsts.tolist()
        return in_order

    def _spill_recent(self) -> None:
        """Make runs of the recent ones; merge until each is twice as long as the next: they stay few."""
        _import_numpy()
        import numpy as np

        hashes = np.fromiter(self._recent.keys(), dtype=np.uint64, count=len(self._recent))
        seqs = np.fromiter(self._recent.values(), dtype=np.uint64, count=len(self._recent))
        if int(seqs.max()) < 2**32:
            seqs = seqs.astype(np.uint32)
        self._recent = {}
        order = np.argsort(hashes)
        hashes, seqs = hashes[order], seqs[order]
        self._shards = self._shards or [[] for _ in range(1 << _SHARD_BITS)]
        for runs, part in zip(self._shards, _parts(hashes), strict=True):
            if part.start < part.stop:
                runs.append(_Run(hashes[part].copy(), seqs[part].copy()))  # a view would hold the others' memory
                _merge(runs)


def _parts(ascending: npt.NDArray[np.uint64]) -> Iterator[slice]:
    """Where each shard's fingerprints stand."""
    import numpy as np

    edges = np.arange(1, 1 << _SHARD_BITS, dtype=np.uint64) << np.uint64(64 - _SHARD_BITS)
    bounds = [0, *np.searchsorted(ascending, edges).tolist(), len(ascending)]
    return itertools.starmap(slice, itertools.pairwise(bounds))


def _merge(runs: list[_Run]) -> None:
    while len(runs) > 1 and len(runs[-2].hashes) < 2 * len(runs[-1].hashes):
        newer, older = runs.pop(), runs.pop()
        runs.append(_merged(older, newer))


def _merged(older: _Run, newer: _Run) -> _Run:
    import numpy as np

    count = len(older.hashes) + len(newer.hashes)
    at = np.searchsorted(older.hashes, newer.hashes) + np.arange(len(newer.hashes))
    rest = np.ones(count, dtype=bool)
    rest[at] = False
    hashes = _empty(count, older.hashes.dtype)
    seqs = _empty(count, np.promote_types(older.seqs.dtype, newer.seqs.dtype))
    hashes[at], hashes[rest] = newer.hashes, older.hashes
    seqs[at], seqs[rest] = newer.seqs, older.seqs
    return _Run(hashes, seqs)


def _empty(count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An array in pages of its own, which go back to the system with it: malloc would keep a heap full of holes."""
    import numpy as np

    return np.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype=dtype)


def _import_numpy() -> None:
    """Import it without the threads of its BLAS: nobody here asks them for anything, but each costs time and memory."""
    if "numpy" in sys.modules or _BLAS_THREADS in os.environ:
        return
    os.environ[_BLAS_THREADS] = "1"
    try:
        importlib.import_module("numpy")
    finally:
        del os.environ[_BLAS_THREADS]
