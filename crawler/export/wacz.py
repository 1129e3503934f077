"""A WACZ (specs.webrecorder.net/wacz/1.1.1): WARC files, index and list of pages in one ZIP that can be read in part.

Everything is written as it is read, in one pass over the archive.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from crawler.export.captures import capture_line
from crawler.export.members import members
from crawler.export.snapshot import Snapshot, WarcFile
from crawler.export.sorting import Sorter
from crawler.export.target import Target
from crawler.version import __version__

STREAMS = False

_GZIP = 16 + zlib.MAX_WBITS
_INDEX = "index.cdx.gz"
_COPY_BYTES = 1024**2
_BLOCK_LINES = 1024  # of the index: what a reader fetches to find one capture


class _Package:
    """The ZIP file, and the hashes of what is in it."""

    def __init__(self, archive: zipfile.ZipFile, folder: Path) -> None:
        self._archive = archive
        self._folder = folder
        self._now = datetime.datetime.now(datetime.UTC)
        self._resources: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def entry(self, path: str, size: int) -> Iterator[_Entry]:
        """A file of `size` bytes in the ZIP, to be written now. What is compressed already is only stored."""
        info = zipfile.ZipInfo(path, self._now.timetuple()[:6])
        info.compress_type = zipfile.ZIP_STORED if path.endswith(".gz") else zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        info.file_size = size  # else it would be written as one that may pass 4 GB, which ReplayWeb.page cannot read
        with self._archive.open(info, "w") as file:
            entry = _Entry(file)
            yield entry
        name = path.rpartition("/")[2]
        self._resources.append({"name": name, "path": path, "hash": entry.hash, "bytes": size})

    @contextlib.contextmanager
    def spooled(self, path: str) -> Iterator[IO[bytes]]:
        """A file whose size nobody knows before it is written."""
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            yield spool
            size = spool.tell()
            spool.seek(0)
            with self.entry(path, size) as entry:
                while data := spool.read(_COPY_BYTES):
                    entry.write(data)

    def finish(self, title: str) -> None:
        """Add the manifest of all that was written, and its hash."""
        manifest = {
            "profile": "data-package",
            "wacz_version": "1.1.1",
            "title": title,
            "created": f"{self._now:%Y-%m-%dT%H:%M:%SZ}",
            "software": f"crawler/{__version__}",
            "resources": self._resources,
        }
        digest = {"path": "datapackage.json", "hash": self._add("datapackage.json", manifest)}
        self._add("datapackage-digest.json", digest)

    def _add(self, path: str, value: dict[str, Any]) -> str:
        """Add a JSON file; returns its hash."""
        data = json.dumps(value, indent=2).encode()
        with self.entry(path, len(data)) as entry:
            entry.write(data)
        return entry.hash


class _Entry:
    """A file within the ZIP, hashed as it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    @property
    def hash(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._sha256.update(data)


def write(crawl: Snapshot, out: Target) -> str:
    """The archive, its index, and a page for each entry that was fetched with a 2xx status. Raises NotRecordedError."""
    with (
        out.opened() as file,
        zipfile.ZipFile(file, "w") as archive,
        Sorter(out.folder) as lines,
    ):
        package = _Package(archive, out.folder)
        for warc in crawl.archive():
            _add_warc(warc, package, lines)
        captures = _add_index(lines, package)
        pages = _add_pages(crawl, package)
        package.finish(crawl.name)
    return f"{captures:,} captures and {pages:,} pages"


def _add_warc(warc: WarcFile, package: _Package, lines: Sorter) -> None:
    name = warc.path.name
    with package.entry(f"archive/{name}", warc.length) as entry:
        for member in members(warc, entry.write):
            if (line := capture_line(member, name)) is not None:
                lines.add(line)


def _add_index(lines: Iterable[bytes], package: _Package) -> int:
    """The index in blocks, and a line for each of them (pywb's ZipNum); returns how many captures it has."""
    blocks = [f"!meta 0 {json.dumps({'format': 'cdxj-gzip-1.0', 'filename': _INDEX})}\n"]
    captures = 0
    with package.spooled(f"indexes/{_INDEX}") as file:
        for block in _blocks(lines):
            data = zlib.compress(b"".join(block), wbits=_GZIP)
            place = {
                "offset": file.tell(),
                "length": len(data),
                "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            }
            key = block[0].partition(b" {")[0].decode()
            blocks.append(f"{key} {json.dumps({**place, 'filename': _INDEX})}\n")
            file.write(data)
            captures += len(block)
    with package.spooled("indexes/index.idx") as file:
        file.write("".join(blocks).encode())
    return captures


def _blocks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(lines)
    while block := list(itertools.islice(rest, _BLOCK_LINES)):
        yield block


def _add_pages(crawl: Snapshot, package: _Package) -> int:
    """The list of pages: what people see first; returns how many it has."""
    pages = 0
    with package.spooled("pages/pages.jsonl") as file:
        file.write(_line({"format": "json-pages-1.0", "id": "pages", "title": "All pages"}))
        for row in crawl.rows():
            if row.ok and row.warc_length:
                file.write(_line({"id": str(row.seq), "url": row.final_url, "ts": row.fetched_at}))
                pages += 1
    return pages


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
