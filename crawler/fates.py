"""What a flow must know, one attempt of it, and how an entry ended: frozen, typed, free of I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec

from crawler.addresses import AddressRule
from crawler.body import Body
from crawler.budget import Budget
from crawler.burden import Burden
from crawler.config import CrawlConfig
from crawler.exchange import NO_TIMINGS, Failure, Reply, Timings
from crawler.records import ErrorClass, FlowState, Headers, Outcome

PASSING_STATUSES = frozenset({429, 502, 503, 504})
"""Answers that may be others in a moment."""


@dataclasses.dataclass(frozen=True, slots=True)
class FlowRules:
    """What a flow must know: the settings, which hosts this worker is home of, the clock, and chance.

    Where several machines divide the hosts, an entry stays with those that are `together` with its first one. `utc`
    gives seconds since the epoch; `chance` a number in [0, 1). `passing` are the statuses that are tried again.
    """

    config: CrawlConfig
    addresses: AddressRule
    at_home: Callable[[str], bool]
    utc: Callable[[], float]
    chance: Callable[[], float]
    together: Callable[[str, str], bool] = lambda one, other: True  # noqa: ARG005 - on one machine all hosts are
    keep_decoded: bool = False
    budget: Budget = dataclasses.field(default_factory=Budget)
    burden: Burden = dataclasses.field(default_factory=Burden)
    passing: frozenset[int] = PASSING_STATUSES


class Fate(msgspec.Struct, frozen=True):
    """How one entry ended. `body` holds the answer, or the part of it that came; None where none did."""

    state: FlowState
    outcome: Outcome
    error_class: ErrorClass | None = None
    error: str | None = None
    attempts: int = 0
    started: float = 0.0
    request_headers: Headers = ()
    body: Body | None = None
    ip: str | None = None
    dns_ms: float | None = None
    timings: Timings = NO_TIMINGS


class Attempt(msgspec.Struct, frozen=True):
    """One exchange and what came of it."""

    started: float
    event: Reply | Failure
    request_headers: Headers = ()
    body: Body | None = None
    dns_ms: float | None = None

    @property
    def status(self) -> int | None:
        return self.body.status if self.body is not None else None

    @property
    def spent_s(self) -> float:
        return (self.event.timings.total_ms or 0.0) / 1000
