"""Plots as inline SVG: a row of columns over time, a bar in a table's cell, a strip of coloured spans.

No text stands in the drawings, which stretch with the page: what they say is in titles, and in the HTML around them.
"""

from __future__ import annotations

from collections.abc import Sequence

from crawler.report.markup import Markup, element

_HEIGHT = 100

Part = tuple[float, str]
"""A value, and the class that colours it."""


def columns(title: str, values: Sequence[tuple[Sequence[Part], str]]) -> Markup:
    """A column for each of `values`, its parts stacked from the ground up, with a text that says what it is."""
    most = max((sum(value for value, _ in parts) for parts, _ in values), default=0) or 1
    groups = [_column(number, parts, text, most) for number, (parts, text) in enumerate(values)]
    return _drawing(title, max(len(values), 1), groups)


def bar(part: float, most: float, colour: str = "plain") -> Markup:
    """A bar as long as `part` is of `most`. It says nothing that its row does not, so it is hidden from readers."""
    width = round(100 * part / most, 2) if most else 0
    drawn = element("rect", width=max(width, 0.7) if part else 0, height=10, class_=colour)
    return element("svg", drawn, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")


def strip(title: str, spans: Sequence[tuple[float, float, str, str]], length: float) -> Markup:
    """Spans from one place to another of a line of that `length`, each with its class and its text."""
    drawn = [
        element(
            "rect", element("title", text), x=round(begin, 3), width=round(max(end - begin, 0), 3), height=_HEIGHT,
            class_=colour,
        )
        for begin, end, colour, text in spans
    ]  # fmt: skip
    return _drawing(title, round(max(length, 1e-3), 3), drawn, class_="strip")


def key(colour: str) -> Markup:
    """The square that explains a colour."""
    return element(
        "svg",
        element("rect", width=10, height=10, class_=colour),
        viewBox="0 0 10 10",
        class_="key",
        aria_hidden="true",
    )


def _column(number: int, parts: Sequence[Part], text: str, most: float) -> Markup:
    rects, ground = [element("title", text)], float(_HEIGHT)
    # What one points at is the whole height, also of a column that is low.
    rects.append(element("rect", x=number, width=1, height=_HEIGHT, fill="transparent"))
    for value, colour in parts:
        height = _HEIGHT * value / most
        ground -= height
        rects.append(
            element("rect", x=round(number + 0.06, 2), y=round(ground, 2), width=0.88, height=round(height, 2),
                    class_=colour)
        )  # fmt: skip
    return element("g", rects)


def _drawing(title: str, width: float, drawn: Sequence[Markup], class_: str | None = None) -> Markup:
    return element(
        "svg", drawn, viewBox=f"0 0 {width:g} {_HEIGHT}", role="img", aria_label=title, preserveAspectRatio="none",
        class_=class_,
    )  # fmt: skip
