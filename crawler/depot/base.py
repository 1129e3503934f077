"""The one interface of all depots: objects under names, each of them there as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol


class Depot(Protocol):
    """Objects under names such as `rows/ab12/7.warc.gz`: ASCII, without `.` and `..` as a part.

    Safe to use from several threads. Every method may raise StoreError, with the depot and what it said; what failed
    may have happened all the same, and may be done again.
    """

    url: str
    """How it was opened, without a secret: any machine with the same rights opens the same depot by it."""

    def put(self, name: str, content: bytes | Path) -> None:
        """Lay down an object, in place of one of that name; readers see all of it or nothing, also if we die."""

    def get(self, name: str) -> bytes | None:
        """All of an object; None where there is none."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """So many bytes of an object from `offset` on, fewer where it ends before; raises FileNotFoundError."""

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """The names that begin with `prefix`, which ends with a slash or is empty, and how many bytes each has."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; those that are not there are no error."""

    def abandon(self) -> None:
        """Delete what a `put` left that broke off, while no other is under way that anybody waits for."""
