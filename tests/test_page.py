"""One page as people meet it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from crawler.page import Page
from crawler.records import Headers, Row

HTML: Headers = (("Content-Type", "text/html; charset=iso-8859-2"),)


def row(**fields: Any) -> Row:
    """A fetched row."""
    first = {"seq": 1, "source": "a.txt", "source_line": 1, "url": "a.test", "host": "a.test"}
    return Row(**{**first, "final_url": "http://a.test/", "outcome": "fetched", "status": 200, **fields})


def test_properties_are_the_rows() -> None:
    """A page says what its row says, and decodes its JSON."""
    page = Page(
        row(
            extra='{"id": 7}',
            redirects='[{"url": "http://a.test/", "status": 301}]',
            content_type="text/html",
            error="e",
            error_class="reset",
        )
    )

    assert ("a.test", "http://a.test/", 200, True, "fetched") == (
        page.url, page.final_url, page.status, page.ok, page.outcome
    )  # fmt: skip
    assert ("e", "reset", "text/html") == (page.error, page.error_class, page.content_type)
    assert {"id": 7} == page.extra
    assert [{"url": "http://a.test/", "status": 301}] == page.redirects


def test_what_is_absent() -> None:
    """A page without a response has an empty body, no headers, no redirects, nothing extra."""
    page = Page(row(outcome="failed", status=None, final_url=None))

    assert (b"", "", (), [], None, None, False) == (
        page.body, page.text, page.headers, page.redirects, page.extra, page.final_url, page.ok
    )  # fmt: skip


def test_text_is_decoded() -> None:
    """The text is the body in the encoding that its headers declare."""
    assert "žluťoučký" == Page(row(), HTML, "žluťoučký".encode("iso-8859-2")).text


def test_loads_once_and_late() -> None:
    """Neither the row nor the repr loads; headers and body are loaded together, once."""
    calls: list[int] = []

    def load() -> tuple[Headers, bytes]:
        calls.append(1)
        return HTML, b"body"

    page = Page(row(), load=load)
    repr(page)
    assert page.ok
    assert [] == calls
    assert (HTML, b"body", b"body") == (page.headers, page.body, page.body)
    assert [1] == calls


def test_pickles_with_its_body() -> None:
    """A page crosses to another process whole, also one that was not loaded yet."""
    page = Page(row(), load=lambda: (HTML, b"body"))
    copy = pickle.loads(pickle.dumps(page))

    assert (page.row, HTML, b"body") == (copy.row, copy.headers, copy.body)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "<Page 200 a.test>"),
        ({"outcome": "failed", "status": None, "error_class": "dns"}, "<Page failed dns a.test>"),
        ({"outcome": "duplicate", "status": None}, "<Page duplicate a.test>"),
        ({"url": "a\x1b[2J" + "x" * 1000}, f"<Page 200 a\\x1b[2J{'x' * 91}…>"),
    ],
)
def test_repr_is_short_and_safe(fields: dict[str, Any], shown: str) -> None:
    """The repr fits on a line and brings no control character to a terminal."""
    assert shown == repr(Page(row(**fields)))
