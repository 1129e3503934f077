"""What a page and metrics show of a run that goes on: its latest reading, and its pace since it began.

The run's own thread puts a reading there once a second; whoever serves it, in another thread, takes it whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from crawler.pipeline import Pipeline
from crawler.tally import Reading, Tally

_POINTS = 120
_READ_S = 1.0


class Point(NamedTuple):
    """The sums at one moment of a run."""

    elapsed_s: float
    recorded: int
    ok: int
    bytes_wire: int


class Posted(NamedTuple):
    """What stands on the board; `points` are evenly over the run, the first of them its beginning."""

    reading: Reading
    points: tuple[Point, ...]
    at: float


class Board:
    """The board of one run. `clock` only goes on, `wall` is in seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self.posted: Posted | None = None
        self._clock = clock
        self._wall = wall
        self._next = clock()
        self._points = [Point(0.0, 0, 0, 0)]
        self._every_s = _READ_S

    def follow(self, tally: Tally, pipeline: Pipeline) -> None:
        """Called with each batch of results; once a second it is worth a reading."""
        if (now := self._clock()) >= self._next:
            self._next = now + _READ_S
            self.post(tally.read(pipeline))

    def post(self, reading: Reading) -> None:
        """Put up a reading in place of the last one."""
        if reading.elapsed_s - self._points[-1].elapsed_s >= self._every_s:
            self._points.append(Point(reading.elapsed_s, reading.recorded, reading.ok, reading.bytes_wire))
        if len(self._points) > _POINTS:
            self._points = self._points[::2]
            self._every_s *= 2
        self.posted = Posted(reading, tuple(self._points), self._wall())
