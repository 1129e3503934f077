"""Ready functions for `parse`: what most people want of a page. Each takes the page and returns what JSON can say.

`--parse crawler.parse:links` on the command line, `parse=crawler.parse.links` in the library; they are also examples
for one of your own. What is no HTML has no links, no title, and for text only what is plain text already. They need
`pip install 'crawler[parse]'`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from crawler import urls
from crawler.page import Page

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_HTML = ("text/html", "application/xhtml+xml")


def links(page: Page) -> list[str]:
    """Where the page's `a` and `area` elements lead: absolute, normalised, each once, in the page's order.

    `base` counts; what is neither http nor https is left out, and so is the part behind a `#`.
    """
    root = _root(page)
    if root is None or page.final_url is None:
        return []
    base = page.final_url
    for href in root.xpath("//base/@href")[:1]:
        with contextlib.suppress(urls.UrlError):
            base = urls.resolve(base, href).href
    found: dict[str, None] = {}
    for href in root.xpath("//a/@href | //area/@href"):
        with contextlib.suppress(urls.UrlError):
            found[urls.resolve(base, href).href] = None
    return list(found)


def title(page: Page) -> str | None:
    """The text of the page's first `title` element, its white space collapsed (WHATWG HTML §4.2.2)."""
    root = _root(page)
    found = root.xpath("(//title)[1]//text()") if root is not None else []
    return " ".join("".join(found).split()) or None


def text(page: Page) -> str | None:
    """What is to be read on the page, without its navigation and its like (by trafilatura); None where that is nothing.

    Of plain text all of it.
    """
    if page.content_type == "text/plain":
        return page.text or None
    root = _root(page)
    if root is None:
        return None
    import trafilatura

    found: str | None = trafilatura.extract(root, url=page.final_url, include_comments=False)
    return found


def _root(page: Page) -> HtmlElement | None:
    """The page's tree; None where it is no HTML, or holds nothing."""
    if page.content_type not in _HTML or not page.body.strip():
        return None
    from lxml import etree, html

    # As text its own declaration of an encoding would be an error; and it is decoded already, as browsers do it.
    parser = html.HTMLParser(encoding="utf-8")
    try:
        return html.document_fromstring(page.text.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError:  # nothing in it but comments
        return None
