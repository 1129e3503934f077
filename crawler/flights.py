"""Which entries a worker has in flight, where its parent can read it also when the worker is suddenly gone.

A few kilobytes of memory that two processes share: one number a place, written when an exchange begins, erased when
its result is encoded. Whatever kills the worker, what it was doing at that moment stands there.
"""

from __future__ import annotations

import mmap
import os
import struct

from crawler.descriptors import above_standard

_SEQ = struct.Struct("<q")


def make_record(places: int) -> int:
    """A descriptor of shared memory for so many places; the caller closes it."""
    descriptor = above_standard(os.memfd_create("flights"))
    os.ftruncate(descriptor, places * _SEQ.size)
    return descriptor


def read_record(descriptor: int) -> set[int]:
    """The seqs that were in flight when they were last heard of."""
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return {seq for (seq,) in _SEQ.iter_unpack(data)} - {0}


class Flights:
    """A worker's own side of the record: `begin` and `end` an exchange of an entry. Closes nothing."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, 0)
        self._free = list(range(0, len(self._memory), _SEQ.size))
        self._taken: dict[int, int] = {}

    def begin(self, seq: int) -> None:
        """An exchange of this entry begins. Where all places are taken it goes unrecorded."""
        if seq not in self._taken and self._free:
            self._taken[seq] = place = self._free.pop()
            _SEQ.pack_into(self._memory, place, seq)

    def end(self, seq: int) -> None:
        """Nothing that could still kill us happens with this entry."""
        place = self._taken.pop(seq, None)
        if place is not None:
            _SEQ.pack_into(self._memory, place, 0)
            self._free.append(place)
