"""What the robots.txt of each origin says: how that is found out, and for how long it is known. No I/O, no clock."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator
from typing import NamedTuple

import msgspec

from crawler import robots
from crawler.burden import Burden
from crawler.exchange import Action, Event, Failure
from crawler.fates import PASSING_STATUSES, FlowRules
from crawler.flow import fetch
from crawler.records import FlowState, RobotsReply
from crawler.robots import NO_RULES, Rules

Answer = Rules | Failure

KNOWN_S = 24 * 3600.0
"""How long rules are good (RFC 9309 §2.4), seconds."""
FAILED_S = 60.0
"""How long it stands that there was no answer."""
ORIGINS_MOST = 50_000
RULES_MOST = 200_000
"""How much is remembered: so many origins, and so many rules of all together (300 bytes each)."""

_REDIRECTS_MOST = 5  # RFC 9309 §2.3.1.2
_SERVER_ERRORS = frozenset(range(500, 600))
_LEADS_NOWHERE = frozenset({"redirect", "scheme"})  # no robots.txt stands there
_NOT_KEPT = frozenset({"local", "dns", "connect", "host_down"})  # the resolver and `Outages` know it better


def rules_for_robots(rules: FlowRules, *, trusted: bool = True) -> FlowRules:
    """How a robots.txt is fetched where pages are fetched by `rules`: the same caps on time and the same addresses.

    Every server error is tried again.
    """
    config = dataclasses.replace(
        rules.config,
        robots=False,
        header=rules.config.header if trusted else (),
        max_body=robots.LIMIT_BYTES,
        max_redirects=_REDIRECTS_MOST,
        accept_type=(),
    )
    return dataclasses.replace(
        rules,
        config=config,
        keep_decoded=True,
        burden=Burden(),  # of its own: nobody counts when its trail ends
        passing=PASSING_STATUSES | _SERVER_ERRORS,
    )


def trail_to(origin: str, host: str, seq: int) -> FlowState:
    """Where the flow of an origin's robots.txt begins.

    It belongs to no entry; `seq` is one that waits for it, and so is a suspect where it kills the worker.
    """
    target = f"{origin}/robots.txt"
    return FlowState(seq, "", 0, target, target, host)


def find_out(trail: FlowState, rules: FlowRules) -> Generator[Action, Event, RobotsReply | FlowState]:
    """Fetch a robots.txt from where its `trail` stands, by `rules_for_robots`.

    Where it redirects to a host that another worker is the home of, the trail from there on.
    """
    fate = yield from fetch(trail, rules)
    if isinstance(fate, FlowState):
        bare = [msgspec.structs.replace(hop, payload=b"", headers=(), request_headers=()) for hop in fate.hops]
        return msgspec.structs.replace(fate, hops=tuple(bare))
    if fate.body is None or fate.outcome != "fetched":
        error, tries = fate.error or "", max(fate.attempts, 1)
        return RobotsReply(error_class=fate.error_class, error=error, tries=tries, dns_ms=fate.dns_ms)
    is_file = 200 <= (fate.body.status or 0) < 300
    return RobotsReply(fate.body.status, fate.body.decoded if is_file else b"", cut=fate.body.truncated is not None)


def meaning(reply: RobotsReply, token: str) -> Answer:
    """What it means for the crawler with this product token (RFC 9309 §2.3.1)."""
    if reply.status is not None and 200 <= reply.status < 300:
        return robots.parse(reply.body, token, cut=reply.cut)
    if reply.status is not None and reply.status >= 500:
        error = f"robots.txt answered {reply.status}: until it answers otherwise, nothing may be fetched."
        return Failure("robots", error)
    if reply.error_class is None or reply.error_class in _LEADS_NOWHERE:
        return NO_RULES
    error = f"robots.txt could not be fetched: {reply.error}"
    return Failure(reply.error_class, error, sent=False, tries=reply.tries, dns_ms=reply.dns_ms)


class _Known(NamedTuple):
    until: float
    answer: Answer


class Permits:
    """The answers that are still good, by origin; the least recently used are dropped first."""

    def __init__(self, origins: int = ORIGINS_MOST, rules: int = RULES_MOST) -> None:
        self._origins = origins
        self._rules = rules
        self._known: dict[str, _Known] = {}  # in the order of use
        self._count = 0

    def get(self, origin: str, now: float) -> Answer | None:
        """What is known of an origin; None where its robots.txt must be fetched (again)."""
        known = self._known.pop(origin, None)
        if known is None:
            return None
        if known.until <= now:
            self._count -= _count(known.answer)
            return None
        self._known[origin] = known
        return known.answer

    def put(self, origin: str, answer: Answer, now: float) -> None:
        """Remember an answer, the last one however large it is; but not what others keep, or what is nobody's doing."""
        if isinstance(answer, Failure) and answer.error_class in _NOT_KEPT:
            return
        self.get(origin, math.inf)
        self._known[origin] = _Known(now + (FAILED_S if isinstance(answer, Failure) else KNOWN_S), answer)
        self._count += _count(answer)
        while len(self._known) > self._origins or (self._count > self._rules and len(self._known) > 1):
            self._count -= _count(self._known.pop(next(iter(self._known))).answer)


def _count(answer: Answer) -> int:
    return answer.count if isinstance(answer, Rules) else 0
