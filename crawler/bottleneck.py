"""What limits a run now: its kind, and one line that says what could be done about it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from crawler.units import counted

Kind = Literal[
    "starting", "machine", "disk", "parent", "cpu", "places", "dns", "list", "order", "politeness", "push-back",
    "unreachable", "address", "end", "nothing", "stopping",
]  # fmt: skip
"""What can limit a run."""

_BUSY = 0.85
_REASONS: dict[str, tuple[Kind, str]] = {
    "push-back": ("push-back", "that asked for less"),
    "no connection": ("unreachable", "that cannot be reached"),
    "address": ("address", "on one machine (--per-address)"),
}
_POLITENESS: tuple[Kind, str] = ("politeness", "(--per-host, --delay)")


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """What limits a run: of what kind it is, and the line for people."""

    kind: Kind
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Pressure:
    """Where a run pushes against something. Shares are of one core, or of the time, from 0 to 1.

    `in_flight` of `places` exchanges; `parked` entries are with a worker and may not go yet, because of `hosts` hosts;
    `unread` says that the list has not ended, `starved` that there is nothing of it to take just now. `shortage` is the
    limit of this machine that holds exchanges back; `looking_up` the hosts that DNS is asked for; `why` says what
    most of the parked entries wait for (`Waiting.why`).
    """

    workers: int
    worker_cpu: float
    parent_cpu: float
    consumer: float
    in_flight: int
    places: int
    open: int
    parked: int
    hosts: int
    window_full: bool
    unread: bool
    starved: bool
    shortage: str | None = None
    looking_up: int = 0
    why: str = "limit"


def bottleneck(now: Pressure) -> Limit:
    """The first of these that holds: this machine, disk, CPU, network, DNS, the list, politeness, the end."""
    full = now.places > 0 and now.in_flight >= _BUSY * now.places
    reason, why = _REASONS.get(now.why, _POLITENESS)
    answers: tuple[tuple[bool, Kind, str], ...] = (
        (now.workers == 0, "starting", "starting"),
        (now.shortage is not None, "machine", f"this machine: {now.shortage}"),
        (now.consumer > _BUSY, "disk", "disk: recording takes all the time; a faster disk for --out would help"),
        (now.parent_cpu > _BUSY, "parent", "CPU: the parent process uses its core up"),
        (
            now.worker_cpu > _BUSY,
            "cpu",
            f"CPU: {counted(now.workers, 'worker')} at {now.worker_cpu:.0%}; more cores would help",
        ),
        (full, "places", f"network: all {now.places:,} places are in flight; a higher --conc may help"),
        (now.looking_up > now.in_flight, "dns", _dns(now)),
        (now.unread and now.starved, "list", "the list: it is read as fast as it comes"),
        (
            now.window_full and now.unread,
            "order",
            "the order of the list: too many entries of too few hosts in a row",
        ),
        (now.parked > now.in_flight, reason, _politeness(now, why)),
        (
            not now.unread and now.open <= now.places,
            "end",
            f"the end of the list: {counted(now.open, 'entry')} still open",
        ),
    )
    found = (Limit(kind, text) for holds, kind, text in answers if holds)
    return next(found, Limit("nothing", "nothing yet: filling up"))


def _dns(now: Pressure) -> str:
    return f"DNS: {counted(now.looking_up, 'host')} being looked up; a faster --resolver would help"


def _politeness(now: Pressure, why: str) -> str:
    hosts = f"{counted(now.hosts, 'host')}" if now.hosts else "their hosts"
    return f"politeness: {now.parked:,} entries wait for {hosts} {why}"
