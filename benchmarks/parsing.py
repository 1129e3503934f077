"""The parse function of the workload `cpu`: what people do with a page, in pure Python, for milliseconds."""

from __future__ import annotations

import collections
from html.parser import HTMLParser
from typing import Any

import crawler


class _Reader(HTMLParser):
    """Collects links and words."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: collections.Counter[str] = collections.Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]

    def handle_data(self, data: str) -> None:
        self.words.update(data.lower().split())


def of_page(page: crawler.Page) -> dict[str, Any]:
    """The same of a page of the product's."""
    return parse(page.body)


def parse(body: bytes) -> dict[str, Any]:
    """The number of links of an HTML page in ASCII, and its ten most frequent words."""
    reader = _Reader()
    reader.feed(body.decode("ascii"))
    return {"links": len(reader.links), "words": reader.words.most_common(10)}
