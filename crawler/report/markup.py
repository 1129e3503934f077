"""HTML and SVG that cannot be broken out of: whatever is not markup that we made is text, and is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from crawler.escape import printable

_VOID = frozenset({"meta", "br", "col"})


class Markup(str):
    """A piece of HTML that was made here."""

    __slots__ = ()


Child = str | Markup | Iterable["Child"] | None


def element(tag: str, /, *children: Child, **attributes: object) -> Markup:
    """An element. A child that is no `Markup` is text; an attribute that is None or False is left out.

    Text and values have their control and bidirectional characters shown as `\\xNN`. A name may end in `_`, as
    `class_`; a `_` within it is a `-`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text("" if value is True else str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Markup(f"<{tag}{given}>")
    return Markup(f"<{tag}{given}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """Pieces one after the other."""
    return Markup("".join(map(_piece, children)))


def _piece(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return _text(child) if isinstance(child, str) else join(child)


def _text(text: str) -> str:
    return html.escape(printable(text))
