"""One answer back out of the archive: seek, read the member, undo WARC, HTTP and content codings."""

from __future__ import annotations

from pathlib import Path

from crawler import warc
from crawler.body import Body
from crawler.errors import NotRecordedError
from crawler.records import Headers, Row


def read_answer(folder: Path, row: Row, max_body: int) -> tuple[Headers, bytes]:
    """The header fields and the decoded body that `row` points at, in the WARC files of `folder`.

    Both are empty where the row has no record of its own, but at most some of redirects on the way. `max_body` caps the
    decoded body, in bytes. Raises NotRecordedError where the archive no longer holds what was recorded.
    """
    if row.warc_file is None or row.warc_offset is None or not row.warc_length:
        return (), b""
    path = folder / row.warc_file
    try:
        with path.open("rb") as file:
            file.seek(row.warc_offset)
            member = file.read(row.warc_length)
        _, block = warc.read_record(member)
        status, reason, version, headers, payload = warc.parse_http(block)
    except (OSError, ValueError) as error:
        why = str(error).rstrip(".")
        raise NotRecordedError(
            f"The record of seq {row.seq} cannot be read at byte {row.warc_offset} of {path}: {why}."
        ) from error
    body = Body(max_bytes=max_body, keep_decoded=True)
    body.head(status, reason, version, headers)
    body.feed(payload)
    body.end()
    return headers, body.decoded
