"""One page as people meet it: what happened to one entry, and its decoded body."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from crawler.charset import charset_of, decode
from crawler.escape import printable
from crawler.records import Changed, Headers, Outcome, Row

_CHARSET_BYTES = 1024  # where a document may declare its encoding (WHATWG HTML §13.2.3.2)


class Page:
    """A row with its headers and its body, which are given, or loaded when one of them is first touched.

    `load` returns both; it may raise NotRecordedError. A page pickles; one that is not loaded yet loads for
    it.
    """

    __slots__ = ("_body", "_headers", "_load", "row")

    def __init__(
        self,
        row: Row,
        headers: Headers = (),
        body: bytes = b"",
        *,
        load: Callable[[], tuple[Headers, bytes]] | None = None,
    ) -> None:
        self.row = row
        self._headers = headers
        self._body = body
        self._load = load

    @property
    def url(self) -> str:
        """The entry as it stood in the input."""
        return self.row.url

    @property
    def final_url(self) -> str | None:
        """The URL that answered in the end; None where the entry is no URL."""
        return self.row.final_url

    @property
    def outcome(self) -> Outcome:
        """How the entry ended."""
        return self.row.outcome

    @property
    def status(self) -> int | None:
        """The HTTP status; None where no response came."""
        return self.row.status

    @property
    def ok(self) -> bool:
        """Whether the page was fetched with a 2xx status, or is unchanged since the previous crawl."""
        return self.row.ok

    @property
    def error(self) -> str | None:
        """Why the page was not fetched, as a sentence; None where it was."""
        return self.row.error

    @property
    def error_class(self) -> str | None:
        """Why the page was not fetched, as one word; None where it was."""
        return self.row.error_class

    @property
    def content_type(self) -> str | None:
        """The media type that the response declares."""
        return self.row.content_type

    @property
    def redirects(self) -> list[dict[str, Any]]:
        """The redirects that were followed, in their order."""
        return json.loads(self.row.redirects) if self.row.redirects else []

    @property
    def extra(self) -> Any:
        """What the caller gave along with the request, as decoded JSON."""
        return json.loads(self.row.extra) if self.row.extra else None

    @property
    def parsed(self) -> Any:
        """What the function said that `parse` names, as decoded JSON; None where it said nothing, or was not asked."""
        return json.loads(self.row.parsed) if self.row.parsed else None

    @property
    def parse_error(self) -> str | None:
        """Why that function has no result, in a line; None where it has one, or was not asked."""
        return self.row.parse_error

    @property
    def changed(self) -> Changed | None:
        """What became of the page since the previous crawl; None where there was none to compare with."""
        return self.row.changed

    @property
    def headers(self) -> Headers:
        """The response's header fields, in the order of the wire."""
        self._complete()
        return self._headers

    @property
    def body(self) -> bytes:
        """The body without its content codings; empty where none is recorded, cut where `row.truncated`."""
        self._complete()
        return self._body

    @property
    def text(self) -> str:
        """The body as text, in the encoding that a browser would take; U+FFFD for what cannot be decoded."""
        return decode(self.body, charset_of(self.headers, self.body[:_CHARSET_BYTES]))

    def __repr__(self) -> str:
        why = filter(None, (self.outcome, self.error_class))
        what = self.status if self.outcome == "fetched" else " ".join(why)
        return f"<Page {what} {printable(self.url, 100)}>"

    def __reduce__(self) -> tuple[type[Page], tuple[Row, Headers, bytes]]:
        return Page, (self.row, self.headers, self.body)

    def _complete(self) -> None:
        if self._load is not None:
            self._headers, self._body = self._load()
            self._load = None
