"""The page of a run that goes on: it asks for its own contents anew every two seconds."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib.resources import files
from itertools import pairwise

from crawler.load import Load
from crawler.records import OUTCOMES
from crawler.report import charts, tables
from crawler.report.board import Point, Posted
from crawler.report.markup import Child, Markup, element, join
from crawler.report.page import axis, document, figure, tiles
from crawler.tally import Reading
from crawler.units import clock, share, size

_WORKERS = 16


@functools.cache
def policy() -> str:
    """The page's Content-Security-Policy: its one script, and answers from where it came from."""
    digest = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'"
    )


def live_page(name: str, posted: Posted | None) -> str:
    """The page on the run into the folder called `name`, as HTML text."""
    body = [
        element("h1", name),
        element("p", "A crawl that runs now. Metrics for Prometheus are at ", element("code", "/metrics"), ".",
                class_="soft"),
        element(
            "section",
            "There is no answer: the run has ended, or it cannot be reached. This is the last that was heard of it; ",
            element("code", "crawl report"), " tells the rest.", id="gone", class_="gone", hidden=True,
        ),
        element("main", live_part(posted)),
        element("script", _script()),
    ]  # fmt: skip
    return document(f"{name}: crawl running", body, policy=policy())


def live_part(posted: Posted | None) -> Markup:
    """What changes of the page."""
    if posted is None:
        return element("p", "The run is starting.")
    reading = posted.reading
    outcomes: dict[str, int] = {name: reading.outcomes[name] for name in OUTCOMES if reading.outcomes.get(name)}
    errors = reading.error_classes
    return join(
        [
            tiles(_tiles(reading)),
            _load(reading.load) if reading.load is not None else None,
            _pace(posted.points),
            element(
                "div",
                tables.counts("Outcomes", "outcome", outcomes, reading.recorded, tables.OUTCOME_COLOURS),
                tables.counts("Errors", "error class", errors, reading.recorded, dict.fromkeys(errors, "failed")),
                class_="columns",
            ),
        ]
    )


@functools.cache
def _script() -> Markup:
    return Markup(files("crawler.report").joinpath("live.js").read_text(encoding="utf-8"))


def _tiles(reading: Reading) -> list[tuple[str, str, str]]:
    done = "-" if reading.fraction is None else f"{int(1000 * reading.fraction) / 10:.1f} %"
    memory = "-" if reading.load is None else size(reading.load.memory_bytes)
    return [
        ("done", done, f"{reading.recorded:,} entries"),
        ("left", clock(reading.eta_s), f"{clock(reading.elapsed_s)} so far"),
        ("ok pages a second", f"{reading.pages_per_s:,.0f}", f"{reading.mean_pages_per_s:,.0f} on average"),
        ("pages ok (2xx)", f"{reading.ok:,}", f"{share(reading.ok, reading.recorded)} of the entries"),
        ("bytes a second", size(reading.bytes_per_s), f"{size(reading.bytes_wire)} in all"),
        ("memory", memory, f"of {reading.workers + 1} processes"),
    ]


def _load(load: Load) -> Markup:
    """What limits it now, its workers, and whom it waits for."""
    children: list[Child] = [element("p", load.limit)]
    if load.workers:
        rows = [
            [f"worker {worker.number}", f"{worker.in_flight:,} of {worker.conc:,}", f"{worker.cpu:.0%}",
             charts.bar(worker.cpu, 1.0)]
            for worker in load.workers[:_WORKERS]
        ]  # fmt: skip
        rows.append(["parent", "", f"{load.parent_cpu:.0%}", charts.bar(load.parent_cpu, 1.0)])
        heads = tables.columns("process", "in flight", "CPU", "")
        more = len(load.workers) - _WORKERS
        children.append(tables.table(heads, rows, "Processes"))
        children.append(element("p", f"and {more} more workers", class_="soft") if more > 0 else None)
    if load.waiting:
        rows = [[host.host, host.why, f"{host.entries:,}"] for host in load.waiting]
        children.append(element("h3", "Waiting for"))
        children.append(tables.table(tables.columns("host", "why", "entries"), rows, "Waiting for"))
    return tables.section("What limits it now", children)


def _pace(points: tuple[Point, ...]) -> Child:
    """Two plots of the rates between the points."""
    if len(points) < 3:
        return None
    pages, sizes = [], []
    for one, other in pairwise(points):
        seconds = other.elapsed_s - one.elapsed_s
        ok, rest = (other.ok - one.ok) / seconds, (other.recorded - one.recorded - other.ok + one.ok) / seconds
        rate = (other.bytes_wire - one.bytes_wire) / seconds
        pages.append((((ok, "ok"), (rest, "failed")), f"{clock(other.elapsed_s)}: {ok:,.0f} ok, {rest:,.0f} not"))
        sizes.append((((rate, "plain"),), f"{clock(other.elapsed_s)}: {size(rate)}"))
    most = max(sum(value for value, _ in parts) for parts, _ in pages)
    most_bytes = max(parts[0][0] for parts, _ in sizes)
    below = axis("0:00:00", clock(points[-1].elapsed_s))
    return tables.section(
        "Pace so far",
        figure(f"Entries a second, {most:,.0f} at most", charts.columns("Entries a second over time", pages), below),
        figure(f"Bytes a second, {size(most_bytes)} at most", charts.columns("Bytes over time", sizes), below),
    )
