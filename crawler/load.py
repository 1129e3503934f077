"""How hard a run works now: its workers, the hosts it waits for, its memory, and what limits it."""

from __future__ import annotations

import collections
import dataclasses
import heapq
from collections.abc import Callable, Iterable

import msgspec

from crawler.bottleneck import Kind, Limit, Pressure, bottleneck
from crawler.pipeline import Pipeline
from crawler.records import Status, Waiting
from crawler.usage import usage

_PARENT = -1
_SPAN_S = 0.9  # workers say how they are once a second: a shorter span would see no change
_NAMED = 3
_STOPPING = Limit("stopping", "stopping: finishing what is in flight; Ctrl-C again stops at once")


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker: `in_flight` of at most `conc` exchanges, and the share of a core that it uses.

    Of several machines it is one machine, `machine`, with the mean of its workers' shares.
    """

    number: int
    in_flight: int
    conc: int
    cpu: float
    machine: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """A run's load at one moment. `memory_bytes` is the resident memory of all processes; `limit` one line.

    `kind` is what kind of limit that is; `parent_cpu` the share of a core that the parent uses, `disk` the share of
    the time that recording takes.
    """

    workers: tuple[WorkerLoad, ...]
    memory_bytes: int
    waiting: tuple[Waiting, ...]
    limit: str
    kind: Kind = "nothing"
    parent_cpu: float = 0.0
    disk: float = 0.0


@dataclasses.dataclass(slots=True)
class _Meter:
    """The rate of a counter that only grows, but for a worker's that was replaced: it begins anew."""

    at: float
    value: float
    rate: float = 0.0

    def read(self, now: float, value: float) -> float:
        if now - self.at >= _SPAN_S:
            self.rate = min(max(value - self.value, 0.0) / (now - self.at), 1.0)
            self.at, self.value = now, value
        return self.rate


class LoadMeter:
    """Reads the load of a run, again and again. `cost` gives this process's processor time and memory."""

    def __init__(self, cost: Callable[[], tuple[float, int]] = usage) -> None:
        self._cost = cost
        self._cpu: dict[int, _Meter] = {}
        self._consumer: _Meter | None = None

    def read(self, pipeline: Pipeline, now: float) -> Load:
        """The load now; `now` in seconds of a clock that only goes on."""
        statuses = pipeline.executor.statuses()
        cpu_s, memory = self._cost()
        parent = self._share(_PARENT, now, cpu_s)
        workers = tuple(
            WorkerLoad(number, status.in_flight, status.conc, self._share(number, now, status.cpu_s), status.machine)
            for number, status in sorted(statuses.items())
        )
        waiting = [host for status in statuses.values() for host in status.waiting]
        parked = sum(host.entries for host in waiting if host.why != "slow")
        pressure = Pressure(
            workers=len(workers),
            worker_cpu=sum(worker.cpu for worker in workers) / max(len(workers), 1),
            parent_cpu=parent,
            consumer=self._consumed(pipeline, now),
            in_flight=sum(worker.in_flight for worker in workers),
            places=sum(worker.conc for worker in workers),
            open=pipeline.open,
            parked=max(parked, _beyond_limits(statuses.values(), pipeline.config.per_host)),
            why=_foremost_reason(waiting),
            hosts=len({host.host for host in waiting if host.why != "slow"}),
            window_full=pipeline.crew.router.full,
            unread=not pipeline.feed.finished,
            starved=pipeline.feed.empty,
            looking_up=sum(status.looking_up for status in statuses.values()),
            shortage=next((status.shortage for status in statuses.values() if status.shortage), None),
        )
        memory += sum(status.memory_bytes for status in statuses.values())
        limit = bottleneck(pressure) if pipeline.stops_at is None else _STOPPING
        return Load(workers, memory, _foremost(waiting), limit.text, limit.kind, pressure.parent_cpu, pressure.consumer)

    def _share(self, number: int, now: float, cpu_s: float) -> float:
        return self._cpu.setdefault(number, _Meter(now, cpu_s)).read(now, cpu_s)

    def _consumed(self, pipeline: Pipeline, now: float) -> float:
        if self._consumer is None:
            self._consumer = _Meter(now, pipeline.consumed_s)
        return self._consumer.read(now, pipeline.consumed_s)


def _beyond_limits(statuses: Iterable[Status], per_host: int) -> int:
    """How many entries could not go even if all hosts that could take one took as many as they may.

    A host whose requests have just come back is not waited for at that moment, however many entries queue there.
    """
    if not per_host:
        return 0
    return sum(
        max(status.held - status.in_flight - status.looking_up - per_host * status.ready, 0) for status in statuses
    )


def _foremost_reason(waiting: list[Waiting]) -> str:
    """What most entries wait for."""
    entries: collections.Counter[str] = collections.Counter()
    for host in waiting:
        entries[host.why] += host.entries * (host.why != "slow")
    return max(entries, key=entries.__getitem__, default="limit")


def _foremost(waiting: list[Waiting]) -> tuple[Waiting, ...]:
    """The hosts to name, each once a reason: those with most entries, then those that take longest."""
    merged: dict[tuple[str, str], Waiting] = {}
    for host in waiting:
        other = merged.get((host.host, host.why))
        entries, seconds = (other.entries, other.seconds) if other is not None else (0, 0.0)
        merged[host.host, host.why] = msgspec.structs.replace(
            host, entries=host.entries + entries, seconds=max(host.seconds, seconds)
        )
    return tuple(heapq.nlargest(_NAMED, merged.values(), key=lambda host: (host.entries, host.seconds)))
