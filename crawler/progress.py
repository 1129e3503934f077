"""What a person sees of a run: a live view on a terminal, a log line every five seconds elsewhere, a summary."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from crawler.escape import printable
from crawler.job import Summary
from crawler.pipeline import Pipeline
from crawler.records import OUTCOMES, Result
from crawler.tally import Reading, Tally

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

_LOG_S = 5.0
_DRAW_S = 0.2
_BAR_WIDTH = 40


class Progress(Protocol):
    """Follows a run."""

    tally: Tally

    def update(self, pipeline: Pipeline, batch: list[Result]) -> None:
        """Take in a batch of results; called a few times a second at least, also with an empty one."""


class _Quiet:
    """Counts and shows nothing."""

    def __init__(self) -> None:
        self.tally = Tally()

    def update(self, pipeline: Pipeline, batch: list[Result]) -> None:  # noqa: ARG002
        self.tally.add(batch)


class _Lines:
    """A line on standard error every five seconds, for logs and pipes."""

    def __init__(self, log_format: str) -> None:
        self.tally = Tally()
        self._format = _json_line if log_format == "json" else _text_line
        self._next = time.monotonic() + _LOG_S

    def update(self, pipeline: Pipeline, batch: list[Result]) -> None:
        self.tally.add(batch)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOG_S
            print(self._format(self.tally.read(pipeline)), file=sys.stderr, flush=True)


class _View:
    """A bar and a few lines of numbers, redrawn five times a second; the summary takes their place at the end."""

    def __init__(self, live: Live) -> None:
        self.tally = Tally()
        self._live = live
        self._next = 0.0

    def update(self, pipeline: Pipeline, batch: list[Result]) -> None:
        self.tally.add(batch)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _DRAW_S
            self._live.update(view(self.tally.read(pipeline)), refresh=True)


@contextlib.contextmanager
def make_progress(quiet: bool, log_format: str) -> Iterator[Progress]:
    """The display that fits: none, live (standard error is a terminal), or lines."""
    if quiet:
        yield _Quiet()
    elif log_format == "text" and _is_screen():
        from rich.console import Console  # a pipe does not pay for it
        from rich.live import Live

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
            yield _View(live)
    else:
        yield _Lines(log_format)


def say_summary(summary: Summary, tally: Tally, log_format: str) -> None:
    """Print how the run ended: the sum over all entries, and what to do next."""
    if log_format == "json":
        print(json.dumps({"event": "summary", "out": str(summary.out), "entries": summary.entries,
                          "finished": summary.finished, "recorded": summary.recorded,
                          "elapsed_s": round(summary.elapsed_s, 3), **summary.outcomes}))  # fmt: skip
        return
    total = " + ".join(f"{summary.outcomes[outcome]:,} {outcome}" for outcome in OUTCOMES)
    print(f"{total} = {summary.entries:,} entries")
    if summary.recorded:
        pace = tally.ok / max(summary.elapsed_s, 1e-3)
        print(f"{tally.ok:,} pages ok in {_clock(summary.elapsed_s)}, {pace:,.0f} a second")
    out = printable(shlex.quote(str(summary.out)))
    if summary.finished:
        print(f"Everything is in {out}. Next: crawl report {out}")
    else:
        print(f"Stopped; what is recorded is safe in {out}. The same command goes on.")


def view(reading: Reading) -> RenderableType:
    """The live view: a bar, the pace, the outcomes, and the errors where there are some; no line ever wraps."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    known = reading.fraction is not None
    bar = ProgressBar(1.0 if known else None, reading.fraction or 0.0, width=_BAR_WIDTH)
    done = f"{reading.fraction:4.0%} · " if known else ""
    head = Table.grid(padding=(0, 1))
    head.add_row(bar, _one_line(f"{done}{_clock(reading.elapsed_s)} · ETA {_clock(reading.eta_s)}"))
    lines = [_pace(reading), _counts(reading), *([_errors(reading)] if reading.error_classes else [])]
    return Group(head, *map(_one_line, lines))


def _one_line(text: str) -> Text:
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def _is_screen() -> bool:
    """Whether standard error is a terminal on which lines can be drawn over."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _text_line(reading: Reading) -> str:
    done = "" if reading.fraction is None else f" ({reading.fraction:.1%})"
    return (
        f"{_now():%H:%M:%S} {reading.recorded:,} entries{done}, ETA {_clock(reading.eta_s)}; "
        f"{_pace(reading)}; {_counts(reading)}"
    )


def _json_line(reading: Reading) -> str:
    values: dict[str, Any] = {
        "event": "progress",
        "time": _now().isoformat(timespec="milliseconds"),
        "elapsed_s": round(reading.elapsed_s, 3),
        "read": reading.read,
        "recorded": reading.recorded,
        "ok": reading.ok,
        "success_rate": reading.success_rate,
        "pages_per_s": round(reading.pages_per_s, 1),
        "bytes_per_s": round(reading.bytes_per_s),
        "mean_page_ms": reading.mean_page_ms and round(reading.mean_page_ms, 1),
        "fraction": reading.fraction and round(reading.fraction, 4),
        "eta_s": reading.eta_s and round(reading.eta_s),
        "in_hand": reading.in_hand,
        "workers": reading.workers,
        "outcomes": reading.outcomes,
        "error_classes": reading.error_classes,
    }
    return json.dumps(values)


def _pace(reading: Reading) -> str:
    mean = "-" if reading.mean_page_ms is None else f"{reading.mean_page_ms:,.0f} ms"
    rate = "-" if reading.success_rate is None else f"{reading.success_rate:.1%}"
    return f"{reading.pages_per_s:,.0f} pages/s · {_bytes(reading.bytes_per_s)}/s · mean {mean} a page · {rate} ok"


def _counts(reading: Reading) -> str:
    parts = [f"{reading.ok:,} ok"]
    parts += [f"{reading.outcomes[name]:,} {name}" for name in OUTCOMES if reading.outcomes.get(name)]
    return " · ".join(parts)


def _errors(reading: Reading) -> str:
    return "Errors: " + " · ".join(f"{count:,} {name}" for name, count in reading.error_classes.items())


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _clock(seconds: float | None) -> str:
    """Hours, minutes and seconds; `-` where nobody can say."""
    return "-" if seconds is None else str(datetime.timedelta(seconds=round(seconds)))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
