"""The one interface of all stores: results go in, groups of them become final together.

    add(result) … add(result) → due(now)? → commit(mark)

A row is final when the `commit` after its `add` has returned; what was added and not committed never
happened, and is fetched again. Each seq is recorded once: the first result wins, a later one is dropped with
its payload. Only a retry replaces rows, each of them once:

    retry(selection) → pending() → add(result) … → commit()

A row that waits to be replaced stands until the commit of the new one, and waits on where a run ends before that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from crawler.records import Outcome, Result, Row
from crawler.store.selection import Selection


class Store(Protocol):
    """Where a crawl is recorded. Not safe for several threads; every method may raise StoreError."""

    @property
    def key(self) -> bytes:
        """16 secret bytes that belong to this crawl from its creation on: they key the dedupe hashes."""

    @property
    def mark(self) -> Any:
        """The input mark that was committed last, as decoded JSON; None where there is none."""

    @property
    def history(self) -> str | None:
        """The history that was committed last; None where there is none."""

    @property
    def recorded(self) -> int:
        """How many rows were made final, new or in place of others, since this store was opened."""

    def done(self) -> Iterator[int]:
        """The seqs that were committed before this store was opened, ascending, in constant memory.

        Walk it in step with the input, that is, add no seq that lies beyond the last one it gave.
        """

    def retry(self, selection: Selection) -> int:
        """Let the rows that `selection` names wait to be replaced; returns how many wait.

        Where rows wait already, of an earlier run that did not come to its end: those of an equal selection are all
        that wait, those of another one wait no longer.
        """

    def pending(self) -> Iterator[Row]:
        """The rows that wait to be replaced, by seq, in constant memory; they may be replaced in between."""

    def add(self, result: Result) -> None:
        """Take one result into the group that the next commit makes final."""

    def due(self, now: float) -> bool:
        """Whether the group should be committed, `now` being in seconds of any clock that only goes on.

        A group is due by age, bytes or rows, whichever comes first; its age counts from the first call of
        `due` that finds something in it. An empty group is never due.
        """

    def commit(self, mark: Any = None, *, finished: bool = False, history: str | None = None) -> None:
        """Make the group final, together with the input `mark` (JSON) and the crawl's `history`.

        `finished` says that every entry of the input has its row. Without a mark, as where no input was read, both
        stay what they were; without a history, that does.
        """

    def counts(self) -> dict[Outcome, int]:
        """How many rows are final, for each outcome (all five are there)."""

    def close(self) -> None:
        """Let go of everything, without a commit. Closing twice is harmless."""
