"""Content codings: what comes out, how much of it at once, and what counts as their end."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from backports import zstd

from crawler.codings import FREE_BYTES, MOST_RATIO, SLICE_BYTES, CodingError, Decoder

CAP = 1_000_000
TEXT = b"".join(b"<p>line %d</p>\n" % number for number in range(3000))


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


ENCODERS = {
    "gzip": [gzip.compress],
    "x-gzip": [gzip.compress],
    "deflate": [zlib.compress, bare_deflate],
    "br": [brotli.compress],
    "zstd": [zstd.compress],
}
PAIRS = [(coding, encode) for coding, encoders in ENCODERS.items() for encode in encoders]
each_coding = pytest.mark.parametrize(("coding", "encode"), PAIRS)


def decoded(decoder: Decoder, data: bytes, step: int | None = None) -> bytes:
    step = step or len(data) or 1
    pieces = [piece for at in range(0, len(data), step) for piece in decoder.decode(data[at : at + step])]
    return b"".join([*pieces, *decoder.decode(b"", last=True)])


@each_coding
@pytest.mark.parametrize("step", [1, 7, None])
@pytest.mark.parametrize("data", [b"", b"x", TEXT])
def test_whole(coding, encode, step, data) -> None:
    """Whole coded data decodes to what was encoded, in pieces of any size, and is then complete."""
    decoder = Decoder([coding], CAP)
    assert data == decoded(decoder, encode(data), step)
    assert (True, False) == (decoder.complete, decoder.full)


@each_coding
def test_every_beginning_is_incomplete(coding, encode) -> None:
    """Coded data that lacks its last byte, or more, is not complete; no data at all is."""
    encoded = encode(b"hello, " * 9)
    found = []
    for length in range(len(encoded)):
        decoder = Decoder([coding], CAP)
        decoded(decoder, encoded[:length])
        found.append(decoder.complete)
    assert [True, *[False] * (len(encoded) - 1)] == found


@each_coding
@pytest.mark.parametrize("step", [1, None])
def test_damage(coding, encode, step) -> None:
    """Data that is not in its coding is refused."""
    with pytest.raises(CodingError):
        decoded(Decoder([coding], CAP), b"\xff<html>" + encode(TEXT)[50:], step)


@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
@pytest.mark.parametrize("step", [1, 5, None])
def test_streams_follow_each_other(coding, encode, step) -> None:
    """Members of gzip (RFC 1952 §2.2) and frames of zstd (RFC 8878 §3) are read one after the other."""
    decoder = Decoder([coding], CAP)
    assert TEXT + b"tail" == decoded(decoder, encode(TEXT) + encode(b"") + encode(b"tail"), step)
    assert decoder.complete


@pytest.mark.parametrize("step", [1, 5, None])
def test_second_stream_must_end_too(step) -> None:
    """A second member that is cut leaves the whole incomplete."""
    decoder = Decoder(["gzip"], CAP)
    decoded(decoder, gzip.compress(b"one") + gzip.compress(b"two")[:-1], step)
    assert not decoder.complete


@pytest.mark.parametrize("step", [1, 5, None])
def test_skippable_frame_of_zstd(step) -> None:
    """A skippable frame (RFC 8878 §3.1.2) gives nothing."""
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0....."[:12]
    assert b"one" == decoded(Decoder(["zstd"], CAP), zstd.compress(b"one") + skippable, step)


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 99, b"\x1f\x8b", b"garbage", b"\x1f\x8bgarbage"])
@pytest.mark.parametrize(("coding", "encode"), [pair for pair in PAIRS if pair[0] != "br"])
@pytest.mark.parametrize("step", [1, None])
def test_what_follows_the_end_is_ignored(coding, encode, step, tail) -> None:
    """Bytes after the end that begin no further stream are ignored."""
    decoder = Decoder([coding], CAP)
    assert TEXT == decoded(decoder, encode(TEXT) + tail, step)
    assert decoder.complete


@pytest.mark.parametrize("step", [1, None])
def test_what_follows_the_end_of_brotli_is_refused(step) -> None:
    """Bytes after the end of brotli are refused, wherever the pieces are cut."""
    with pytest.raises(CodingError):
        decoded(Decoder(["br"], CAP), brotli.compress(TEXT) + b"garbage", step)


@each_coding
@pytest.mark.parametrize("cap", [1, SLICE_BYTES - 1, SLICE_BYTES, SLICE_BYTES + 1, 1_000_000])
def test_cap_is_exact(coding, encode, cap) -> None:
    """Exactly the cap is given where there is more, and everything where there is just as much."""
    more, exact = Decoder([coding], cap), Decoder([coding], cap)
    assert b"x" * cap == decoded(more, encode(b"x" * (cap + 1)))
    assert b"x" * cap == decoded(exact, encode(b"x" * cap))
    assert (True, False, True) == (more.full, exact.full, exact.complete)


@each_coding
def test_slices(coding, encode) -> None:
    """A bomb comes in slices of 64 KB at most."""
    bomb = encode(b"\0" * 5_000_000)
    sizes = [len(piece) for piece in Decoder([coding], CAP).decode(bomb, last=True)]
    assert CAP == sum(sizes)
    assert max(sizes) <= SLICE_BYTES


BOMBS = {
    "br": lambda data: brotli.compress(data, quality=9),
    "zstd": zstd.compress,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
}


@pytest.mark.parametrize("codings", BOMBS)
@pytest.mark.parametrize("step", [1, 1000, None])
def test_ratio(codings: str, step: int | None) -> None:
    """Of what is much smaller than what comes out of it, only a megabyte or 1,100 times as much is given."""
    bomb = BOMBS[codings](b"\0" * 30_000_000)
    decoder = Decoder(codings.split(", "), 2**25)
    given = decoded(decoder, bomb, step)
    assert (max(FREE_BYTES, MOST_RATIO * min(len(bomb), 8192)), True) == (len(given), decoder.full)


@pytest.mark.parametrize("encode", [gzip.compress, bare_deflate, zlib.compress])
def test_ratio_of_deflate(encode) -> None:
    """What deflate can do is no bomb for its ratio."""
    blanks = b" " * 5_000_000
    decoder = Decoder(["gzip" if encode is gzip.compress else "deflate"], 2**25)
    assert (blanks, False, True) == (decoded(decoder, encode(blanks), 999), decoder.full, decoder.complete)


def test_cap_of_an_inner_coding() -> None:
    """What an outer coding gives is capped too, also where the inner one would ignore all of it."""
    inner = gzip.compress(b"page") + b"\0" * 50_000_000
    decoder = Decoder(["gzip", "gzip"], CAP)
    assert b"page" == decoded(decoder, gzip.compress(inner))
    assert decoder.full


@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_empty_streams_are_counted(coding, encode) -> None:
    """Streams without end that give nothing, and so never reach the cap, are refused."""
    bomb = encode(encode(b"") * 40_000)
    with pytest.raises(CodingError, match="4096"):
        decoded(Decoder([coding, coding], CAP), bomb)


def test_zstd_window() -> None:
    """A zstd frame that asks for a window of more than 8 MB is refused (RFC 9659)."""
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    with pytest.raises(CodingError, match="memory"):
        decoded(Decoder(["zstd"], CAP), packer.compress(b"x" * 99_000) + packer.flush())
