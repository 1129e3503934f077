"""What one run has done so far, in numbers: what the display and the log lines show."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

from crawler.load import Load, LoadMeter
from crawler.pipeline import Pipeline
from crawler.records import Result

_WINDOW_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """The run at one moment. Rates are over the last five seconds, `mean_` values over the whole run.

    `fraction` of the list that is final (None where its length is unknown), `eta_s` the seconds left at this pace;
    `tail` says that the list is read to its end and entries are open. `deaths` counts the workers that died,
    `last_death` says of what the last one did.
    """

    elapsed_s: float
    read: int
    recorded: int
    ok: int
    pages_per_s: float
    mean_pages_per_s: float
    bytes_per_s: float
    mean_page_ms: float | None
    fraction: float | None
    eta_s: float | None
    outcomes: dict[str, int]
    error_classes: dict[str, int]
    in_hand: int
    workers: int
    load: Load | None = None
    tail: bool = False
    deaths: int = 0
    last_death: str = ""
    bytes_wire: int = 0

    @property
    def success_rate(self) -> float | None:
        """Pages with a 2xx status over final rows; None while there are none."""
        return self.ok / self.recorded if self.recorded else None


class Tally:
    """Counts the results of one run; `clock` gives seconds that only go on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._recent: deque[tuple[float, int, int, int]] = deque([(self._started, 0, 0, 0)])
        self.ok = 0
        self._recorded = self._bytes = self._timed = 0
        self._total_ms = 0.0
        self._load = LoadMeter()
        self._outcomes: Counter[str] = Counter()
        self.error_classes: Counter[str] = Counter()
        self.deaths = 0
        self.last_death = ""

    def follow(self, pipeline: Pipeline, results: Iterable[Result]) -> None:
        """Count a batch of a run's results, and its dead."""
        self.add(results)
        self.deaths, self.last_death = pipeline.crew.deaths, pipeline.crew.last_death

    def add(self, results: Iterable[Result]) -> None:
        """Count results."""
        rows = [result.row for result in results]
        times = [row.total_ms for row in rows if row.total_ms is not None]
        self._recorded += len(rows)
        self.ok += sum(row.ok for row in rows)
        self._bytes += sum(row.bytes_wire or 0 for row in rows)
        self._outcomes.update(row.outcome for row in rows)
        self.error_classes.update(row.error_class for row in rows if row.error_class is not None)
        self._timed += len(times)
        self._total_ms += sum(times)

    def read(self, pipeline: Pipeline) -> Reading:
        """The run as it stands."""
        now = self._clock()
        elapsed = now - self._started
        self._recent.append((now, self.ok, self._bytes, self._recorded))
        while len(self._recent) > 2 and now - self._recent[0][0] > _WINDOW_S:
            self._recent.popleft()
        then, ok, count, recorded = self._recent[0]
        span = max(now - then, 1e-3)
        fraction = _fraction(pipeline)
        return Reading(
            elapsed_s=elapsed,
            read=pipeline.read,
            recorded=self._recorded,
            ok=self.ok,
            pages_per_s=(self.ok - ok) / span,
            mean_pages_per_s=self.ok / max(elapsed, 1e-3),
            bytes_per_s=(self._bytes - count) / span,
            mean_page_ms=self._total_ms / self._timed if self._timed else None,
            fraction=fraction,
            eta_s=self._eta(pipeline, fraction, elapsed, moves=self._recorded > recorded),
            outcomes=dict(self._outcomes),
            error_classes=dict(self.error_classes.most_common()),
            in_hand=pipeline.crew.in_hand,
            workers=pipeline.executor.started,
            load=self._load.read(pipeline, now),
            tail=pipeline.feed.finished and pipeline.open > 0,
            deaths=self.deaths,
            last_death=self.last_death,
            bytes_wire=self._bytes,
        )

    def _eta(self, pipeline: Pipeline, fraction: float | None, elapsed: float, *, moves: bool) -> float | None:
        """Seconds left: at the pace of this run, but no less than the host with most entries takes by its limits.

        Where nothing has ended for a while (`moves`), the pace says nothing: then the limits alone do, if they can.
        """
        if not fraction or not self._recorded:
            return None
        final = _final(pipeline)
        at_this_pace = (final / fraction - final) * elapsed / self._recorded
        by_limits = self._longest_host(pipeline, final / fraction)
        return max(at_this_pace, by_limits) if moves else by_limits or None

    def _longest_host(self, pipeline: Pipeline, entries: float) -> float:
        """What is left of the most waited-for host, times what politeness makes each of its entries take.

        What is not read yet is taken to hold as much of that host as what was read.
        """
        config = pipeline.config
        page_s = self._total_ms / self._timed / 1000 if self._timed else 0.0
        each_s = max(config.delay, page_s / config.per_host if config.per_host else 0.0)
        hosts = (host for status in pipeline.executor.statuses().values() for host in status.waiting)
        queued = max((host.entries for host in hosts if host.why in ("limit", "delay")), default=0)
        return queued * each_s * max(entries / max(pipeline.read, 1), 1.0)


def _fraction(pipeline: Pipeline) -> float | None:
    """How much of the list is final: by entries where its length is known, else by bytes read, less what is open."""
    source, final = pipeline.source, _final(pipeline)
    if source.length:
        return min(final / source.length, 1.0)
    if source.total_bytes and pipeline.read:
        return min(source.position / source.total_bytes, 1.0) * final / pipeline.read
    return None


def _final(pipeline: Pipeline) -> int:
    """How many entries that were read are final."""
    return pipeline.read - pipeline.open
