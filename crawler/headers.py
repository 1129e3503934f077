"""Reading header fields (RFC 9110 §5): names in any case, values as they came."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawler.records import Headers  # the settings need this file, and a command without records none of them

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A method or the name of a field (RFC 9110 §5.6.2)."""

_TYPE_LENGTH = 255  # type, slash and subtype: 127 characters each at most (RFC 6838 §4.2)
_TYPE_END = re.compile(r"[;,\s]")
_FIELD_LENGTH = 1024  # characters of it that are looked at; they are remembered

# Every other field may carry a key of somebody's own naming, so it is a secret until it is known not to be.
_PUBLIC_FIELDS = frozenset(
    """
    accept accept-charset accept-encoding accept-language cache-control connection content-type date dnt
    expect from host if-match if-modified-since if-none-match if-range if-unmodified-since max-forwards origin
    pragma prefer priority range referer save-data te upgrade-insecure-requests user-agent via
    x-requested-with
    """.split()  # noqa: SIM905 - forty quotes would hide the words
)


def is_public(name: str) -> bool:
    """Whether a request's field is known to carry no secret; those of anybody's own naming may."""
    return name.lower() in _PUBLIC_FIELDS


def first(headers: Headers, name: str) -> str | None:
    """The value of the first field called `name`, which is given in lower case; None where there is none."""
    length = len(name)
    for field, value in headers:
        if len(field) == length and field.lower() == name:
            return value
    return None


def by_name(headers: Headers) -> dict[str, str]:
    """The value of the first field of each name, by its name in lower case: for whoever asks for more than one."""
    return {field.lower(): value for field, value in reversed(headers)}


def members(headers: Headers, name: str) -> list[str]:
    """The members of the comma-separated lists called `name`, in lower case (RFC 9110 §5.6.1)."""
    values = ",".join(value for field, value in headers if field.lower() == name)
    return [member for part in values.split(",") if (member := part.strip(" \t").lower())]


def media_type(content_type: str | None) -> str | None:
    """The media type in a Content-Type, without its parameters, such as `text/html`; None if there is none.

    In lower case, at most 255 characters. A space or comma ends it too (`text/html charset=utf-8` is common).
    """
    return None if content_type is None else _media_type(content_type[:_FIELD_LENGTH])


@functools.lru_cache(maxsize=1024)
def _media_type(value: str) -> str | None:
    return _TYPE_END.split(value.strip(), maxsplit=1)[0][:_TYPE_LENGTH].lower() or None
