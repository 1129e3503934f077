"""What happens to one body: placeholder interface, being written."""

from __future__ import annotations

import enum

from crawler.records import ErrorClass, Headers, Truncated


class Verdict(enum.Enum):
    """What the engine does next."""

    GO = "go"
    STOP = "stop"


class Body:
    """One response, as it arrives: caps, decoding, digests."""

    status: int | None
    reason: str
    http_version: str
    headers: Headers
    bytes_wire: int
    bytes_body: int
    truncated: Truncated | None
    problem: ErrorClass | None
    problem_text: str

    def __init__(
        self,
        *,
        method: str = "GET",
        max_bytes: int,
        min_speed: int = 0,
        accept_type: tuple[str, ...] = (),
        keep_decoded: bool = False,
    ) -> None: ...
    def head(self, status: int, reason: str, http_version: str, headers: Headers) -> Verdict: ...
    def feed(self, data: bytes) -> Verdict: ...
    def end(self) -> None: ...
    def cut(self, why: Truncated) -> None: ...
    def stalls_at(self, now: float) -> float: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def decoded(self) -> bytes: ...
    @property
    def digest(self) -> str: ...
    @property
    def body_digest(self) -> str: ...
