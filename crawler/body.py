"""What happens to one body: caps, decoding, digests, the speed that it must have.

A body has two forms. The *payload* is what came over the wire, de-chunked but still encoded, as the archive
keeps it. The *decoded* body is the payload without its content codings (RFC 9110 §8.4).
"""

from __future__ import annotations

import enum
import fnmatch
import math

from crawler.budget import Budget, Buffer
from crawler.charset import charset_by
from crawler.codings import CODINGS, SLICE_BYTES, SMALL_CODINGS, CodingError, Decoder
from crawler.digests import Digest
from crawler.headers import by_name, media_type, members
from crawler.records import ErrorClass, Headers, Truncated

START_BYTES = 1024
"""How much of the decoded body `Body.start` keeps: what a charset prescan reads (WHATWG HTML §13.2.3.2)."""

_WINDOW_S = 10
_MOST_CODINGS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Verdict(enum.Enum):
    """What the engine does next."""

    GO = "go"
    STOP = "stop"


class _Form:
    """One form of the body: its bytes (or only their start), how many they are, their SHA-1."""

    __slots__ = ("_buffer", "digest", "length", "start")

    def __init__(self, budget: Budget | None = None) -> None:
        self._buffer = Buffer(budget) if budget is not None else None
        self.digest = Digest()
        self.length = 0
        self.start = b""

    def add(self, data: bytes) -> None:
        """Take the next piece, or nothing of it where this raises OSError or MemoryError."""
        if self._buffer is not None:
            self._buffer.add(data)
        self.digest.update(data)
        if self.length < START_BYTES:
            self.start += data[: START_BYTES - self.length]
        self.length += len(data)

    def value(self) -> bytes:
        return self._buffer.value() if self._buffer is not None else self.start


_NOTHING = _Form()
"""What there is of a body before its head. Thousands wait for theirs: what they will need is made when it comes."""


