"""The one interface of all engines: do one exchange, raise nothing for what a server did.

An engine pushes the answer into `exchange.body`:

1. `body.head(status, reason, version, headers)` once, with the final head (1xx heads are skipped) and the version
   as digits, such as `1.1`;
2. `body.feed(data)` for each piece, still encoded as on the wire but de-chunked;
3. stop and drop the connection as soon as either of them answers `Verdict.STOP`;
4. `body.end()` when the message came to its end as its framing has it.

An exchange that the body stopped, or that came to its end, is a `Reply`; everything else is a `Failure`.
`body.stalls_at(now)` is the time by which more bytes must have come (else `too_slow`), on the `time.monotonic` clock.
"""

from __future__ import annotations

from typing import Any, Protocol

from crawler.exchange import Exchange, Failure, Reply


class AsyncEngine(Protocol):
    """An engine for an event loop: thousands of exchanges wait side by side in one thread."""

    async def exchange(self, exchange: Exchange) -> Reply | Failure:
        """Do one exchange. Cancelling it closes its connection."""

    async def close(self) -> None:
        """Close every connection."""


class BlockingEngine(Protocol):
    """An engine whose exchange blocks its thread or greenlet."""

    def exchange(self, exchange: Exchange) -> Reply | Failure:
        """Do one exchange; safe to call from several threads at once."""

    def close(self) -> None:
        """Close every connection."""


class PolledEngine(Protocol):
    """An engine without a task, a thread or a callback an exchange: whoever drives it asks it what ended.

    It is used from one thread. Times are on the `time.monotonic` clock.
    """

    def fileno(self) -> int:
        """A descriptor that is readable when `act` has something to do."""

    def begin(self, exchange: Exchange, token: Any, now: float) -> None:
        """Begin an exchange; it goes on with each `act`, the next one at once."""

    def act(self, now: float) -> list[tuple[Any, Reply | Failure]]:
        """Do what can be done without waiting; what ended, each with the token that it was begun with."""

    def wake_at(self) -> float:
        """The time at which `act` has something to do although the descriptor is not readable; infinity: never."""

    def close(self) -> None:
        """Close every connection, those in use included; what they were used for is forgotten."""
