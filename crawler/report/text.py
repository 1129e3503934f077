"""A crawl as lines for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from crawler.escape import printable
from crawler.report.advice import NAMES, advice, held, verdict
from crawler.stats import HostNumbers, Stats
from crawler.units import clock, counted, milliseconds, share, size

_WIDTH = 60


def summary(folder: Path, stats: Stats) -> Iterator[str]:
    """The report's lines, safe to print."""
    state = "finished" if stats.finished else "not finished; the command that began it goes on"
    yield f"{printable(str(folder))}: {state}"
    parts = (f"{count:,} {outcome}" for outcome, count in stats.outcomes.items())
    yield f"{' + '.join(parts)} = {stats.entries:,} entries"
    rate = "" if stats.success_rate is None else f", {stats.success_rate:.1%} of the entries"
    yield f"{stats.ok:,} pages are ok (fetched with a 2xx status{', or unchanged' if stats.changes else ''}){rate}"
    if stats.parse_errors:
        yield f"{stats.parse_errors:,} pages could not be parsed; parse_error says why"
    yield f"{size(stats.bytes_wire)} came over the wire, {size(stats.bytes_body)} of bodies"
    if stats.mean_total_ms is not None:
        yield f"{stats.mean_total_ms:,.0f} ms a page on average"
    if stats.first_fetched_at is not None:
        yield f"from {stats.first_fetched_at} to {stats.last_fetched_at}"
    yield from _limits(stats)
    yield from _counts("Status", stats.statuses)
    yield from _counts("Errors", stats.error_classes)
    yield from _counts("Since the previous crawl", stats.changes)
    yield from _counts("Content types", stats.content_types)
    yield from _phases(stats)
    yield from _hosts("Slowest hosts, mean of a page", stats.slowest_hosts, _mean)
    yield from _hosts("Hosts with the most entries", stats.hosts, lambda host: f"{host.entries:,}")
    yield from _hosts("Hosts with the most bytes", stats.heaviest_hosts, lambda host: size(host.bytes_wire))
    yield from _repeats(stats)


def _limits(stats: Stats) -> Iterator[str]:
    limits = held(stats.history)
    if not limits:
        return
    yield ""
    yield f"Limited by: {verdict(stats)}"
    for limit in limits:
        yield _line(clock(limit.seconds), f"{share(limit.seconds, stats.history.seconds):>7}  {NAMES[limit.kind]}")
    yield from (f"  → {sentence}" for sentence in advice(stats))


def _counts(title: str, counts: Mapping[str, int] | Mapping[int, int]) -> Iterator[str]:
    yield from _section(title, ((f"{count:,}", str(name)) for name, count in counts.items()))


def _phases(stats: Stats) -> Iterator[str]:
    lines = (
        (milliseconds(phase.median), f"{name.replace('_', ' ')} (mean {milliseconds(phase.mean)}, "
                                     f"99 % below {milliseconds(phase.p99)}, of {phase.count:,})")
        for name, phase in stats.phases.items()
    )  # fmt: skip
    yield from _section("Time by phase, median", lines)


def _hosts(title: str, hosts: Iterable[HostNumbers], value: Callable[[HostNumbers], str]) -> Iterator[str]:
    yield from _section(title, ((value(host), host.host) for host in hosts))


def _mean(host: HostNumbers) -> str:
    return milliseconds(host.mean_total_ms or 0)


def _repeats(stats: Stats) -> Iterator[str]:
    if stats.repeats.pages:
        yield ""
        again = f"{counted(stats.repeats.pages, 'page')} ({size(stats.repeats.bytes_body)})"
        yield f"Same body as an earlier page: {again}"
        yield from (_line(f"{body.pages:,}", body.url) for body in stats.repeats.bodies)


def _section(title: str, lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    for number, (value, text) in enumerate(lines):
        if not number:
            yield ""
            yield title
        yield _line(value, text)


def _line(value: str, text: str) -> str:
    return f"  {value:>12}  {printable(text, _WIDTH)}"
