"""What limited a crawl, in words, and what its user could change."""

from __future__ import annotations

import dataclasses

from crawler.history import History, Tuning
from crawler.stats import Stats
from crawler.units import share

_WORTH_SAYING = 0.1  # of the time
_LONG_ENOUGH_S = 5.0
_CROWDED = 0.2

NAMES: dict[str, str] = {
    "cpu": "CPU of the workers",
    "parent": "CPU of the parent process",
    "dns": "DNS",
    "machine": "a limit of this machine (sockets, memory)",
    "places": "places in flight (--conc)",
    "disk": "disk",
    "politeness": "politeness (limits of each host)",
    "address": "politeness (limits of each address)",
    "push-back": "hosts that asked for less",
    "unreachable": "hosts that could not be reached",
    "list": "the list came slowly",
    "order": "the order of the list",
    "end": "the end of the list (the last pages)",
    "starting": "starting",
    "stopping": "stopping",
    "nothing": "nothing (filling up)",
}
"""What can limit a run, as a person would say it."""

COLOURS: dict[str, str] = {
    "cpu": "plain",
    "parent": "plain",
    "dns": "duplicate",
    "machine": "failed",
    "places": "ok",
    "disk": "invalid",
    "politeness": "denied",
    "address": "denied",
    "push-back": "denied",
    "unreachable": "failed",
}
"""The class that colours a limit; the others are `rest`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """One limit: for how many seconds it was what held a crawl back."""

    kind: str
    seconds: float


def held(history: History) -> list[Held]:
    """The limits of a crawl, longest first; those that this program does not know are left out."""
    seconds = history.limits()
    return sorted((Held(kind, seconds[kind]) for kind in NAMES if kind in seconds), key=lambda held: -held.seconds)


def verdict(stats: Stats) -> str:
    """One sentence on what limited the crawl."""
    limits = held(stats.history)
    if not limits:
        return "What limited this crawl was not written down: its runs were too short, or made by an older version."
    if stats.history.seconds < _LONG_ENOUGH_S:
        return "The crawl was too short for anything to limit it."
    first = limits[0]
    return f"Mostly {NAMES[first.kind]}: {share(first.seconds, stats.history.seconds)} of the time."


def advice(stats: Stats) -> list[str]:
    """What to change, a sentence each, for each limit that mattered; the most important one first."""
    total = stats.history.seconds
    if total < _LONG_ENOUGH_S:
        return []
    mattered = (limit.kind for limit in held(stats.history) if limit.seconds >= _WORTH_SAYING * total)
    return [sentence for kind in mattered if (sentence := _sentence(kind, stats)) is not None]


def _sentence(kind: str, stats: Stats) -> str | None:
    """What to do about one limit; None where nothing can be done."""
    tuning = stats.history.tuning
    told = {"cpu": _cpu, "places": _places, "politeness": _politeness}.get(kind)
    return told(stats, tuning) if told is not None and tuning is not None else _ADVICE.get(kind)


def _cpu(stats: Stats, tuning: Tuning) -> str:
    if tuning.procs < min(tuning.cores, stats.host_count):
        return f"{tuning.procs} of {tuning.cores} cores were used: raise --procs to {tuning.cores}."
    faster = "" if tuning.engine in ("auto", "curl") else " --engine curl takes the least of a core for a page."
    return _ADVICE["cpu"] + faster


def _places(stats: Stats, tuning: Tuning) -> str:  # noqa: ARG001 - the others need both
    return f"{_ADVICE['places']} It was {tuning.conc} in each of {tuning.procs} processes."


def _politeness(stats: Stats, tuning: Tuning) -> str:
    now = f"It was --per-host {tuning.per_host} and --delay {tuning.delay:g}."
    largest = stats.hosts[0].entries if stats.hosts else 0
    if largest < _CROWDED * max(stats.entries, 1):
        return f"{_ADVICE['politeness']} {now}"
    crowd = f"One host has {share(largest, stats.entries)} of the entries, and alone decides how long it takes."
    return f"{_ADVICE['politeness']} {now} {crowd}"


_ADVICE: dict[str, str] = {
    "cpu": "The workers used their cores up: more cores would help.",
    "parent": "The one parent process, which records what the workers fetch, used its core up: record less "
    "(--no-bodies, --accept-type), or crawl parts of the list on several machines.",
    "dns": "Names were looked up more slowly than pages came: name a faster or nearer server with --resolver.",
    "machine": "This machine had no descriptors, ports or memory for more connections: raise ulimit -n, widen "
    "net.ipv4.ip_local_port_range, or lower --conc.",
    "places": "All places were in flight while nothing else was short: raise --conc.",
    "disk": "Recording took all the time: put --out on a faster disk, or record less (--no-bodies, --max-body).",
    "politeness": "Entries waited for the limits of their hosts: a list of more hosts goes faster; raise the limits "
    "only where a site's owner agrees.",
    "address": "Many hosts share few machines, and waited for --per-address: raise it where their owner agrees.",
    "push-back": "Hosts answered 429 or 503, which asks for less: a lower --per-host or a --delay loses nothing there; "
    "then crawl retry --status 429,503.",
    "unreachable": "Hosts could not be reached: crawl retry --error host_down,connect tries them again later.",
    "list": "The list came more slowly than pages were fetched: look at what writes it.",
    "order": "Too many entries of few hosts stood together: shuffle the list (shuf urls.txt).",
    "end": "The last few pages took long: a lower --max-time or --retries cuts that off.",
}
