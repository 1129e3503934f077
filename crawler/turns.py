"""What a frontier keeps and hands out: entries that have not begun, flows under way, errands for others."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

import msgspec

from crawler import urls
from crawler.exchange import Action, Event
from crawler.fates import Fate
from crawler.records import FlowState, RobotsReply


@dataclasses.dataclass(frozen=True, slots=True)
class Errand:
    """A robots.txt that entries wait for: that of `origin`, whose own flow stands where its `trail` says.

    `trusted` says whether header fields that are the caller's own go along: not where only a redirect leads there.
    `carrier` is the entry that brought it here, from a worker where others wait for it; None where they wait here.
    `alone` is one that follows every redirect from here, whoever is the home of its host.
    """

    origin: str
    trail: FlowState
    trusted: bool = True
    carrier: FlowState | None = None
    alone: bool = False

    @property
    def host(self) -> str:
        """The host that it would ask next."""
        return self.trail.host


class Turn(msgspec.Struct, eq=False):
    """Something for the driver to do: `action` is a `Resolve` or an `Exchange`.

    `slot` is the host slot that it holds, which it was `granted` then, `since` when the driver got it; `machine` the
    address where it has a place, or waits for one; `errand` what it does for others, where it is no entry's own.
    """

    flow: Generator[Action, Event, Fate | FlowState | RobotsReply]
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
    """Whether it is an entry, under way or not, or has one with it; an errand for others that wait here is none."""
    errand = item if isinstance(item, Errand) else getattr(item, "errand", None)
    return errand is None or errand.carrier is not None


def origin_of(item: Item) -> str:
    """The origin that it would ask next (`scheme://host[:port]`)."""
    if isinstance(item, Errand):
        return urls.origin(item.trail.target)
    return urls.origin(item.target if isinstance(item, FlowState) else getattr(item.action, "url", ""))