class Body:
    """One response, as it arrives.

    `max_bytes` caps the payload and, by itself, the decoded body: what crosses it is cut exactly there, and
    `truncated` is `length`. Where the decoded body crosses it, the payload is kept up to its next multiple
    of 64 KB: the record does not hang on how the bytes were split on their way. What needs a large window to be decoded
    is decoded when it is all there: a body at a time, and not as many windows as there are bodies.
    `min_speed` is in bytes a second, over windows of 10 s; 0 lifts it. `accept_type` holds media types such
    as `text/html` or `text/*`; empty takes all. `keep_decoded` False saves the memory of the decoded body,
    where the archive's form is all that is wanted. What is kept counts in the worker's `budget`.

    `problem` is `type` (not an accepted media type, judged on the head; a redirect is not judged), `decode`
    (damaged or unfinished coded data; the payload is whole all the same) or `local` (it fits neither into the budget
    nor on the disk; the payload is what came before); `problem_text` is a sentence on it.
    """

    def __init__(
        self,
        *,
        method: str = "GET",
        max_bytes: int,
        min_speed: int = 0,
        accept_type: tuple[str, ...] = (),
        keep_decoded: bool = False,
        budget: Budget | None = None,
    ) -> None:
        self.status: int | None = None
        self.reason = ""
        self.http_version = ""
        self.headers: Headers = ()
        self._fields: dict[str, str] = {}  # the same, by name
        self.truncated: Truncated | None = None
        self.problem: ErrorClass | None = None
        self.problem_text = ""
        self._method = method
        self._limit = max_bytes
        self._window_bytes = min_speed * _WINDOW_S
        self._accept_type = accept_type
        self._keep_decoded = keep_decoded
        self._budget = budget or Budget()
        self._payload = self._decoded = _NOTHING  # one and the same until there is a coding
        self._decoder: Decoder | None = None
        self._waiting: Buffer | None = None
        self._waiting_bytes = 0
        self._ended = True  # until its head comes
        self._due: float | None = None
        self._due_bytes = 0

    def head(self, status: int, reason: str, http_version: str, headers: Headers) -> Verdict:
        """Take the final head; STOP where its media type is not wanted."""
        self.status, self.reason, self.http_version, self.headers = status, reason, http_version, headers
        self._fields = by_name(headers)
        if not self._accepts():
            self.problem, self.problem_text = "type", f"The media type {self.content_type!r} is not accepted."
            return Verdict.STOP
        if self._method == "HEAD" or status < 200 or status in (204, 304):  # RFC 9112 §6.3
            return Verdict.GO
        self._ended = False
        self._payload = self._decoded = _Form(self._budget)
        if "content-encoding" in self._fields:
            self._expect(members(headers, "content-encoding"))
        return Verdict.GO

    def feed(self, data: bytes) -> Verdict:
        """Take the next piece, as on the wire but de-chunked; STOP where no more is wanted."""
        if self._ended:
            return Verdict.STOP
        try:
            self._take(data)
        except OSError as error:
            self._lack(error)
        return Verdict.STOP if self._ended else Verdict.GO

    def end(self) -> None:
        """The message came to its end: check that its coded data did, too."""
        self._finish()
        if self._decoder is not None and self.truncated is None and not self._decoder.complete:
            self._blame("it ends before its end marker")

    def cut(self, why: Truncated) -> None:
        """The rest will not come."""
        self._finish()
        self.truncated = self.truncated or why

    def stalls_at(self, now: float) -> float:
        """The time by which more must have come, in seconds on the clock of `now`; infinity: no such time.

        A window of 10 s begins with the first call after the head, and anew with each call that finds that
        it has brought its bytes, ten times `min_speed`.
        """
        if not self._window_bytes or self.status is None or self._ended:
            return math.inf
        if self._due is None or self.bytes_wire >= self._due_bytes:
            self._due, self._due_bytes = now + _WINDOW_S, self.bytes_wire + self._window_bytes
        return self._due

    def header(self, name: str) -> str | None:
        """The value of the first header field called `name` (in any case)."""
        return self._fields.get(name.lower())

    @property
    def content_type(self) -> str | None:
        """The media type of Content-Type alone, in lower case, at most 255 characters; None if absent."""
        return media_type(self._fields.get("content-type"))

    @property
    def charset(self) -> str | None:
        """The canonical name of the decoded body's encoding; None: nothing says it."""
        return charset_by(self._fields.get("content-type"), self.start)

    @property
    def bytes_wire(self) -> int:
        """The length of the payload."""
        return self._payload.length + self._waiting_bytes

    @property
    def bytes_body(self) -> int:
        """The length of the decoded body."""
        return self._decoded.length

    @property
    def payload(self) -> bytes:
        """The bytes as on the wire, still encoded."""
        return self._payload.value()

    @property
    def decoded(self) -> bytes:
        """The body without its codings; only its first 1,024 bytes where it has some and is not to be kept.

        Empty where its data is damaged. Where the data only ends too early, what could be decoded.
        """
        return self._decoded.value()

    @property
    def is_packed(self) -> bool:
        """Whether the payload has codings that can be undone, and so is compressed already."""
        return self._decoded is not self._payload and self.problem != "decode"

    @property
    def start(self) -> bytes:
        """The first 1,024 bytes of the decoded body."""
        return self._decoded.start

    @property
    def digest(self) -> str:
        """The payload's SHA-1 as WARC has it: `sha1:` and base32."""
        return str(self._payload.digest)

    @property
    def body_digest(self) -> str:
        """The decoded body's SHA-1, written like `digest`."""
        return str(self._decoded.digest)

    def _accepts(self) -> bool:
        found = self.content_type if self._accept_type else None
        if found is None or (self.status in _REDIRECTS and self.header("location") is not None):
            return True
        return any(fnmatch.fnmatchcase(found, accepted.lower()) for accepted in self._accept_type)

    def _take(self, data: bytes) -> None:
        """Keep what there is room for under the cap. Raises OSError."""
        if self._waiting is not None:
            self._wait(self._waiting, data)
            return
        room = self._limit - self.bytes_wire
        if len(data) > room:
            data, self.truncated = data[:room], "length"
        if self._decoder is not None:
            self._decode(self._decoder, data, last=self.truncated is not None)
            data = data[: self._limit - self.bytes_wire]
        self._payload.add(data)
        self._ended = self.truncated is not None and self.bytes_wire == self._limit

    def _wait(self, waiting: Buffer, data: bytes) -> None:
        """Keep what comes for later; one byte beyond the cap is enough to know that it is crossed. Raises OSError."""
        data = data[: self._limit + 1 - self._waiting_bytes]
        waiting.add(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > self._limit:
            self._catch_up()
            self._ended = True

    def _catch_up(self) -> None:
        """Take what has waited, as if it came now: whatever the pieces are, the outcome is the same. Raises OSError."""
        assert self._waiting is not None
        data, self._waiting, self._waiting_bytes = self._waiting.value(), None, 0
        self._ended = False
        for at in range(0, len(data), SLICE_BYTES):
            self._take(data[at : at + SLICE_BYTES])
            if self._ended:
                return

    def _finish(self) -> None:
        """No more will come: decode what has waited for more."""
        try:
            if self._waiting is not None:
                self._catch_up()
            if self._decoder is not None:
                self._decode(self._decoder, b"", last=True)
        except (MemoryError, OSError) as error:
            self._lack(error)
        self._ended = True

    def _expect(self, codings: list[str]) -> None:
        """Get ready to decode; with a coding that is unknown (`utf-8`, `none`, …) the payload is the body."""
        codings = [coding for coding in codings if coding != "identity"]
        if len(codings) > _MOST_CODINGS:
            self._lose(f"it has {len(codings)} codings, one upon the other")
        elif codings and CODINGS.issuperset(codings):
            self._decoded = _Form(self._budget if self._keep_decoded else None)
            self._decoder = Decoder(codings, self._limit)
            if not SMALL_CODINGS.issuperset(codings):
                self._waiting = Buffer(self._budget)

    def _decode(self, decoder: Decoder, data: bytes, *, last: bool) -> None:
        """Decode the payload's next piece. Raises OSError."""
        try:
            for piece in decoder.decode(data, last=last):
                self._decoded.add(piece)
        except CodingError as error:
            self._lose(str(error))
        else:
            self._check_full(decoder)

    def _check_full(self, decoder: Decoder) -> None:
        if decoder.full:
            self.truncated = "length"
            self._limit = min(self._limit, math.ceil(decoder.taken / SLICE_BYTES) * SLICE_BYTES)
            self._decoder = None

    def _lose(self, why: str) -> None:
        """There is no decoded body: what went before the damage would hang on how the bytes were split."""
        self._decoded = _Form()
        self._decoder = None
        self._blame(why)

    def _blame(self, why: str) -> None:
        coding = ", ".join(members(self.headers, "content-encoding"))
        self.problem, self.problem_text = (
            "decode",
            f"The body is not what its coding {coding[:80]!r} says: {why}.",
        )

    def _lack(self, error: MemoryError | OSError) -> None:
        """There is no room for what comes."""
        self._ended, self._decoder = True, None
        self.truncated = self.truncated or "disconnect"
        why = error.strerror if isinstance(error, OSError) else "not enough memory"
        self.problem, self.problem_text = "local", f"no room for bodies in {self._budget.place} ({why})"
