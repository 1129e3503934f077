"""The messages that travel: frozen, typed, free of I/O.

One URL's walk in types: `Entry` (a line of the list) → `FlowState` (in a `Chunk`, to a worker) →
`Row` and a payload (back in a result frame) → `Page` (what a library call hands out).
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

Outcome = Literal["fetched", "failed", "denied", "duplicate", "invalid"]
OUTCOMES: tuple[Outcome, ...] = ("fetched", "failed", "denied", "duplicate", "invalid")

ErrorClass = Literal[
    "dns", "connect", "tls", "timeout", "too_slow", "reset", "incomplete", "protocol", "headers_too_large",
    "decode", "redirect", "proxy", "host_down", "local", "worker_crash",
    "blocked_address", "robots", "scheme", "type", "invalid_url",
]  # fmt: skip

Keep = Literal["archive", "page", "row"]
"""What the workers make of a fate: WARC records, the page for a library call, or the row alone."""

Truncated = Literal["length", "time", "disconnect"]
"""Why a stored payload is not the whole one (WARC 1.1 §5.13)."""

Changed = Literal["new", "changed", "same", "gone"]
"""What became of a page since the previous crawl."""

Headers = tuple[tuple[str, str], ...]
"""Header fields in the order of the wire. Bytes that are not ASCII are kept as Latin-1 (RFC 9110 §5.5)."""


class Request(msgspec.Struct, frozen=True):
    """One request of a list: a URL and, where it is more than a GET, the rest of it.

    `extra` is the caller's own JSON object; it stands in the row's `extra` and costs its size on every pipe.
    """

    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: bytes = b""
    extra: dict[str, Any] | None = None


class Entry(msgspec.Struct, frozen=True):
    """One entry of the input, as it was read.

    `seq` counts entries over all inputs from 1. `problem` says why the entry cannot be a URL before it is
    even parsed (not UTF-8, a control character, a megabyte long); then `request.url` is a printable form.
    `attempts` are the tries that the row has counted which a retry replaces.
    """

    seq: int
    source: str
    source_line: int
    request: Request
    problem: str | None = None
    attempts: int = 0


class Hop(msgspec.Struct, frozen=True, array_like=True):
    """One redirect that was followed: the request, and the whole answer, as it will stand in the archive.

    `started` is in seconds since the epoch.
    """

    url: str
    method: str
    request_headers: Headers
    request_body: bytes
    status: int
    reason: str
    http_version: str
    headers: Headers
    payload: bytes
    location: str
    ip: str | None
    started: float
    truncated: Truncated | None = None


class Cookie(msgspec.Struct, frozen=True, array_like=True):
    """A cookie of one redirect chain (RFC 6265); it dies with the chain."""

    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    secure: bool


class Earlier(msgspec.Struct, frozen=True, array_like=True):
    """What the previous crawl recorded of an entry's page: which URL answered in the end, and how to know it again.

    `record` says where in that crawl's archive the answer lies (file, offset, length); None where there is no whole one
    to refer to.
    """

    url: str
    fetched_at: str
    etag: str | None
    last_modified: str | None
    digest: str | None
    body_digest: str | None
    content_type: str | None
    charset: str | None
    record: str | None


class FlowState(msgspec.Struct, frozen=True, array_like=True):
    """Where one entry stands: all that a worker needs to start its flow, or to take it over from another.

    `url` is the entry as it stood in the input; `target` the normalised URL to fetch next, `host` its host.
    `hops` are the redirects already followed, `attempts` the tries already used up, `spent_s` the seconds of
    exchange already taken from `max_time`; `earlier_attempts` are those of the row that a retry replaces.
    `shortages` are those of `attempts` that a limit of this machine ended. On a `detour` the `host` is not the one of
    `target`, but the one that is asked for a robots.txt. `earlier` is its page in the previous crawl.
    """

    seq: int
    source: str
    source_line: int
    url: str
    target: str
    host: str
    method: str = "GET"
    headers: Headers = ()
    body: bytes = b""
    extra: dict[str, Any] | None = None
    hops: tuple[Hop, ...] = ()
    cookies: tuple[Cookie, ...] = ()
    attempts: int = 0
    spent_s: float = 0.0
    earlier_attempts: int = 0
    shortages: int = 0
    detour: Detour | None = None
    earlier: Earlier | None = None


class RobotsReply(msgspec.Struct, frozen=True, array_like=True):
    """What came of asking for a robots.txt: the answer's `status` and decoded `body`, of which the rest may be `cut`.

    `status` is None where there was no whole answer: then `error_class` and `error` say why, after so many `tries`, and
    `dns_ms` what the lookup took.
    """

    status: int | None = None
    body: bytes = b""
    cut: bool = False
    error_class: ErrorClass | None = None
    error: str = ""
    tries: int = 1
    dns_ms: float | None = None


class Detour(msgspec.Struct, frozen=True, array_like=True):
    """Why an entry is on its way to a worker that is not the home of its host: to ask there for a robots.txt.

    That of `origin` redirects to a host there; `trail` is where its own flow stands. With the `reply` the entry goes
    home again, where others wait for it too. `trusted` says whether the caller's own header fields go along.
    """

    origin: str
    trusted: bool
    trail: FlowState
    reply: RobotsReply | None = None


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Work for one worker: at most `chunk_size` entries under a stable id."""

    id: int
    states: tuple[FlowState, ...]


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """A host that entries wait for: how many, and why.

    `limit`: as many requests as allowed are in flight; `delay`: its next request is not due; `back-off`: a retry is
    not due; `slow`: a request has been in flight for `seconds`; `push-back`: it asked for less, and rests; `address`:
    as many requests as allowed are in flight to its machine's address; `no connection`: it cannot be reached, and is
    tried again in `seconds`.
    """

    host: str
    entries: int
    why: Literal["limit", "delay", "back-off", "slow", "push-back", "address", "no connection"]
    seconds: float = 0.0


