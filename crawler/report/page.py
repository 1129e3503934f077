"""A crawl as one self-contained HTML page: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import datetime
import functools
import re
from importlib.resources import files

from crawler.history import History
from crawler.report import charts, tables
from crawler.report.advice import COLOURS, NAMES, advice, held, verdict
from crawler.report.markup import Child, Markup, element
from crawler.stats import Phase, Stats, Timeline
from crawler.units import clock, counted, milliseconds, share, size
from crawler.version import __version__

_PHASES = {
    "dns": "DNS look-up",
    "connect": "connect",
    "tls": "TLS handshake",
    "first_byte": "wait for the first byte",
    "body": "body",
    "total": "whole exchange, DNS aside",
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def report_page(name: str, stats: Stats, made_at: datetime.datetime) -> str:
    """The report on the crawl called `name`, as HTML text."""
    state = "finished" if stats.finished else "not finished; the command that began it goes on"
    head = element(
        "header",
        element("h1", name),
        element("p", f"{state} · report of {made_at:%Y-%m-%d %H:%M} UTC · crawler {__version__}", class_="soft"),
        tiles(_tiles(stats)),
    )
    return document(f"{name}: crawl report", [head, element("main", _sections(stats))])


def document(title: str, body: Child, *, head: Child = None, policy: str = _POLICY) -> str:
    """A whole HTML document with the common style."""
    parts = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", _style()),
        head,
    )
    return f"<!DOCTYPE html>\n{element('html', parts, element('body', body), lang='en')}\n"


@functools.cache
def _style() -> Markup:
    return Markup(files("crawler.report").joinpath("style.css").read_text(encoding="utf-8"))


def tiles(values: list[tuple[str, str, str]]) -> Markup:
    """The few numbers that come first: what each is, its value, and what else is to be said of it."""
    return element(
        "dl",
        [
            element("div", element("dt", name), element("dd", value, element("small", more) if more else None))
            for name, value, more in values
        ],
        class_="tiles",
    )


def _tiles(stats: Stats) -> list[tuple[str, str, str]]:
    seconds = stats.history.seconds or (len(line.slots) * line.width_s if (line := stats.timeline) else 0)
    pace = f"{stats.ok / seconds:,.0f} ok pages a second" if seconds else ""
    rate = "-" if stats.success_rate is None else share(stats.ok, stats.entries)
    mean = "-" if stats.mean_total_ms is None else milliseconds(stats.mean_total_ms)
    return [
        ("entries", f"{stats.entries:,}", f"of {counted(stats.host_count, 'host')}"),
        ("pages ok (2xx)", f"{stats.ok:,}", f"{rate} of the entries"),
        ("time of its runs", clock(seconds) if seconds else "-", pace),
        ("over the wire", size(stats.bytes_wire), f"{size(stats.bytes_body)} of bodies"),
        ("mean time of a page", mean, ""),
    ]


def _sections(stats: Stats) -> Child:
    whole = stats.entries
    statuses = {str(status): count for status, count in stats.statuses.items()}
    outcomes = {str(name): count for name, count in stats.outcomes.items() if count}
    errors = stats.error_classes
    several = stats.host_count > 1
    return [
        _limits(stats),
        timeline(stats.timeline) if stats.timeline is not None else None,
        element(
            "div",
            tables.counts("Outcomes", "outcome", outcomes, whole, tables.OUTCOME_COLOURS),
            tables.counts("Errors", "error class", errors, whole, dict.fromkeys(errors, "failed")),
            tables.counts("Status codes", "status", statuses, sum(statuses.values()), _status_colours(statuses)),
            tables.counts("Content types", "media type", stats.content_types, sum(stats.content_types.values())),
            class_="columns",
        ),
        _phases(stats.phases),
        tables.hosts("Slowest hosts", stats.slowest_hosts, "mean_total_ms"),
        tables.hosts("Largest hosts, by entries", stats.hosts, "entries") if several else None,
        tables.hosts("Largest hosts, by bytes", stats.heaviest_hosts, "bytes_wire") if several else None,
        _repeats(stats),
    ]


def _limits(stats: Stats) -> Markup:
    history, limits = stats.history, held(stats.history)
    children: list[Child] = [element("p", verdict(stats))]
    sentences = advice(stats)
    if sentences:
        children.append(element("ul", [element("li", _flagged(sentence)) for sentence in sentences], class_="advice"))
    if limits:
        rows = [
            [NAMES[limit.kind], clock(limit.seconds), share(limit.seconds, history.seconds),
             charts.bar(limit.seconds, limits[0].seconds, COLOURS.get(limit.kind, "rest"))]
            for limit in limits
        ]  # fmt: skip
        children.append(tables.table(tables.columns("limit", "time", "share", ""), rows, "What limited the crawl"))
        children.append(_strip(history))
    return tables.section("What limited the crawl", children)


def _flagged(sentence: str) -> list[Child]:
    """The sentence with its flags as code, which is not broken at their hyphens."""
    parts = re.split(r"(--[a-z][a-z-]*)", sentence)
    return [element("code", part) if part.startswith("--") else part for part in parts]


def _strip(history: History) -> Markup:
    """What limited the crawl when: the time that its runs took, without that between them."""
    spans, at = [], 0.0
    for span in history.spans:
        for kind, seconds in span.limits.items():
            text = f"{clock(at)}: {NAMES.get(kind, kind)}"
            spans.append((at, at + seconds, COLOURS.get(kind, "rest"), text))
            at += seconds
    title = "What limited the crawl, over the time of its runs"
    return element("figure", element("figcaption", title), charts.strip(title, spans, at), axis("0:00:00", clock(at)))


def timeline(line: Timeline, title: str = "Pages and bytes over time") -> Markup:
    """Two plots on one axis, and their numbers as a table."""
    width = _span(line.width_s)
    moments = [line.start + number * line.width_s for number in range(len(line.slots) + 1)]
    long = moments[-1] - moments[0] > 86_400
    names = [_moment(moment, long=long, fine=line.width_s < 1) for moment in moments]
    pages = [
        (((slot.ok, "ok"), (slot.pages - slot.ok, "failed")), f"{name}: {slot.ok:,} ok, {slot.pages - slot.ok:,} not")
        for name, slot in zip(names, line.slots, strict=False)
    ]
    sizes = [
        (((slot.bytes_wire, "plain"),), f"{name}: {size(slot.bytes_wire)}")
        for name, slot in zip(names, line.slots, strict=False)
    ]
    most_pages = max(slot.pages for slot in line.slots)
    most_bytes = max(slot.bytes_wire for slot in line.slots)
    begin = names[0] if long else f"{datetime.datetime.fromtimestamp(line.start, datetime.UTC):%Y-%m-%d} {names[0]}"
    below = axis(begin, f"{names[-1]} UTC")
    rows = [
        [name, f"{slot.pages:,}", f"{slot.ok:,}", size(slot.bytes_wire)]
        for name, slot in zip(names, line.slots, strict=False)
    ]
    legend = element(
        "ul",
        element("li", charts.key("ok"), "ok (2xx)"),
        element("li", charts.key("failed"), "fetched with another status, or failed"),
        class_="legend",
    )
    return tables.section(
        title,
        figure(f"Pages in each {width}, {most_pages:,} at most", charts.columns("Pages over time", pages), below),
        legend,
        figure(f"Bytes over the wire in each {width}, {size(most_bytes)} at most",
                charts.columns("Bytes over time", sizes), below),
        element("details", element("summary", "The same as a table"),
                tables.table(tables.columns(f"each {width} from", "pages", "ok", "bytes"), rows, title)),
    )  # fmt: skip


def axis(begin: str, end: str) -> Markup:
    """What stands below a plot: where it begins, and where it ends."""
    return element("div", element("span", begin), element("span", end), class_="axis")


def figure(caption: str, drawing: Markup, below: Markup) -> Markup:
    """A plot between what it shows and its axis."""
    return element("figure", element("figcaption", caption), drawing, below)


def _phases(phases: dict[str, Phase]) -> Markup:
    if not phases:
        return Markup()
    most = max(phase.median for phase in phases.values())
    rows = [
        [_PHASES[name], f"{phase.count:,}", *map(milliseconds, (phase.median, phase.mean, phase.p90, phase.p99)),
         charts.bar(phase.median, most)]
        for name, phase in phases.items()
    ]  # fmt: skip
    heads = tables.columns("phase", "+exchanges", "median", "+mean", "+90 % below", "99 % below", "")
    sampled = max(phase.count for phase in phases.values())
    return tables.section(
        "Time by phase",
        element("p", f"Of {sampled:,} exchanges, evenly over the crawl; only a new connection has to connect. "
                "The bar is the median.", class_="soft"),
        tables.table(heads, rows, "Time by phase"),
    )  # fmt: skip


def _repeats(stats: Stats) -> Markup:
    repeats = stats.repeats
    heads = tables.columns("first page with that body", "pages", "bytes")
    rows = [[body.url, f"{body.pages:,}", size(body.bytes_body)] for body in repeats.bodies]
    return tables.section(
        "Duplicates",
        element("p", "Same request as an earlier entry, and so not fetched again: "
                f"{counted(stats.outcomes['duplicate'], 'entry')}. Same body as an earlier page: "
                f"{counted(repeats.pages, 'page')} ({size(repeats.bytes_body)})."),
        tables.table(heads, rows, "Duplicates") if rows else None,
    )  # fmt: skip


def _status_colours(statuses: dict[str, int]) -> dict[str, str]:
    colours = {"2": "ok", "3": "duplicate", "4": "denied", "5": "failed"}
    return {status: colours.get(status[0], "plain") for status in statuses}


def _moment(seconds: float, *, long: bool, fine: bool) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    if long:
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}" if fine else f"{moment:%H:%M:%S}"


def _span(seconds: float) -> str:
    for length, name in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length:
            return name if seconds == length else f"{seconds / length:g} {name}s"
    return f"{seconds * 1000:g} ms"
