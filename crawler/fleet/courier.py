"""What goes on beside a coordinator's decisions: a thread that listens to the broker, and some that carry bytes.

Nothing is decided here: what is heard and what was carried comes out of `get`, in the thread that decides.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from crawler.depot.base import Depot
from crawler.errors import StoreError, WorkerError
from crawler.fleet.board import Board
from crawler.fleet.broker import BACK, Broker, client_errors, silence
from crawler.fleet.words import (
    BEAT_S,
    TASK,
    Beat,
    Lead,
    Notice,
    Order,
    chunk_name,
    queue_of,
    read_states,
    write_states,
)
from crawler.packs import Pack, read_pack, rows_folder
from crawler.records import FlowState

CARRIERS = 4
"""How many objects are on their way at once."""

_AGAIN_S = (0.5, 1.0, 2.0, 5.0)

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True, slots=True)
class Beats:
    """What all machines said last, each with how many seconds ago, and how long was listened since the time before."""

    beats: list[tuple[Beat, float]]
    listened_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """The names of all rows of this run that are in the depot, as somebody saw who began to look at `began`."""

    names: list[str]
    began: float


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """The rows of that name; None where they are gone or damaged."""

    name: str
    pack: Pack | None


@dataclasses.dataclass(frozen=True, slots=True)
class Recalled:
    """The entries of that chunk, as they were laid down."""

    chunk: int
    states: tuple[FlowState, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Deaf:
    """The broker does not do what it is asked, or does so again: the sentence for people."""

    text: str


Heard = Beats | Found | Fetched | Recalled | Deaf | Notice
AWAY: tuple[type[Exception], ...] = client_errors()
"""What a broker that is away makes its clients raise."""


class Courier:
    """Carries for a run that has the lead, until `close`."""

    def __init__(self, broker: Broker, board: Board, depot: Depot, lead: Lead) -> None:
        self._board = board
        self._depot = depot
        self._lead = lead
        self._app = broker.app()
        self._heard: queue.SimpleQueue[Heard | Exception | None] = queue.SimpleQueue()
        self._leaving = threading.Event()
        self._pool = ThreadPoolExecutor(CARRIERS, thread_name_prefix="depot")
        self._listener = threading.Thread(target=self._listen, name="broker", daemon=True)
        self._listener.start()

    def get(self, timeout_s: float | None) -> Heard | None:
        """What was heard or carried; None after so long without any of it, or after a `wake`.

        Raises what went wrong aside: StoreError, and WorkerError where another run has the lead.
        """
        try:
            heard = self._heard.get_nowait() if timeout_s == 0 else self._heard.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(heard, Exception):
            raise heard
        return heard

    def wake(self) -> None:
        """Make a waiting `get` return; from any thread."""
        self._heard.put(None)

    def order(self, order: Order, states: tuple[FlowState, ...] | None) -> None:
        """Lay down a chunk's entries, where they are not yet, and give its order to its machine.

        Where the broker does not take it, its machine will not name it, and so it is ordered again.
        """

        def give() -> None:
            if states is not None:
                data = write_states(states)
                insist(lambda: self._depot.put(chunk_name(order.run, order.chunk), data))
            self._app.send_task(
                TASK,
                args=[msgspec.to_builtins(order)],
                queue=queue_of(order.machine),
                task_id=f"{order.run}-{order.chunk}",
                ignore_result=True,
                retry=False,
            )

        self.aside(give)

    def fetch(self, name: str) -> None:
        """Read rows; they are `Fetched` then."""
        self.aside(lambda: self._heard.put(Fetched(name, self.read(name))))

    def recall(self, chunk: int) -> None:
        """Read a chunk's entries again; they are `Recalled` then. It is a StoreError where they are gone."""

        def read() -> None:
            data = insist(lambda: self._depot.get(chunk_name(self._lead.run, chunk)))
            try:
                self._heard.put(Recalled(chunk, read_states(data or b"")))
            except ValueError as error:
                raise StoreError(
                    f"The store {self._depot.url} has lost a chunk that is not done; what was recorded is safe, "
                    "and the same command goes on."
                ) from error

        self.aside(read)

    def look(self) -> None:
        """Look what rows there are; they are `Found` then."""

        def look() -> None:
            began = time.monotonic()
            names = insist(lambda: [name for name, _ in self._depot.sizes(rows_folder(self._lead.run))])
            self._heard.put(Found(names, began))

        self.aside(look)

    def read(self, name: str) -> Pack | None:
        """A pack of the depot; None where it is gone or damaged. Raises StoreError."""
        data = insist(lambda: self._depot.get(name))
        try:
            return None if data is None else read_pack(data)
        except ValueError:
            return None

    def aside(self, work: Callable[[], object]) -> None:
        """Do something in a thread of its own; what it raises, `get` does, unless the broker was only away."""

        def do() -> None:
            try:
                work()
            except AWAY:
                return
            except Exception as error:
                self._heard.put(error)

        if not self._leaving.is_set():
            self._pool.submit(do)

    def close(self) -> None:
        """Finish what was to be carried, and listen no more."""
        self._leaving.set()
        self._pool.shutdown()
        self._listener.join()
        self._app.close()

    def _listen(self) -> None:
        try:
            self._hear()
        except Exception as error:
            self._heard.put(error)

    def _hear(self) -> None:
        """Keep the lead, and pass on what machines say; where the broker is away, say so and try again."""
        heard_at: float | None = None
        deaf = False
        while not self._leaving.is_set():
            try:
                if heard_at is None or time.monotonic() - heard_at >= BEAT_S:
                    lead = self._board.lead(self._lead)
                    if lead.run != self._lead.run:
                        self._heard.put(_lost(lead))
                        return
                    beats, now = self._board.beats(), time.monotonic()
                    if deaf:
                        self._heard.put(Deaf(BACK))
                    deaf = False
                    self._heard.put(Beats(beats, min(now - (heard_at or now), 2 * BEAT_S)))
                    heard_at = now
                for notice in self._board.notices(self._lead.run, BEAT_S / 4):
                    self._heard.put(notice)
            except AWAY as error:
                if not deaf:
                    self._heard.put(Deaf(silence(error)))
                deaf = True
                heard_at = time.monotonic()  # only time counts in which it could be listened to
                self._leaving.wait(BEAT_S / 4)


def insist(work: Callable[[], _Result]) -> _Result:
    """Do something with a depot, again where it fails, some times. Raises StoreError."""
    for pause_s in _AGAIN_S:
        try:
            return work()
        except StoreError:
            time.sleep(pause_s)
    return work()


def _lost(lead: Lead) -> WorkerError:
    return WorkerError(
        f"Another run ({lead.run}) has taken the lead on the broker; what was recorded is safe, and the same command "
        "goes on where no other runs."
    )
