"""What a frontier keeps and hands out: entries that have not begun, flows under way, errands for others."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

from crawler import urls
from crawler.exchange import Action, Event
from crawler.flow import Fate
from crawler.permits import Answer
from crawler.records import FlowState


@dataclasses.dataclass(frozen=True, slots=True)
class Errand:
    """A robots.txt that entries wait for; `seq` is the first of them."""

    origin: str
    host: str
    seq: int
    trusted: bool = True  # with the header fields that are the caller's own: not where only a redirect leads there


@dataclasses.dataclass(slots=True, eq=False)
class Turn:
    """Something for the driver to do: `action` is a `Resolve` or an `Exchange`.

    `slot` is the host slot that it holds, which it was `granted` then, `since` when the driver got it; `machine` the
    address where it has a place, or waits for one; `errand` what it does for others, where it is no entry's own.
    """

    flow: Generator[Action, Event, Fate | FlowState | Answer]
    host: str
    seq: int
    action: Action | None = None
    slot: str | None = None
    machine: str | None = None
    granted: float = 0.0
    since: float = 0.0
    errand: Errand | None = None


Item = FlowState | Turn | Errand


def is_entry(item: Item) -> bool:
    """Whether it is an entry, under way or not, rather than an errand."""
    return isinstance(item, FlowState) or (isinstance(item, Turn) and item.errand is None)


def origin_of(item: Item) -> str:
    """The origin that it would ask next (`scheme://host[:port]`)."""
    if isinstance(item, Errand):
        return item.origin
    return urls.origin(item.target if isinstance(item, FlowState) else getattr(item.action, "url", ""))
