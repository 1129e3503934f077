"""The lines of a CDXJ index (specs.webrecorder.net/cdxj/0.1.0): one a capture, as pywb and cdxj-indexer write them."""

from __future__ import annotations

import json
import re

from crawler import warc
from crawler.export.members import Member
from crawler.headers import first
from crawler.surt import surt

_CAPTURES = frozenset({"response", "revisit", "resource"})
_REVISIT = "warc/revisit"


def capture_line(member: Member, filename: str) -> bytes | None:
    """The line of a record, with its line end; None for a record that is no capture (a request, a warcinfo)."""
    head, _, block = member.head.partition(b"\r\n\r\n")
    fields = _fields(head.decode("utf-8", "replace"))
    kind, url, date = fields.get("warc-type"), fields.get("warc-target-uri"), fields.get("warc-date")
    if kind not in _CAPTURES or url is None or date is None:
        return None
    entry = {"url": url, **_http(kind, fields, block), "digest": fields.get("warc-payload-digest")}
    place = {"length": str(member.length), "offset": str(member.offset), "filename": filename}
    known = {name: value for name, value in (entry | place).items() if value is not None}
    timestamp = re.sub(r"\D", "", date)[:14]
    return f"{surt(url)} {timestamp} {json.dumps(known)}\n".encode()


def _http(kind: str, fields: dict[str, str], block: bytes) -> dict[str, str | None]:
    """The media type, and the status of an answer."""
    if kind == "resource":
        return {"mime": fields.get("content-type")}
    status, _, _, headers, _ = warc.parse_http(block)
    declared = re.split(r"[; ]", first(headers, "content-type") or "", maxsplit=1)[0]
    return {"mime": _REVISIT if kind == "revisit" else declared or None, "status": str(status) if status else None}


def _fields(head: str) -> dict[str, str]:
    """The fields of a WARC head by their names in lower case."""
    lines = (line.partition(":") for line in head.split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}
