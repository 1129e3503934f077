"""Plots as SVG and HTML, without a script or a library: what is pointed at says its figures (`<title>`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 520, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 44
_NO_SPREAD = 1.02


@dataclasses.dataclass(frozen=True, slots=True)
class Series:
    """A line: its name, its CSS class, and points of x, y and what is said of them."""

    name: str
    style: str
    points: Sequence[tuple[float, float, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its label, its value, its text, its CSS class, and what is said of it."""

    label: str
    value: float
    text: str
    style: str
    title: str


def lines(series: Sequence[Series], x_title: str, y_title: str) -> str:
    """A plot with logarithmic axes, and its legend; empty where there is nothing to show."""
    xs = [x for one in series for x, _, _ in one.points if x > 0]
    ys = [y for one in series for _, y, _ in one.points if y > 0]
    if not xs or not ys:
        return ""
    across = _Axis.over(xs, _LEFT, _WIDTH - _RIGHT)
    up = _Axis.over(ys, _HEIGHT - _BOTTOM, _TOP)
    drawn = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(y_title)}, by {escape(x_title)}">',
        *(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up.at(tick):.1f}" y2="{up.at(tick):.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{up.at(tick) + 4:.1f}" text-anchor="end">{short(tick)}</text>'
            for tick in up.ticks
        ),
        *(
            f'<text x="{across.at(tick):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{short(tick)}</text>'
            for tick in across.ticks
        ),
        *(_line(one, across, up) for one in series if one.points),
        f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>',
        "</svg>",
    ]
    return f"<p class='axis'>{escape(y_title)}</p>{''.join(drawn)}{_legend(series)}"


def bars(found: Sequence[Bar]) -> str:
    """Horizontal bars, as a list that is read as text, too."""
    longest = max((bar.value for bar in found), default=0)
    widths = [bar.value / longest * 100 if longest else 0 for bar in found]
    rows = [
        f'<li title="{escape(bar.title)}"><span class="label">{escape(bar.label)}</span>'
        f'<span class="track"><span class="bar {bar.style}" style="width:{width:.1f}%"></span></span>'
        f'<span class="value">{escape(bar.text)}</span></li>'
        for bar, width in zip(found, widths, strict=True)
    ]
    return f'<ul class="bars">{"".join(rows)}</ul>' if rows else ""


def short(number: float) -> str:
    """A number in a few characters: 20k, 1.5M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        low, high = min(values), max(values)
        if high / low < _NO_SPREAD:
            low, high = low / 2, high * 2
        return cls(low / 1.15, high * 1.15, start, end)

    def at(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Powers of ten; with twos and fives between them where there are few."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1,) if self.high / self.low > 1000 else (1, 2, 5)
        return [tick for n in decades for step in steps if self.low <= (tick := step * 10.0**n) <= self.high]


def _line(one: Series, across: _Axis, up: _Axis) -> str:
    places = [(across.at(x), up.at(y), text) for x, y, text in sorted(one.points) if x > 0 and y > 0]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(t)}</title></circle>' for x, y, t in places)
    return f'<g class="series {one.style}"><polyline points="{path}"/>{dots}</g>'


def _legend(series: Sequence[Series]) -> str:
    items = "".join(
        f'<li><svg viewBox="0 0 26 10" class="key"><g class="series {one.style}">'
        f'<polyline points="0,5 26,5"/></g></svg>{escape(one.name)}</li>'
        for one in series
        if one.points
    )
    return f'<ul class="legend">{items}</ul>'
