"""How hard the runs of a crawl worked, second by second, and what limited them: a few hundred spans, however long.

Kept in `meta` as they come, so that a report can tell afterwards. A span is a second at first; as more come, the
shortest neighbours become one, so that all of them are about as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import msgspec

SPANS = 240
"""How many spans are kept."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of time, from `began` to `ended` (seconds since the epoch), of which a run watched `seconds`.

    `limits` are seconds by what limited the run then (`bottleneck.Kind`). Shares are means from 0 to 1, of one core
    each for a worker and the parent, of the time for the disk; `in_flight` and `places` are means over all workers
    together, `memory_bytes` is the most that all processes held.
    """

    began: float
    ended: float
    seconds: float
    limits: dict[str, float]
    worker_cpu: float = 0.0
    parent_cpu: float = 0.0
    disk: float = 0.0
    in_flight: float = 0.0
    places: float = 0.0
    memory_bytes: int = 0


class Tuning(msgspec.Struct, frozen=True):
    """How the last run was told to work: the settings that advice is about, and the cores that it had."""

    procs: int
    conc: int
    per_host: int
    delay: float
    engine: str
    cores: int


class History(msgspec.Struct):
    """The spans of all runs, oldest first; `tuning` is that of the last one."""

    spans: list[Span] = []
    tuning: Tuning | None = None

    @classmethod
    def decode(cls, text: str | None) -> Self:
        """What `encode` made; an empty one of what nobody understands, since a report can do without."""
        try:
            return msgspec.json.decode(text or "{}", type=cls)
        except msgspec.MsgspecError:
            return cls()

    def encode(self) -> str:
        """As JSON, some 30 KB at most."""
        return msgspec.json.encode(self).decode()

    def add(self, span: Span) -> None:
        """Add what came after all others; two neighbours become one where there are too many."""
        self.spans.append(span)
        if len(self.spans) > SPANS:
            at = min(range(len(self.spans) - 1), key=lambda n: self.spans[n + 1].ended - self.spans[n].began)
            self.spans[at : at + 2] = [_merged(self.spans[at], self.spans[at + 1])]

    def limits(self) -> dict[str, float]:
        """Seconds by what limited the runs, longest first."""
        seconds = _sum(span.limits for span in self.spans)
        return dict(sorted(seconds.items(), key=lambda item: -item[1]))

    @property
    def seconds(self) -> float:
        """How long the runs took, all together."""
        return sum(span.seconds for span in self.spans)


def _merged(one: Span, other: Span) -> Span:
    seconds = max(one.seconds + other.seconds, 1e-9)

    def mean(name: str) -> float:
        share: Any = (getattr(one, name) * one.seconds + getattr(other, name) * other.seconds) / seconds
        return round(float(share), 3)

    return Span(
        began=one.began,
        ended=other.ended,
        seconds=round(seconds, 3),
        limits=_sum((one.limits, other.limits)),
        worker_cpu=mean("worker_cpu"),
        parent_cpu=mean("parent_cpu"),
        disk=mean("disk"),
        in_flight=mean("in_flight"),
        places=mean("places"),
        memory_bytes=max(one.memory_bytes, other.memory_bytes),
    )


def _sum(limits: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in limits:
        for name, seconds in each.items():
            total[name] = round(total.get(name, 0.0) + seconds, 3)
    return total
