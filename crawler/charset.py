"""Which character encoding a body is in, as browsers find it (WHATWG Encoding, WHATWG HTML §13.2.3.2)."""

from __future__ import annotations

import functools
import re

import webencodings

from crawler.headers import first, media_type
from crawler.records import Headers

_PRESCAN_BYTES = 1024
_FIELD_LENGTH = 1024  # characters of a Content-Type that are looked at; they are remembered
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))
_MARKS = tuple(mark for mark, _ in _BOMS)
# A parameter of a media type, its value a quoted string or a token (RFC 9110 §5.6.6); servers write spaces.
_PARAMETER = re.compile(r'(?<=[;\s])([^\s;="]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]*)')

_TAG = re.compile(rb"</?([a-zA-Z][^\t\n\f\r />]*)")
_NAME = re.compile(rb"[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)[\t\n\f\r ]*")
_VALUE = re.compile(rb"""=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|((?!["'])[^\t\n\f\r >]*))""")
_CONTENT = re.compile(rb"""charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|((?!["'])[^\t\n\f\r ;]+))""")
_XML = re.compile(rb"""<\?xml[^>]*?encoding[\x00-\x20]*=[\x00-\x20]*(?:"([^">\x00-\x20]*)"|'([^'>\x00-\x20]*)')""")


def charset_of(headers: Headers, body_start: bytes) -> str | None:
    """The encoding of a body with these header fields, as `charset_by` finds it."""
    return charset_by(first(headers, "content-type"), body_start)


def charset_by(content_type: str | None, body_start: bytes) -> str | None:
    """The canonical name of the body's encoding (WHATWG Encoding §4.2, in lower case); None: nothing says it.

    In this order: a byte order mark, the `charset` parameter of Content-Type, and for HTML and XML (or where
    there is no type) what the first 1,024 bytes of the decoded body declare.
    """
    if body_start.startswith(_MARKS):
        return next(name for mark, name in _BOMS if body_start.startswith(mark))
    found = _labelled((content_type or "")[:_FIELD_LENGTH])
    kind = media_type(content_type)
    if found is None and (kind is None or kind.endswith(("html", "xml"))):
        found = _declared(body_start[:_PRESCAN_BYTES])
    return found


def decode(body: bytes, charset: str | None) -> str:
    """The body as text; never raises. What is no character becomes U+FFFD, and a byte order mark is left out.

    Without a known `charset` it is UTF-8 where it is valid as such, else windows-1252. As in browsers, a byte
    order mark is stronger than `charset`.
    """
    known = _encoding(charset) or ("utf-8" if _is_utf8(body) else "windows-1252")
    text: str = webencodings.decode(body, known)[0]
    return text


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@functools.lru_cache(maxsize=1024)
def _labelled(content_type: str) -> str | None:
    return _encoding(_parameter(content_type, "charset"))


def _encoding(label: str | None) -> str | None:
    """The canonical name for one of the standard's labels; None for any other."""
    found = webencodings.lookup(label) if label is not None and label.isascii() else None
    return str(found.name) if found is not None else None


def _parameter(media: str, wanted: str) -> str | None:
    for name, value in _PARAMETER.findall(media):
        if name.lower() == wanted:
            return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return None


def _declared(start: bytes) -> str | None:
    """What `<meta>` says, else the XML declaration (`prescan a byte stream to determine its encoding`)."""
    if start.startswith((b"<\0?\0x\0", b"\0<\0?\0x")):
        return "utf-16le" if start.startswith(b"<") else "utf-16be"
    return _prescan(start) or _xml_declaration(start)


def _xml_declaration(start: bytes) -> str | None:
    found = _XML.match(start)
    return _readable(found[1] or found[2]) if found is not None else None


def _prescan(start: bytes) -> str | None:
    at = start.find(b"<")
    while at >= 0:
        if start.startswith(b"<!--", at):
            end = start.find(b"-->", at + 2)  # the dashes that open may close it as well: <!-->
            at = end if end >= 0 else len(start)
        elif (tag := _TAG.match(start, at)) is not None:
            attributes, at = _attributes(start, tag.end())
            found = _meta(attributes) if tag[0].lower() == b"<meta" else None
            if found is not None:
                return found
        elif start.startswith((b"<!", b"</", b"<?"), at):
            end = start.find(b">", at)
            at = end if end >= 0 else len(start)
        at = start.find(b"<", at + 1)
    return None


def _attributes(start: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """The attributes of a tag in lower case, the first of each name, and where the tag ends.

    A tag that does not end within `start` has none.
    """
    found: dict[bytes, bytes] = {}
    while (name := _NAME.match(start, at)) is not None:
        at, value = name.end(), b""
        if start.startswith(b"=", at):
            given = _VALUE.match(start, at)
            if given is None:
                return {}, len(start)
            at, value = given.end(), given[1] or given[2] or given[3] or b""
        found.setdefault(name[1].lower(), value.lower())
    end = start.find(b">", at)
    return (found, end) if end >= 0 else ({}, len(start))


def _meta(attributes: dict[bytes, bytes]) -> str | None:
    if b"charset" in attributes:
        return _readable(attributes[b"charset"])
    if attributes.get(b"http-equiv") != b"content-type":
        return None
    found = _CONTENT.search(attributes.get(b"content", b""))
    return _readable(found[1] or found[2] or found[3]) if found is not None else None


def _readable(label: bytes | None) -> str | None:
    """The encoding that a declaration means: it could not have been read in UTF-16, so it is not in it."""
    name = _encoding((label or b"").decode("latin-1"))
    return {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "windows-1252"}.get(name or "", name)
