"""Tables that a screen reader can walk through, with a bar in each row for everybody else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from crawler.report.charts import bar
from crawler.report.markup import Child, Markup, element
from crawler.stats import HostNumbers
from crawler.units import milliseconds, share, size

_TEXT_CHARACTERS = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column by its heading; one that is `extra` is left out where a page is as narrow as a phone."""

    head: str
    extra: bool = False


_HOST_COLUMNS = (
    ("host", None),
    ("entries", None),
    ("ok", "ok"),
    ("bytes", "bytes_wire"),
    ("mean", "mean_total_ms"),
    ("", None),
)
OUTCOME_COLOURS = {
    "fetched": "ok",
    "failed": "failed",
    "denied": "denied",
    "duplicate": "duplicate",
    "invalid": "invalid",
}


def counts(
    title: str, what: str, numbers: Mapping[str, int], whole: int, colours: Mapping[str, str] | None = None
) -> Markup:
    """A row for each name: its count, its share of `whole`, a bar. Nothing where there are none."""
    if not numbers:
        return Markup()
    most = max(numbers.values())
    rows = [
        [name, f"{count:,}", share(count, whole), bar(count, most, (colours or {}).get(name, "plain"))]
        for name, count in numbers.items()
    ]
    return section(title, table(columns(what, "count", "share", ""), rows, title))


def hosts(title: str, numbers: Sequence[HostNumbers], column: str) -> Markup:
    """A row for each host, with the bar for one of its columns: `entries`, `bytes_wire` or `mean_total_ms`."""
    if not numbers:
        return Markup()
    most = max(getattr(host, column) or 0 for host in numbers)
    rows = [
        [
            host.host,
            f"{host.entries:,}",
            share(host.ok, host.entries),
            size(host.bytes_wire),
            "-" if host.mean_total_ms is None else milliseconds(host.mean_total_ms),
            bar(getattr(host, column) or 0, most),
        ]
        for host in numbers
    ]
    heads = [Column(head, extra=name not in (None, column)) for head, name in _HOST_COLUMNS]
    return section(title, table(heads, rows, title))


def section(title: str, *children: Child) -> Markup:
    """A card with a heading."""
    return element("section", element("h2", title), *children)


def columns(*heads: str) -> list[Column]:
    """Columns by their headings; one with a `+` before it is extra."""
    return [Column(head.removeprefix("+"), extra=head.startswith("+")) for head in heads]


def table(heads: Sequence[Column], rows: Sequence[Sequence[str]], title: str) -> Markup:
    """A table whose first column names its rows; a column without a heading holds bars, all others numbers."""
    classes = [_classes(number, column) for number, column in enumerate(heads)]
    head = [element("th", column.head, scope="col", class_=kind) for column, kind in zip(heads, classes, strict=True)]
    body = [
        element(
            "tr",
            element("th", _cut(first), scope="row"),
            [element("td", text, class_=kind) for text, kind in zip(others, classes[1:], strict=True)],
        )
        for first, *others in rows
    ]
    drawn = element("table", element("thead", element("tr", head)), element("tbody", body))
    # Where it scrolls, the keyboard must get in.
    return element("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=title)


def _classes(number: int, column: Column) -> str | None:
    if not number:
        return None
    kind = "n" if column.head else "bar"
    return f"{kind} extra" if column.extra else kind


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS else text[: _TEXT_CHARACTERS - 1] + "…"
