"""Writes down how hard a run works while it does: a span of `History` a second, which the store keeps now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from crawler.config import CrawlConfig, available_cores
from crawler.history import History, Span, Tuning
from crawler.load import LoadMeter
from crawler.pipeline import Pipeline

_SPAN_S = 1.0
_KEEP_S = 5.0


class Logbook:
    """The history of a crawl, to which a run adds. `clock` only goes on, `wall` is in seconds since the epoch.

    It costs a look at the clock a batch of results, and about a tenth of a millisecond a second.
    """

    def __init__(
        self,
        history: str | None,
        config: CrawlConfig,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._history = History.decode(history)
        self._history.tuning = Tuning(
            config.procs, config.conc, config.per_host, config.delay, config.engine, available_cores()
        )
        self._clock = clock
        self._wall = wall
        self._meter = LoadMeter()
        self._since = self._kept = clock()

    def follow(self, pipeline: Pipeline) -> None:
        """Called with each batch of results, a few times a second at least."""
        if (seconds := self._clock() - self._since) >= _SPAN_S:
            self._note(pipeline, seconds)

    def kept(self) -> str | None:
        """What to keep with the next commit; None where what is kept is good enough."""
        if (now := self._clock()) - self._kept < _KEEP_S:
            return None
        self._kept = now
        return self._history.encode()

    def end(self, pipeline: Pipeline) -> str:
        """What to keep at the end of the run."""
        self._note(pipeline, self._clock() - self._since)
        return self._history.encode()

    def _note(self, pipeline: Pipeline, seconds: float) -> None:
        self._since += seconds
        load, now = self._meter.read(pipeline, self._since), self._wall()
        workers = load.workers
        self._history.add(
            Span(
                began=round(now - seconds, 3),
                ended=round(now, 3),
                seconds=round(seconds, 3),
                limits={load.kind: round(seconds, 3)},
                worker_cpu=round(sum(worker.cpu for worker in workers) / max(len(workers), 1), 3),
                parent_cpu=round(load.parent_cpu, 3),
                disk=round(load.disk, 3),
                in_flight=sum(worker.in_flight for worker in workers),
                places=sum(worker.conc for worker in workers),
                memory_bytes=load.memory_bytes,
            )
        )
