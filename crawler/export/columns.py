"""The columns of an exported row: those of Common Crawl's index under its names and types, then all others of ours.

The schema is Common Crawl's `cc-index-schema-flat.json` (github.com/commoncrawl/cc-index-table), so SQL that was
written for that index runs unchanged. What is no capture (a failure, a duplicate) has NULL in `subset`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from crawler.export.heads import Heads
from crawler.export.hosts import HostParts, host_parts
from crawler.export.snapshot import Snapshot
from crawler.records import Row
from crawler.store.elsewhere import is_elsewhere
from crawler.surt import surt

Kind = Literal["string", "int16", "int32", "int64", "float64", "timestamp", "json"]


class Column(NamedTuple):
    """`timestamp` is text, UTC in the form of WARC-Date; `json` is JSON text."""

    name: str
    kind: Kind


def _columns(kind: Kind, names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name in names.split())


_COMMON_CRAWL = (
    *_columns("string", "url_surtkey url url_host_name url_host_tld url_host_2nd_last_part url_host_3rd_last_part"),
    *_columns("string", "url_host_4th_last_part url_host_5th_last_part url_host_registry_suffix"),
    *_columns("string", "url_host_registered_domain url_host_private_suffix url_host_private_domain"),
    *_columns("string", "url_host_name_reversed url_protocol"),
    *_columns("int32", "url_port"),
    *_columns("string", "url_path url_query"),
    *_columns("timestamp", "fetch_time"),
    *_columns("int16", "fetch_status"),
    *_columns("string", "fetch_redirect content_digest content_mime_type content_mime_detected content_charset"),
    *_columns("string", "content_languages content_truncated warc_filename"),
    *_columns("int32", "warc_record_offset warc_record_length"),
    *_columns("string", "warc_segment crawl subset"),
)
_HOST = HostParts._fields
# The columns of `pages` that stand there already, and the one whose name means something else there.
_CONTAINED = frozenset(
    {"final_url", "host", "status", "fetched_at", "content_type", "charset", "digest", "truncated"}
    | {"warc_file", "warc_offset", "warc_length"}
)
_RENAMED = {"url": "input_url"}
_JSON = frozenset({"redirects", "extra", "parsed"})
_OURS = tuple(name for name in Row.__struct_fields__ if name not in _CONTAINED)


def _kind(name: str) -> Kind:
    if name in _JSON:
        return "json"
    hint = get_type_hints(Row)[name]
    kinds = set(get_args(hint)) - {NoneType} or {hint}
    return "int64" if kinds == {int} else "float64" if kinds == {float} else "string"


COLUMNS: tuple[Column, ...] = (*_COMMON_CRAWL, *(Column(_RENAMED.get(name, name), _kind(name)) for name in _OURS))
"""The columns, in their order."""


def records(crawl: Snapshot) -> Iterator[tuple[Row, tuple[Any, ...]]]:
    """Each row, and the values of its columns."""
    with Heads(crawl) as heads:
        for row in crawl.rows():
            yield row, (*_url(row), *_fetch(row, heads), *_capture(row, crawl.name), *(getattr(row, n) for n in _OURS))


def _url(row: Row) -> tuple[Any, ...]:
    """From `url_surtkey` to `url_query`."""
    href, host = row.final_url, row.host
    if href is None or host is None:
        return (None, row.url, *(None,) * (len(_HOST) + 4))
    scheme, _, rest = href.partition("://")
    authority, slash, target = rest.partition("/")
    port = authority.rpartition("]")[2].rpartition(":")[2] if ":" in authority.rpartition("]")[2] else None
    path, mark, query = f"{slash}{target}".partition("?")
    return (surt(href), href, *host_parts(host), scheme, port and int(port), path, query if mark else None)


def _fetch(row: Row, heads: Heads) -> tuple[Any, ...]:
    """From `fetch_time` to `content_truncated`; nobody has looked for languages."""
    head = heads.of(row)
    digest = row.digest and row.digest.partition(":")[2]
    charset = row.charset and _charset(row.charset)
    return (
        *(row.fetched_at, row.status, head.location),
        *(digest, row.content_type, head.identified, charset, None, row.truncated),
    )


def _capture(row: Row, crawl: str) -> tuple[Any, ...]:
    """From `warc_filename` to `subset`: a crawl of ours is one segment."""
    if not row.warc_length:
        return (None, None, None, None, crawl, None)
    subset = "warc" if row.outcome == "fetched" and row.status == 200 else "crawldiagnostics"
    file = row.warc_file or ""
    return (file if is_elsewhere(file) else f"warc/{file}", row.warc_offset, row.warc_length, "0", crawl, subset)


def _charset(label: str) -> str:
    """An encoding's name as the WHATWG Encoding Standard writes it, and Common Crawl too; ours are in lower case."""
    if label.startswith(("windows-", "x-")) or label in ("gb18030", "macintosh", "replacement"):
        return label
    return {"big5": "Big5", "shift_jis": "Shift_JIS"}.get(label, label.upper())
