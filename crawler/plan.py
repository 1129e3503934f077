"""What a list will cost, before a byte is fetched."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from crawler.census import Census
from crawler.chunks import needs_homes
from crawler.config import CrawlConfig
from crawler.escape import printable
from crawler.intake import Intake
from crawler.job import layout_of, refuse_empty
from crawler.records import Outcome
from crawler.sources import Urls, open_urls
from crawler.sources.base import Source

PAGE_S = 0.2
"""Seconds that a page is taken to need where nobody says: nobody knows before it is fetched."""

_LARGEST = 10


class HostShare(msgspec.Struct, frozen=True):
    """One of the largest hosts: its pages, their share of all pages, and the seconds that they take at least."""

    host: str
    pages: int
    share: float
    least_s: float


class Plan(msgspec.Struct, frozen=True):
    """What a list holds, and the least time that it takes.

    `entries` is the sum of `pages` (what will be fetched), `duplicate`, `invalid` and `denied` (a scheme that is not
    fetched). `requests` are the pages and, where it is obeyed, a robots.txt a host. Times are in seconds, with pages
    that take `page_s` each: `hosts_s` is what the largest host takes, at --per-host requests at a time and --delay
    apart; `places_s` what all requests take in `places` (processes times concurrency); `least_s` the longer of both. A
    Crawl-delay in a robots.txt is not in it.
    """

    source: str
    entries: int
    pages: int
    duplicate: int
    invalid: int
    denied: int
    hosts: int
    requests: int
    places: int
    page_s: float
    hosts_s: float
    places_s: float
    least_s: float
    largest: tuple[HostShare, ...]


Watch = Callable[[int, float | None], None]
"""Called after each batch with the entries read so far, and the share of the list that this is, if anybody knows."""


def make_plan(urls: Urls, config: CrawlConfig, page_s: float = PAGE_S, watch: Watch | None = None) -> Plan:
    """Read a list and say what it will cost; raises InputError.

    Memory: 12 bytes a page, to find duplicates, and 12 a host.
    """
    counts: dict[Outcome, int] = {"duplicate": 0, "invalid": 0, "denied": 0}
    census, pages, name = Census(), 0, ""
    with tempfile.TemporaryDirectory(prefix="crawler-") as folder:
        source = open_urls(urls, Path(folder, "spool"), layout_of(config))
        refuse_empty(source)
        intake = Intake(config, secrets.token_bytes(16))
        for batch in source:
            states, results = intake.admit(batch)
            census.add(state.host for state in states)
            pages += len(states)
            for result in results:
                counts[result.row.outcome] += 1
            if watch is not None:
                watch(pages + sum(counts.values()), _share(source))
        name = printable(source.name)
    return _plan(name, pages, counts, census, config, page_s)


def _plan(
    name: str, pages: int, counts: dict[Outcome, int], census: Census, config: CrawlConfig, page_s: float
) -> Plan:
    hosts, places = len(census), config.procs * config.conc
    requests = pages + hosts * config.robots
    largest = tuple(
        HostShare(host, count, count / pages, _seconds(count, config, page_s))
        for host, count in census.largest(_LARGEST)
    )
    hosts_s = largest[0].least_s if largest else 0.0
    places_s = requests * page_s / places
    return Plan(
        source=name,
        entries=pages + sum(counts.values()),
        pages=pages,
        **counts,
        hosts=hosts,
        requests=requests,
        places=places,
        page_s=page_s,
        hosts_s=hosts_s,
        places_s=places_s,
        least_s=max(hosts_s, places_s),
        largest=largest,
    )


def _seconds(pages: int, config: CrawlConfig, page_s: float) -> float:
    """What the pages of one host take at least."""
    requests = pages + config.robots
    at_once = min(config.per_host or config.conc, config.conc) if needs_homes(config) else config.procs * config.conc
    return max((requests - 1) * config.delay + page_s, requests * page_s / at_once)


def _share(source: Source) -> float | None:
    if source.length:
        return source.position / source.length
    return source.position / source.total_bytes if source.total_bytes else None
