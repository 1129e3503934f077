"""A run's numbers as Prometheus metrics, in its text format, made from the latest reading when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from crawler.load import Load
from crawler.records import OUTCOMES
from crawler.report.advice import NAMES
from crawler.report.board import Board, Posted

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class _Run(Collector):
    """The run that a board is about; no metrics before its first reading."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        posted = self._board.posted
        if posted is not None:
            yield from _counts(posted)
            yield from _state(posted)
            if posted.reading.load is not None:
                yield from _load(posted.reading.load)


def make_metrics(board: Board) -> CollectorRegistry:
    """The registry of one run."""
    registry = CollectorRegistry()
    registry.register(_Run(board))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """The metrics as text."""
    return generate_latest(registry)


def _counts(posted: Posted) -> Iterator[Metric]:
    """What only grows in a run; a run that goes on with a crawl begins at nothing."""
    reading = posted.reading
    yield CounterMetricFamily("crawler_entries_read", "Entries taken from the list.", reading.read)
    outcomes = CounterMetricFamily("crawler_entries", "Entries that are final, by outcome.", labels=["outcome"])
    for outcome in OUTCOMES:
        outcomes.add_metric([outcome], reading.outcomes.get(outcome, 0))
    yield outcomes
    yield CounterMetricFamily("crawler_pages_ok", "Pages fetched with a 2xx status.", reading.ok)
    errors = CounterMetricFamily("crawler_errors", "Entries by error class.", labels=["error_class"])
    for name, count in reading.error_classes.items():
        errors.add_metric([name], count)
    yield errors
    yield CounterMetricFamily("crawler_received_bytes", "Bytes of bodies over the wire.", reading.bytes_wire)
    yield CounterMetricFamily("crawler_worker_deaths", "Workers that died and were replaced.", reading.deaths)


def _state(posted: Posted) -> Iterator[Metric]:
    reading = posted.reading
    yield GaugeMetricFamily("crawler_entries_in_hand", "Entries that workers have.", reading.in_hand)
    yield GaugeMetricFamily("crawler_workers", "Worker processes that were started.", reading.workers)
    yield GaugeMetricFamily("crawler_elapsed_seconds", "Since the run began.", reading.elapsed_s)
    yield GaugeMetricFamily("crawler_reading_timestamp_seconds", "When these numbers were read.", posted.at)
    if reading.fraction is not None:
        yield GaugeMetricFamily("crawler_done_ratio", "How much of the list is final.", reading.fraction)
    if reading.eta_s is not None:
        yield GaugeMetricFamily("crawler_left_seconds", "Until the end, at this pace.", reading.eta_s)


def _load(load: Load) -> Iterator[Metric]:
    many = any(worker.machine for worker in load.workers)
    labels = ["worker", "machine"] if many else ["worker"]
    in_flight = GaugeMetricFamily("crawler_in_flight", "Exchanges in flight.", labels=labels)
    places = GaugeMetricFamily("crawler_places", "Exchanges that may be in flight.", labels=labels)
    cpu = GaugeMetricFamily("crawler_worker_cpu_ratio", "Share of a core that is used.", labels=labels)
    for worker in load.workers:
        for family, value in ((in_flight, worker.in_flight), (places, worker.conc), (cpu, worker.cpu)):
            family.add_metric([str(worker.number), worker.machine] if many else [str(worker.number)], value)
    yield from (in_flight, places, cpu)
    yield GaugeMetricFamily("crawler_parent_cpu_ratio", "Share of a core that the parent uses.", load.parent_cpu)
    yield GaugeMetricFamily("crawler_recording_ratio", "Share of the time that recording takes.", load.disk)
    yield GaugeMetricFamily("crawler_resident_memory_bytes", "Memory of all processes.", load.memory_bytes)
    limits = GaugeMetricFamily("crawler_limited_by", "1 for what limits the run now.", labels=["limit"])
    for kind in NAMES:
        limits.add_metric([kind], int(kind == load.kind))
    yield limits
