"""A URL as the WHATWG URL Standard reads it: parsed, normalised, joined; and the domain of its host."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

import ada_url

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""A control character (C0, DEL, C1): the standard drops some of them, so an entry would fetch another URL."""

# What begins with a scheme. `example.com:8080/x` does by the standard, but people mean a host and its port,
# and the schemes that stand in lists have neither a dot in their name nor a port's digits behind it.
_SCHEME = re.compile(r"https?:|[a-z][a-z0-9+-]*:(?!\d{1,5}(?:[/\\?#]|$))|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_RELATIVE = re.compile(r"(?:[\\?#]|/(?!/[^/\\])|\.{1,2}(?:[/\\?#]|$))")

# What most lists hold: a URL in normal form, which the parser, four times as slow, would only give back. Its host is a
# name (a number at the end makes an address) without `xn--`, which must be checked; it has no port, no segment that
# may be a dot segment, and no character that is encoded in a path or a query (WHATWG URL Standard §1.3, §3.5, §4.1).
# No group is possessive: in Python 3.11.2 one that fails keeps what it took, here the last slash before a dot.
_NORMAL = re.compile(
    r"(https?)://((?:(?!xn--)[a-z0-9-]++\.)+[a-z]{2,}+)"
    r"(?:/(?!\.|%2)[\w.~!$&()*+,;=:@%-]*+)+(?:\?[\w.~!$&()*+,;=:@%/?-]*+)?",
    re.ASCII,
)


class UrlError(ValueError):
    """What stands there is no URL (`invalid_url`), or none that is fetched (`scheme`); one printable line.

    It never leaves the package: what happens to one URL is a row.
    """

    def __init__(self, error_class: Literal["scheme", "invalid_url"], message: str) -> None:
        super().__init__(message)
        self.error_class: Literal["scheme", "invalid_url"] = error_class


class Url(NamedTuple):
    """A normalised URL.

    `href` is ASCII, without fragment and credentials. `host` is as in the URL, an IPv6 address without its
    brackets. `userinfo` is `user:password`, percent-decoded, or None.
    """

    href: str
    host: str
    scheme: str
    userinfo: str | None = None


def parse(text: str) -> Url:
    """The URL of an entry; one without a scheme is taken as `http://`. Raises UrlError."""
    if normal := _NORMAL.fullmatch(text):
        return Url(text, normal[2], normal[1])
    return _parse(text)


def _parse(text: str) -> Url:
    """The same, of a text in any form."""
    text = text.strip()
    if CONTROL.search(text):
        raise UrlError("invalid_url", "A URL holds no control characters.")
    if not _SCHEME.match(text):
        if not text or _RELATIVE.match(text):
            raise UrlError("invalid_url", "This names no host; write http:// or https:// and the host first.")
        text = f"http:{text}" if text.startswith("//") else f"http://{text}"
    try:
        href = ada_url.normalize_url(text)
    except ValueError as error:
        raise UrlError("invalid_url", "This is no URL by the WHATWG URL Standard.") from error
    return _split(href)


def join(base: str, location: str) -> Url:
    """Where a redirect from `base` leads (RFC 9110 §10.2.2), without the fragment. Raises UrlError.

    `location` is a header's value: its bytes stand there as Latin-1, and are read as UTF-8 where they can be.
    """
    with contextlib.suppress(UnicodeError):  # else what stands there is all that is known
        location = location.encode("latin-1").decode("utf-8")
    return resolve(base, location)


def resolve(base: str, reference: str) -> Url:
    """Where a reference leads that stands in a document at `base`, without the fragment. Raises UrlError."""
    try:
        href = ada_url.join_url(base, reference)
    except ValueError as error:
        raise UrlError("invalid_url", "It leads to no URL by the WHATWG URL Standard.") from error
    return _split(href)


def _split(href: str) -> Url:
    """The parts of what ada made: `scheme://[userinfo@]host[:port]/path[?query][#fragment]`."""
    href = href.partition("#")[0]
    scheme, _, rest = href.partition("://")
    if scheme not in ("http", "https"):
        name = href.partition(":")[0]
        raise UrlError("scheme", f"The scheme {name[:40]}: is not fetched; only http: and https: are.")
    authority, _, path = rest.partition("/")
    credentials, at, authority = authority.rpartition("@")
    userinfo = None
    if at:
        href = f"{scheme}://{authority}/{path}"
        userinfo = unquote(credentials if ":" in credentials else f"{credentials}:")
    host = authority[1 : authority.index("]")] if authority.startswith("[") else authority.partition(":")[0]
    return Url(href, host, scheme, userinfo)


def origin(href: str) -> str:
    """`scheme://host:port` of a normalised URL, without a port that is the scheme's own (RFC 6454 §6.2)."""
    return "/".join(href.split("/", 3)[:3])


@functools.lru_cache(maxsize=65_536)
def domain(host: str) -> str:
    """The registrable domain of a host, by the public suffix list (private section included).

    An IP literal, a single label and a public suffix are their own domain.
    """
    # A normalised host whose last label is a number is an IPv4 address (WHATWG URL Standard, §3.5).
    if ":" in host or host.rpartition(".")[2].isdigit():
        return host
    return _suffixes().privatesuffix(host) or host.removesuffix(".") or host


@functools.cache
def _suffixes() -> PublicSuffixList:
    # Imported here because reading the list takes its time, and only a crawl needs it.
    from publicsuffixlist import PSLFILE, PublicSuffixList

    return PublicSuffixList(_rules(Path(PSLFILE).read_text(encoding="utf-8")), accept_encoded_idn=False)


def _rules(text: str) -> Iterator[str]:
    """The rules of a public suffix list as normalised hosts have them: in ASCII.

    The package encodes each of 10,000 rules in Python and keeps both forms: 29 ms in every process, so 14.
    """
    for line in re.findall(r"^[^/\s].*", text, re.MULTILINE):
        if line.isascii():
            yield line
        else:
            rule, exception = line.removeprefix("!"), "!" * line.startswith("!")
            yield exception + ada_url.idna_to_ascii(rule.split()[0]).decode()
