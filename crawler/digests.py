"""Digests as WARC writes them (WARC 1.1 §5.8): `sha1:` and base32 (RFC 4648 §6)."""

from __future__ import annotations

import hashlib
import itertools

_PAIRS = ["".join(pair) for pair in itertools.product("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", repeat=2)]


class Digest:
    """A SHA-1 that is fed in pieces."""

    __slots__ = ("_label", "_sha1")

    def __init__(self) -> None:
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._label: str | None = None

    def update(self, data: bytes) -> None:
        """Take the next piece."""
        self._sha1.update(data)
        self._label = None

    def __str__(self) -> str:
        if self._label is None:
            self._label = _label(self._sha1.digest())
        return self._label


def digest_of(*pieces: bytes) -> str:
    """The digest of what is all there."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    for piece in pieces:
        sha1.update(piece)
    return _label(sha1.digest())


def _label(digest: bytes) -> str:
    """`sha1:` and the 20 bytes in base32; the standard library takes three times as long, for several a page."""
    number, pairs = int.from_bytes(digest, "big"), _PAIRS
    high, low = number >> 80, number & 0xFFFF_FFFF_FFFF_FFFF_FFFF
    a, b, c, d = high >> 40, high & 0xFF_FFFF_FFFF, low >> 40, low & 0xFF_FFFF_FFFF
    return (
        f"sha1:{pairs[a >> 30]}{pairs[a >> 20 & 1023]}{pairs[a >> 10 & 1023]}{pairs[a & 1023]}"
        f"{pairs[b >> 30]}{pairs[b >> 20 & 1023]}{pairs[b >> 10 & 1023]}{pairs[b & 1023]}"
        f"{pairs[c >> 30]}{pairs[c >> 20 & 1023]}{pairs[c >> 10 & 1023]}{pairs[c & 1023]}"
        f"{pairs[d >> 30]}{pairs[d >> 20 & 1023]}{pairs[d >> 10 & 1023]}{pairs[d & 1023]}"
    )