class Status(msgspec.Struct, frozen=True, array_like=True):
    """What a worker says of itself once a second: the state of its pool, and what it costs.

    `in_flight` of at most `conc` exchanges; `held` entries are not final, of which `ready` could go at once (a lower
    bound). `cpu_s` is the processor time it has used since its start, `memory_bytes` its resident memory. `shortage` is
    the limit of this machine that holds exchanges back, in a few words; `looking_up` the hosts that DNS is asked for.
    Where there are several machines, it is what one of them, `machine`, says of all its workers together.
    """

    in_flight: int
    conc: int
    held: int
    ready: int
    cpu_s: float
    memory_bytes: int
    waiting: tuple[Waiting, ...] = ()
    shortage: str | None = None
    looking_up: int = 0
    machine: str = ""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """The final record of one entry: the columns of `pages`, in their order.

    Times ending in `_ms` are milliseconds, sizes are bytes; what an engine cannot know is None. The last three
    are filled by the store when it appends: offset and length, in bytes, of the record's gzip member.
    """

    seq: int
    source: str
    source_line: int
    url: str
    final_url: str | None
    host: str | None
    outcome: Outcome
    status: int | None = None
    error_class: str | None = None
    error: str | None = None
    attempts: int = 0
    fetched_at: str | None = None
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    ttfb_ms: float | None = None
    total_ms: float | None = None
    bytes_wire: int | None = None
    bytes_body: int | None = None
    content_type: str | None = None
    charset: str | None = None
    digest: str | None = None
    body_digest: str | None = None
    truncated: Truncated | None = None
    redirects: str | None = None
    ip: str | None = None
    http_version: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    duplicate_of: int | None = None
    changed: Changed | None = None
    extra: str | None = None
    parsed: str | None = None
    parse_error: str | None = None
    engine: str | None = None
    worker: int | None = None
    warc_file: str | None = None
    warc_offset: int | None = None
    warc_length: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the page was fetched with a 2xx status, or is there unchanged, as a 304 said that we asked for."""
        if self.outcome != "fetched" or self.status is None:
            return False
        return 200 <= self.status < 300 or (self.status == 304 and self.changed == "same")

    @property
    def has_body(self) -> bool:
        """Whether the archive holds a body, be it empty or cut; of a page whose type is not wanted it has the head."""
        return bool(self.warc_length) and self.error_class != "type"


def row_of(state: FlowState, outcome: Outcome, **columns: Any) -> Row:
    """The row of an entry that was admitted: what stands in its state, and the `columns` that say how it ended."""
    return Row(
        seq=state.seq,
        source=state.source,
        source_line=state.source_line,
        url=state.url,
        final_url=state.target,
        host=state.host,
        outcome=outcome,
        extra=json_of(state.extra),
        **columns,
    )


def json_of(extra: dict[str, Any] | None) -> str | None:
    """The `extra` column of what the caller gave along."""
    return None if extra is None else json.dumps(extra)


class Parsed(msgspec.Struct, frozen=True, array_like=True):
    """What came of parsing the page of an entry: a `result` as JSON, or the `error` that says why there is none."""

    seq: int
    result: str | None = None
    error: str | None = None


class Result(msgspec.Struct, frozen=True):
    """One entry's fate on its way to the consumer.

    `payload` is what the sink's encoder made: finished WARC records for the archive (the page's own response
    record begins `record_at` bytes into it and is `record_length` long), or the decoded body for a library call,
    which then has the response's `headers` beside it.
    """

    row: Row
    payload: bytes = b""
    record_at: int = 0
    record_length: int = 0
    headers: Headers = ()

    def parsed(self, answer: Parsed) -> Result:
        """The same, with what came of parsing it."""
        row = msgspec.structs.replace(self.row, parsed=answer.result, parse_error=answer.error)
        return msgspec.structs.replace(self, row=row)
