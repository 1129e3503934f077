"""Reading header fields."""

from __future__ import annotations

import pytest

from crawler.headers import first, media_type, members


def test_first() -> None:
    """The first field of a name counts, in any case."""
    headers = (("A", "0"), ("LOCATION", "/1"), ("location", "/2"))
    assert ("/1", None) == (first(headers, "location"), first(headers, "b"))


def test_members() -> None:
    """Several fields of one name are one list (RFC 9110 §5.3); empty members do not count (§5.6.1)."""
    headers = (("Content-Encoding", " GZIP ,,br"), ("X", "y"), ("content-encoding", "zstd\t"))
    assert ["gzip", "br", "zstd"] == members(headers, "content-encoding")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/html", "text/html"),
        (" Text/HTML ; charset=utf-8", "text/html"),
        ("text/html charset=utf-8", "text/html"),
        ("text/html,text/plain", "text/html"),
        ("", None),
        ("; charset=utf-8", None),
        ("x" * 70_000, "x" * 255),
    ],
)
def test_media_type(value: str, expected: str | None) -> None:
    """The media type stands alone, in lower case, and never grows without bound."""
    assert expected == media_type(value)


def test_no_media_type() -> None:
    """Without Content-Type there is no media type."""
    assert media_type(None) is None
