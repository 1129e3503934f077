"""What a list must become: made together with the list, of the origin's own functions, not by asking our code."""

from __future__ import annotations

import dataclasses
import random
import urllib.parse
from collections.abc import Callable

import origin
from conftest import ADDRESSES

RETRIES = 1
"""How often the runs here try again: with two tries every kind of answer is seen, and the runs are short."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """One entry of the list, and what its row must say.

    `payload` is what the archive holds of the answer (encoded, as it came; None: no record), `body` what it decodes to
    (None where it does not). `targets` are what the origin is asked for on the way; `tries` is how often one run may
    try, `sends` how often the origin may see one try: twice where it breaks a kept connection, which nobody can tell
    from one that was closed while idle (RFC 9112 §9.3.1).
    """

    seq: int
    line: str
    outcome: str
    status: int | None = None
    error_class: str | None = None
    payload: bytes | None = None
    body: bytes | None = None
    targets: tuple[str, ...] = ()
    tries: int = 1
    sends: int = 1


class Base:
    """Where the origin of a run answers; each URL of the list is unique by its `n`."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.port = port
        self.chance = chance

    def fetched(self, seq: int, path: str, payload: bytes, body: bytes | None = None, **more: int) -> Truth:
        """An entry that gets an answer at `path`."""
        known = {"status": 200, "tries": 1, **more}
        whole = payload if body is None else body
        return self._truth(seq, path, "fetched", payload=payload, body=whole, **known)

    def failed(self, seq: int, path: str, error_class: str, payload: bytes | None = None, tries: int = 2) -> Truth:
        """An entry that fails at `path`, with a part of an answer (its status 200) or with none."""
        status = None if payload is None else 200
        body = None if error_class == "decode" else payload
        known = {"status": status, "error_class": error_class, "payload": payload, "body": body, "tries": tries}
        return self._truth(seq, path, "failed", sends=2 if error_class == "reset" else 1, **known)

    def redirected(self, seq: int) -> Truth:
        """An entry that is redirected to a page of any of the addresses."""
        number = self.chance.randrange(50)
        end = f"/page/{number}?n={seq}-end"
        onward = urllib.parse.quote(f"http://{self.chance.choice(ADDRESSES)}:{self.port}{end}", safe="")
        truth = self.fetched(seq, f"/redirect-to?url={onward}", origin.page(number))
        return dataclasses.replace(truth, targets=(*truth.targets, end))

    def _truth(self, seq: int, path: str, outcome: str, **known: object) -> Truth:
        target = f"{path}{'&' if '?' in path else '?'}n={seq}"
        line = f"http://{self.chance.choice(ADDRESSES)}:{self.port}{target}"
        return Truth(seq, line, outcome, targets=(target,), **known)  # type: ignore[arg-type]


Kind = Callable[[Base, int], Truth]
_PAGE, _GZIP = origin.page, origin.gzipped(origin.page(1))
_CHUNKED = b"".join(origin.CHUNKS)


def _page(base: Base, seq: int) -> Truth:
    number = base.chance.randrange(1000)
    return base.fetched(seq, f"/page/{number}", _PAGE(number))


def _bytes(base: Base, seq: int) -> Truth:
    number = base.chance.choice((0, 1, 300, 5_000, 70_000, 200_000))
    return base.fetched(seq, f"/bytes/{number}", origin.body_bytes(number))


KINDS: tuple[tuple[int, Kind], ...] = (
    (120, _page),
    (12, _bytes),
    (10, lambda base, seq: base.redirected(seq)),
    (8, lambda base, seq: base.fetched(seq, "/gzip", _GZIP, _PAGE(1))),
    (8, lambda base, seq: base.fetched(seq, "/chunked", _CHUNKED)),
    (8, lambda base, seq: base.fetched(seq, "/status/404", b"status 404", status=404)),
    (6, lambda base, seq: base.fetched(seq, "/slow-body?s=0.1", _PAGE(1))),
    (4, lambda base, seq: base.fetched(seq, "/204", b"", status=204)),
    (4, lambda base, seq: base.fetched(seq, "/no-length", _PAGE(4))),
    (3, lambda base, seq: base.fetched(seq, "/flaky/k/1", _PAGE(3), tries=2)),
    (3, lambda base, seq: base.fetched(seq, "/flaky-reset/k/1", _PAGE(3), tries=2, sends=2)),
    (2, lambda base, seq: base.fetched(seq, "/retry-after/k", _PAGE(3), tries=2)),
    (2, lambda base, seq: base.failed(seq, "/reset", "reset")),
    (2, lambda base, seq: base.failed(seq, "/wrong-length", "incomplete", b"b" * 10)),
    (2, lambda base, seq: base.failed(seq, "/garbage", "protocol", tries=1)),
    (2, lambda base, seq: base.failed(seq, "/gzip-truncated", "decode", _GZIP[: len(_GZIP) // 2], tries=1)),
)
"""Every kind of answer that is mixed in, and its weight."""

_WEIGHTS, _MAKERS = zip(*KINDS, strict=True)


def make_truths(port: int, chance: random.Random, entries: int) -> list[Truth]:
    """A list of so many entries, every kind of them mixed by `chance`, for an origin at `port`."""
    base, truths = Base(port, chance), list[Truth]()
    for seq in range(1, entries + 1):
        odd = chance.random()
        if odd < 0.01 and seq > 1:
            truths.append(_again(seq, chance.choice(truths)))
        elif odd < 0.015:
            truths.append(Truth(seq, f"http://[{seq}", "invalid", error_class="invalid_url"))
        elif odd < 0.02:
            truths.append(Truth(seq, f"ftp://127.0.0.1/{seq}", "denied", error_class="scheme"))
        else:
            truths.append(chance.choices(_MAKERS, _WEIGHTS)[0](base, seq))
    return truths


def _again(seq: int, truth: Truth) -> Truth:
    """The same entry once more, which makes a duplicate of what is fetched."""
    if truth.targets:
        return Truth(seq, truth.line, "duplicate")
    return dataclasses.replace(truth, seq=seq)
