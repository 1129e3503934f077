"""What machines and their coordinator say through the broker: small, JSON, and never a secret or a program."""

from __future__ import annotations

from typing import Literal

import msgspec

from crawler.config import CrawlConfig
from crawler.errors import ConfigError
from crawler.records import FlowState, Keep, Status

_encode = msgspec.msgpack.Encoder().encode
_decode_states = msgspec.msgpack.Decoder(tuple[FlowState, ...]).decode

BEAT_S = 2.0
"""How often a machine says that it is there, and the coordinator that it leads."""

LEASE_S = 15.0
"""How long a machine may work on its shards without having been heard of. After as long a time it stops by itself; a
little later the coordinator gives them to others: in between nobody sends requests to their hosts."""

GRACE_S = 5.0
"""How much longer than a lease the coordinator waits, as the machine counts from when it began to speak."""


class Order(msgspec.Struct, frozen=True):
    """One task: a chunk of a run, for one machine and one term of it.

    `fence` is the number of the shard's lease: higher with each lease, so that an order which comes too late is known.
    It may be begun until the machine has counted its beats to `until`: whoever hears of a later one that does not name
    the chunk knows that this order will never be begun.
    """

    run: str
    chunk: int
    shard: int
    fence: int
    machine: str
    term: int
    until: int | None = None


class Lead(msgspec.Struct, frozen=True):
    """Who leads: the run, the depot where its chunks are, and the crawl that it is a run of."""

    run: str
    depot: str
    crawl: str


class Beat(msgspec.Struct, frozen=True):
    """A machine says that it is there: for the `count`-th time, in its `term`, with these `chunks` of `run` in hand.

    Its orders go to the queue of `machine`; `host` is its name for people. It takes `chunks_most` chunks at once, and
    no more where those hold `entries` entries. `parse` are the functions that it may run. `trouble` is the sentence of
    what hinders it just now. A machine that `left` will not be heard of again. Of its workers `deaths` have died in
    this term, the last one of `last_death`.
    """

    machine: str
    host: str
    term: int
    count: int
    run: str
    chunks: tuple[int, ...]
    chunks_most: int
    entries: int
    parse: tuple[str, ...] = ()
    left: bool = False
    trouble: str = ""
    status: Status | None = None
    deaths: int = 0
    last_death: str = ""


class Notice(msgspec.Struct, frozen=True):
    """A machine has begun a chunk, or laid down a part of what came of it under `name`."""

    kind: Literal["begun", "part"]
    chunk: int
    name: str = ""


class Plan(msgspec.Struct, frozen=True):
    """How a run's chunks are fetched; an object in the depot, for as long as the run lasts.

    `shards` is into how many parts the hosts are divided; 0: any machine may fetch any host. It holds what is sent
    with every request, and so perhaps secrets: the depot is as private as what is fetched.
    """

    config: CrawlConfig
    keep: Keep
    shards: int


_decode_plan = msgspec.msgpack.Decoder(Plan).decode


def queue_of(machine: str) -> str:
    """The Celery queue of a machine."""
    return f"crawler.{machine}"


def plan_name(run: str) -> str:
    """The name of the object of a run's plan."""
    return f"runs/{run}/plan"


def read_plan(data: bytes) -> Plan:
    """The object of a run's plan; raises ConfigError where it is none, or asks for what cannot be done here."""
    try:
        return _decode_plan(data)
    except ValueError as error:
        raise ConfigError(
            "The run's plan is damaged, or of another version of this program; install the same one on all machines."
        ) from error


def read_order(words: object) -> Order:
    """An order as it came; raises ConfigError where it is none."""
    try:
        return msgspec.convert(words, Order)
    except ValueError as error:
        raise ConfigError(
            "An order is of another version of this program; install the same one on all machines."
        ) from error


def chunk_name(run: str, chunk: int) -> str:
    """The name of the object of a chunk's entries."""
    return f"runs/{run}/chunks/{chunk}"


def trial_name(run: str, machine: str) -> str:
    """The name of the empty object by which a machine finds out whether it can lay down what it fetches."""
    return f"runs/{run}/machines/{machine}"


def write_states(states: tuple[FlowState, ...]) -> bytes:
    """The object of a chunk's entries."""
    return _encode(states)


def read_states(data: bytes) -> tuple[FlowState, ...]:
    """The entries in an object of a chunk; raises ValueError where it is damaged."""
    return _decode_states(data)


TASK = "crawler.chunk"
"""The name of the one Celery task."""


class Fleet(msgspec.Struct, frozen=True):
    """A crawl on many machines: the URL of their broker, and where they lay down what they fetched.

    Where no store is named, it is the one that the crawl has.
    """

    broker: str
    store: str | None = None
