"""Decoded bodies as files, each once, under names made of their digests; `index.jsonl` says which is whose.

No name comes from a URL or a header field. An export that was stopped goes on with the same command: a body that is
there is not read again, and the index takes its name when all are there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

from crawler.durable import make_folder
from crawler.errors import NotRecordedError, UsageError
from crawler.export.columns import COLUMNS, records
from crawler.export.jsonl import line
from crawler.export.snapshot import Snapshot
from crawler.export.target import Target, writing
from crawler.records import Row
from crawler.store.record import read_answer

STREAMS = False

_IDENTIFIED = next(place for place, column in enumerate(COLUMNS) if column.name == "content_mime_detected")
_MARK = "export.json"
_INDEX = "index.jsonl"
# Nothing here is run by whoever opens it, scripts in a browser aside.
_SUFFIXES = {
    "application/atom+xml": ".xml",
    "application/epub+zip": ".epub",
    "application/gzip": ".gz",
    "application/json": ".json",
    "application/ld+json": ".json",
    "application/pdf": ".pdf",
    "application/rss+xml": ".xml",
    "application/xhtml+xml": ".html",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "audio/mpeg": ".mp3",
    "image/avif": ".avif",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/webp": ".webp",
    "text/css": ".css",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/xml": ".xml",
    "video/mp4": ".mp4",
}
_ALL_SUFFIXES = ("", *sorted(set(_SUFFIXES.values())))


def write(crawl: Snapshot, out: Target) -> str:
    """Each body that the archive holds, below `bodies/`, and the index: what `jsonl` writes, and `file`."""
    _claim(crawl, out)
    rows = bodies = 0
    with Target(out.path / _INDEX, overwrite=True).opened() as index, writing(out.path):
        for rows, (row, values) in enumerate(records(crawl), 1):  # noqa: B007 - the last one is how many there are
            file = _body(crawl, row, values[_IDENTIFIED], out.path)
            bodies += file is not None
            index.write(line(values, file=file))
    return f"{rows:,} rows, {bodies:,} of them with a body,"


def _claim(crawl: Snapshot, out: Target) -> None:
    """Make the folder ours; raises UsageError where it holds something else, or another crawl's bodies."""
    for name in (_MARK, _INDEX):
        crawl.folder.refuse(out.path / name)
    mark = {"crawl": hashlib.blake2b(crawl.meta["key"].encode(), digest_size=16).hexdigest()}
    with writing(out.path):
        if out.path.is_dir():
            _refuse(out, mark)
        elif os.path.lexists(out.path):
            raise UsageError(f"{out.path} is a file; name a folder.")
        make_folder(out.path)
    with Target(out.path / _MARK, overwrite=True).opened() as file:
        file.write(json.dumps(mark).encode())


def _refuse(out: Target, mark: dict[str, str]) -> None:
    found = out.path / _MARK
    if out.overwrite or not any(out.path.iterdir()):
        return
    if not found.is_file():
        raise UsageError(f"{out.path} is not empty; name a new folder, or add to it with --overwrite.")
    if found.read_text(encoding="utf-8", errors="replace") != json.dumps(mark):
        raise UsageError(
            f"{out.path} holds the bodies of another crawl; name a new folder, or add to it, under a new index, with "
            "--overwrite."
        )


def _body(crawl: Snapshot, row: Row, identified: str | None, folder: Path) -> str | None:
    """Where the row's body lies, as a path within `folder`; None where it has none, or where it cannot be read."""
    if not row.has_body or row.body_digest is None:
        return None
    digest = row.body_digest.partition(":")[2]
    stem = f"bodies/{digest[:2]}/{digest}"
    suffix = _SUFFIXES.get(row.content_type or "") or _SUFFIXES.get(identified or "", "")
    for name in (stem + suffix, *(stem + other for other in _ALL_SUFFIXES)):
        if _is_whole(folder / name, None if row.status == 304 else row.bytes_body):
            return name
    try:
        _, body = read_answer(crawl.folder.warc, row, crawl.max_body)
    except NotRecordedError:
        body = None
    if body is None or _digest(body) != digest:
        crawl.leave_out(row)
        return None
    _save(body, folder / (stem + suffix))
    return stem + suffix


def _is_whole(path: Path, length: int | None) -> bool:
    """Whether the file is there; one whose bytes a power loss took is not. None: nobody knows how long it should be."""
    try:
        return length is not None and path.stat().st_size == length
    except FileNotFoundError:
        return False


def _digest(body: bytes) -> str:
    return base64.b32encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode("ascii")


def _save(body: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(body)
    part.replace(path)
