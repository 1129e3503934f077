"""Exchanges from a script: an engine without a network, for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from crawler.body import Verdict
from crawler.exchange import Exchange, Failure, Reply, Timings
from crawler.records import Headers

NAME = "fake"
DRIVER = "tasks"


@dataclasses.dataclass(frozen=True, slots=True)
class Scripted:
    """One answer: its head and the pieces of its body, as on the wire but de-chunked."""

    pieces: tuple[bytes, ...] = ()
    status: int = 200
    headers: Headers = (("Content-Type", "text/html"),)
    reason: str = "OK"
    failure: Failure | None = None
    """What breaks the body off after its pieces."""


class FakeEngine:
    """An `AsyncEngine` that plays, for each URL, one answer or failure after the other; the last one stays.

    A URL that is not in the script fails with `connect`. `seen` holds the exchanges in their order.
    """

    def __init__(self, script: Mapping[str, Iterable[Scripted | Failure]] | None = None) -> None:
        self.seen: list[Exchange] = []
        self._script = {url: _lasting(answers) for url, answers in (script or {}).items()}

    async def exchange(self, exchange: Exchange) -> Reply | Failure:
        """Play the next answer of this URL."""
        self.seen.append(exchange)
        if exchange.url not in self._script:
            return Failure("connect", f"no script for {exchange.url}", sent=False)
        answer = next(self._script[exchange.url])
        return answer if isinstance(answer, Failure) else _play(answer, exchange)

    async def close(self) -> None:
        """Nothing is open."""


def make(*, insecure: bool, conc: int) -> FakeEngine:  # noqa: ARG001 - the siblings' signature
    """An engine whose script is empty: every host refuses to connect."""
    return FakeEngine()


def threads(conc: int) -> int:  # noqa: ARG001 - the siblings' signature
    """One: the loop's."""
    return 1


def _lasting(answers: Iterable[Scripted | Failure]) -> Iterator[Scripted | Failure]:
    for answer in answers:
        yield answer
    while True:
        yield answer


def _play(answer: Scripted, exchange: Exchange) -> Reply | Failure:
    body, whole = exchange.body, Reply(exchange.addresses[0], Timings(total_ms=0.0))
    if body.head(answer.status, answer.reason, "1.1", answer.headers) is Verdict.STOP:
        return whole
    if any(body.feed(piece) is Verdict.STOP for piece in answer.pieces):
        return whole
    if answer.failure is not None:
        body.cut("time" if answer.failure.error_class in ("timeout", "too_slow") else "disconnect")
        return answer.failure
    body.end()
    return whole
