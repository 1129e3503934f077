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

import msgspec

from crawler.display import awaited, counts, pace, replaced, view
from crawler.escape import printable
from crawler.invocation import command
from crawler.job import Summary
from crawler.pipeline import Pipeline
from crawler.records import OUTCOMES, Result
from crawler.tally import Reading, Tally
from crawler.units import clock

if TYPE_CHECKING:
    from rich.live import Live

_LOG_S = 5.0
_FAILED = "\"SELECT url, error FROM pages WHERE outcome = 'failed'\""
DRAW_S = 0.25


class Progress(Protocol):
    """Follows a run."""

    tally: Tally

    def update(self, pipeline: Pipeline, batch: list[Result]) -> None:
        """Take in a batch of results; called a few times a second at least, also with an empty one."""


class _Quiet:
    """Counts and shows nothing."""

    def __init__(self) -> None:
        self.tally = Tally()

    def update(self, pipeline: Pipeline, batch: list[Result]) -> None:
        self.tally.follow(pipeline, batch)


class _Lines:
    """A line on standard error every five seconds, for logs and pipes, and one for each sentence to be read."""

    def __init__(self, log_format: str) -> None:
        self.tally = Tally()
        self._notes = _Notes()
        self._format, self._note = (_json_line, _json_note) if log_format == "json" else (_text_line, _text_note)
        self._next = time.monotonic() + _LOG_S

    def update(self, pipeline: Pipeline, batch: list[Result]) -> None:
        self.tally.follow(pipeline, batch)
        now = time.monotonic()
        with contextlib.suppress(OSError):  # a log that is full ends no crawl
            for text in self._notes.of(pipeline):
                print(self._note(text), file=sys.stderr, flush=True)
            if now >= self._next:
                self._next = now + _LOG_S
                print(self._format(self.tally.read(pipeline)), file=sys.stderr, flush=True)


class _View:
    """A bar and a few lines of numbers, redrawn four times a second; the summary takes their place at the end.

    Sentences to be read stay above it.
    """

    def __init__(self, live: Live) -> None:
        self.tally = Tally()
        self._notes = _Notes()
        self._live = live
        self._next = 0.0

    def update(self, pipeline: Pipeline, batch: list[Result]) -> None:
        self.tally.follow(pipeline, batch)
        now = time.monotonic()
        with contextlib.suppress(OSError):  # nor does a terminal that is gone
            for text in self._notes.of(pipeline):
                self._live.console.print(_text_note(text), markup=False, highlight=False)
            if now >= self._next:
                self._next = now + DRAW_S
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
                          "elapsed_s": round(summary.elapsed_s, 3), "deaths": tally.deaths,
                          **summary.outcomes}))  # fmt: skip
        return
    total = " + ".join(f"{summary.outcomes[outcome]:,} {outcome}" for outcome in OUTCOMES)
    print(f"{total} = {summary.entries:,} entries")
    if summary.recorded:
        per_s = tally.ok / max(summary.elapsed_s, 1e-3)
        print(f"{tally.ok:,} pages ok in {clock(summary.elapsed_s)}, {per_s:,.0f} a second")
    if tally.error_classes:
        print("Errors: " + " · ".join(f"{count:,} {name}" for name, count in tally.error_classes.most_common()))
    if summary.repaired:
        print(f"Repaired: the archive's end was damaged, and {summary.repaired:,} pages had to be fetched again")
    if tally.deaths:
        print(f"Workers: {replaced(tally.deaths, tally.last_death)}")
    out = printable(shlex.quote(str(summary.out)))
    if summary.finished:
        print(f"Everything is in {out}. Next: {command()} report {out}")
        if summary.outcomes["failed"]:
            print(f"Failed: {command()} query {out} {_FAILED}")
            print(f"Fetch them again: {command()} retry {out}")
    else:
        print(f"Stopped; what is recorded is safe in {out}. The same command goes on.")


def _is_screen() -> bool:
    """Whether standard error is a terminal on which lines can be drawn over."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class _Notes:
    """Sentences that nobody was shown yet: what was said, and why nobody can work, where that is news."""

    def __init__(self) -> None:
        self._hindrance = ""

    def of(self, pipeline: Pipeline) -> list[str]:
        news = pipeline.crew.said[:]
        pipeline.crew.said.clear()
        before, self._hindrance = self._hindrance, pipeline.executor.hindrance
        if self._hindrance and self._hindrance != before:
            news.append(f"Nothing is fetched: {self._hindrance}.")
        return news


def _text_note(text: str) -> str:
    return f"{_now():%H:%M:%S} {printable(text)}"


def _json_note(text: str) -> str:
    return json.dumps({"event": "note", "time": _now().isoformat(timespec="milliseconds"), "text": text})


def _text_line(reading: Reading) -> str:
    done = "" if reading.fraction is None else f" ({reading.fraction:.1%})"
    return (
        f"{_now():%H:%M:%S} {reading.recorded:,} entries{done}, ETA {clock(reading.eta_s)}; "
        f"{pace(reading)}; {counts(reading)}{_trouble(reading)}"
    )


def _trouble(reading: Reading) -> str:
    """What a line says besides: that workers died, and at the end of the list whom the run still waits for."""
    parts = [f"; workers: {replaced(reading.deaths, reading.last_death)}"] if reading.deaths else []
    if reading.tail and reading.load is not None and reading.load.waiting:
        parts.append(f"; waiting for {', '.join(map(awaited, reading.load.waiting))}")
    return "".join(parts)


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
        "memory_bytes": reading.load and reading.load.memory_bytes,
        "limit": reading.load and reading.load.limit,
        "waiting": [msgspec.structs.asdict(host) for host in reading.load.waiting] if reading.load else [],
        "deaths": reading.deaths,
        "last_death": reading.last_death or None,
    }
    return json.dumps(values)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
