"""One answer back out of the archive: seek, read the member, undo WARC, HTTP and content codings."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import NamedTuple

from crawler import warc
from crawler.body import Body
from crawler.digests import digest_of
from crawler.errors import ConfigError, FolderError, NotRecordedError, StoreError
from crawler.records import Headers, Row
from crawler.store.database import open_reading, read_meta
from crawler.store.elsewhere import read_at
from crawler.store.folder import CrawlFolder

_CRAWLS_MOST = 10_000  # crawls that name each other in a circle would never end


class _Answer(NamedTuple):
    """A record: its WARC fields, and what it says."""

    fields: dict[str, str]
    status: int
    headers: Headers
    payload: bytes


class _Place(NamedTuple):
    """Where a record lies: the folder of the archive, file, offset and length in bytes."""

    folder: Path
    file: str
    offset: int
    length: int


def read_answer(folder: Path, row: Row, max_body: int) -> tuple[Headers, bytes]:
    """The header fields and the decoded body that `row` points at, in the WARC files of `folder`.

    Both are empty where the row has no record of its own, but at most some of redirects on the way. `max_body` caps the
    decoded body, in bytes. The body of a page that has not changed since the previous crawl comes from there. Raises
    NotRecordedError where the archive, or the one that it refers to, no longer holds what was recorded.
    """
    if row.warc_file is None or row.warc_offset is None or not row.warc_length:
        return (), b""
    place = _Place(folder, row.warc_file, row.warc_offset, row.warc_length)
    first = found = _read(place, row.seq)
    for _ in range(_CRAWLS_MOST):
        if found.fields.get("WARC-Type") != "revisit":
            break
        place = _referred(place.folder, found, row)
        try:
            found = _read(place, row.seq)
        except NotRecordedError as error:
            raise NotRecordedError(
                f"The page of seq {row.seq} has not changed since the crawl in {place.folder.parent}, which alone has "
                f"its body: {error}"
            ) from error
    body = _decoded(found, max_body)
    if found is first:
        return first.headers, body
    if digest_of(body) != row.body_digest:
        raise NotRecordedError(
            f"The body of seq {row.seq} is not in {place.folder.parent} any more, where the previous crawl recorded it."
        )
    return (_updated(found.headers, first.headers) if first.status == 304 else first.headers), body


def _read(place: _Place, seq: int) -> _Answer:
    path = place.folder / place.file
    try:
        member = read_at(place.folder, place.file, place.offset, place.length)
        fields, block = warc.read_record(member)
        status, _, _, headers, payload = warc.parse_http(block)
    except (OSError, ValueError, StoreError, FolderError, ConfigError) as error:
        why = str(error).rstrip(".")
        raise NotRecordedError(
            f"The record of seq {seq} cannot be read at byte {place.offset} of {path}: {why}."
        ) from error
    return _Answer(fields, status, headers, payload)


def _referred(folder: Path, revisit: _Answer, row: Row) -> _Place:
    """Where the record lies that a revisit of the archive in `folder` refers to."""
    try:
        with contextlib.closing(open_reading(CrawlFolder(folder.parent).database)) as connection:
            previous = json.loads(read_meta(connection)["identity"])["previous"]
        file, offset, length = revisit.fields[warc.REFERS_TO].split()
        return _Place(CrawlFolder(Path(previous)).warc, file, int(offset), int(length))
    except (FolderError, KeyError, TypeError, ValueError) as error:
        raise NotRecordedError(
            f"The page of seq {row.seq} is unchanged since a crawl before {folder.parent}, which it does not name: "
            "this folder holds only its head."
        ) from error


def _decoded(answer: _Answer, max_body: int) -> bytes:
    body = Body(max_bytes=max_body, keep_decoded=True)
    body.head(answer.status, "", "", answer.headers)
    body.feed(answer.payload)
    body.end()
    return body.decoded


def _updated(stored: Headers, told: Headers) -> Headers:
    """The header fields of a page that has not changed, with those that the 304 told anew (RFC 9111 §3.2)."""
    names = {name.lower() for name, _ in told}
    return (*told, *((name, value) for name, value in stored if name.lower() not in names))
