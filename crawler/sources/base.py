"""The one interface of all sources, and what makes an entry no URL before it is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from crawler.escape import printable
from crawler.records import Entry
from crawler.urls import CONTROL

LONGEST = 64 * 1024
"""Bytes that an entry may have, surrounding white space aside."""

_SHOWN = 2_000  # characters of a bad entry that are kept


class Mark(msgspec.Struct, frozen=True):
    """How far an input was read: `digest` is the BLAKE2b (hex) of its first `offset` bytes (of objects: entries).

    `plain` says that no request among them was more than a URL and its `extra`: what the rows keep of one. Where a
    list has several files, offset and digest are those of the last one that was begun, the `files`th, and `before` is
    the digest of all files before it.
    """

    offset: int
    digest: str
    plain: bool = True
    files: int = 1
    before: str = ""

    @property
    def place(self) -> tuple[int, int]:
        """What tells which of two marks of one list is further on."""
        return self.files, self.offset


class Source(Protocol):
    """A list of entries, read once, from front to back; a reader thread may wait in it.

    Iterating yields batches: what could be had without waiting long. `total_bytes` and `length` (entries) are
    None where nobody knows. Sources are chained by making the `next_seq` of one the `first_seq` of another.
    """

    name: str
    total_bytes: int | None
    length: int | None
    first_seq: int

    @property
    def position(self) -> int:
        """How much was read: bytes where there are `total_bytes`, else entries."""

    @property
    def next_seq(self) -> int:
        """The seq behind the last entry that was yielded."""

    def __iter__(self) -> Iterator[list[Entry]]:
        """The batches, none of them empty. Raises InputError where the input cannot be read."""

    def mark(self) -> Mark | None:
        """What was read for the batches yielded so far and no byte more; None where nobody can say."""

    def check(self, mark: Mark) -> bool:
        """Whether what was marked is known to be all that there is.

        Raises InputError, now or in iterating, where the input does not begin with what was marked.
        """


def read_entry(raw: bytes) -> tuple[str, str | None]:
    """An entry's text without surrounding white space, and None; or a printable form and what is wrong."""
    raw = raw.strip()
    if len(raw) > LONGEST:
        return show(raw), f"The entry is longer than {LONGEST:,} bytes."
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return show(raw), "The entry is not UTF-8."
    if CONTROL.search(text):
        return show(raw), "The entry holds a control character."
    return text.strip(), None


def show(raw: bytes) -> str:
    """A printable form of an entry, at most 2,000 characters long; what is not UTF-8 stands as `\\xNN`."""
    head = raw[: 4 * _SHOWN + 4]  # a character has four bytes at most
    return printable(head.decode(errors="backslashreplace"), _SHOWN)
