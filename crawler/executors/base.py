"""The one interface of all executors: who runs the chunks.

An executor has `workers` places. A worker is started when its first chunk arrives, so a place that was never used
costs nothing; until then it counts as having one credit.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from crawler.records import Chunk, FlowState, Result, Status


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """A worker says how entries ended: as many as came at once."""

    worker: int
    results: list[Result]


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """A worker hands back an entry whose redirect leads to another worker's host."""

    worker: int
    state: FlowState


@dataclasses.dataclass(frozen=True, slots=True)
class Died:
    """A worker is gone, and with it what it held: `suspects` were in flight when it died, `others` were waiting.

    `cause` completes a sentence that begins with 'the worker'. One of the suspects may have been parsed: then its
    `page` was here before; `ended` says that the worker was ended because it never came back from something. `counts`
    is how many workers' deaths that is: 0 where they were `Replaced` already.
    """

    worker: int
    cause: str
    suspects: tuple[FlowState, ...]
    others: tuple[FlowState, ...]
    page: Result | None = None
    ended: bool = False
    counts: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A worker cannot be started just now: what was sent to it comes back, and its place rests. Others go on.

    `cause` completes a sentence that begins with 'the worker'.
    """

    worker: int
    cause: str
    states: tuple[FlowState, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Replaced:
    """So many workers died where others see to it, the last of `cause`."""

    deaths: int
    cause: str


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """A sentence that people should read, once."""

    text: str


ExecutorEvent = Settled | Moved | Died | Refused | Replaced | Said


class Executor(Protocol):
    """Runs chunks on workers. Not safe to use from several threads at once, but for `wake`."""

    workers: int
    started: int

    def credit(self, worker: int) -> int:
        """How many chunks this worker asked for and has not got."""

    def send(self, worker: int, chunk: Chunk) -> None:
        """Give a worker its next chunk, starting it if need be.

        Raises WorkerError where the system does not allow that, and no other worker has anything to do either.
        """

    def events(self, timeout_s: float | None) -> list[ExecutorEvent]:
        """What the workers said; waits up to `timeout_s` for something to happen, and may find nothing sooner.

        A worker that dies is an event, and so is one that holds entries and does not answer any more: it is ended.
        Its place is started anew with a back-off. Raises WorkerError when that leads nowhere.
        """

    def statuses(self) -> dict[int, Status]:
        """What each worker said of itself last, by its number; at most a few seconds old while it works."""

    @property
    def hindrance(self) -> str:
        """Why nobody can work now, as a phrase; '' where somebody can, or nobody knows yet."""

    def stop(self) -> None:
        """Let every worker finish what it has in flight, and begin nothing more; what only waits is given up."""

    @property
    def stopped(self) -> bool:
        """Whether every worker that was told to stop has."""

    def wake(self) -> None:
        """Make a waiting `events` return; from any thread."""

    def recorded(self) -> None:
        """Hear that all results which `events` gave so far are on the disk."""

    def close(self) -> None:
        """Leave no worker behind: the idle ones end by themselves, the busy ones are ended."""
