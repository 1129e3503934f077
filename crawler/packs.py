"""What a machine made of a chunk, or of a part of one: a WARC file, and beside it the rows that point into it.

The WARC file is laid down first, the rows last: where they are, all is. Names say whose they are:
`rows/RUN/CHUNK.ATTEMPT.PART` and `warc/RUN/CHUNK.ATTEMPT.PART.warc.gz`. The object of the rows is a digest (16 bytes,
BLAKE2b) of the rest, which is a gzip member of a `Pack` as msgpack.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from isal import igzip

from crawler.depot.base import Depot
from crawler.errors import StoreError
from crawler.records import FlowState, Result, Row

FOLDERS = ("runs/", "rows/", "warc/")
"""The prefixes of all names that runs have in their depot."""

_DIGEST_BYTES = 16


class Pack(msgspec.Struct, frozen=True, array_like=True):
    """A part of what came of chunk `chunk` of the run `run`, as the attempt `attempt` on the machine `machine`.

    `rows` point into the WARC file `warc`, which has `warc_bytes` bytes and the digest `warc_digest` (BLAKE2b, hex; ''
    where no row has a record). `moved` are entries whose redirects lead away from the machine. `done` says that no part
    will follow.
    """

    run: str
    chunk: int
    attempt: str
    part: int
    machine: str
    rows: tuple[Row, ...]
    moved: tuple[FlowState, ...]
    warc: str
    warc_bytes: int
    warc_digest: str
    done: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Pack).decode


def names_of(depot: Depot, runs: Collection[str], *folders: str) -> Iterator[str]:
    """What these runs have in these folders of a depot, where others may have files, too. Raises StoreError."""
    for folder in folders:
        for name, _ in depot.sizes(folder):
            if name.removeprefix(folder).partition("/")[0] in runs:
                yield name


def rows_folder(run: str) -> str:
    """The prefix of all names of rows of a run."""
    return f"rows/{run}/"


def rows_name(run: str, chunk: int, attempt: str, part: int) -> str:
    """The name of a pack's rows."""
    return f"{rows_folder(run)}{chunk}.{attempt}.{part:04d}"


def warc_name(rows: str) -> str:
    """The name of the WARC file beside the rows of that name."""
    return f"warc/{rows.removeprefix('rows/')}.warc.gz"


class Named(NamedTuple):
    """What the name of a pack's rows says."""

    chunk: int
    attempt: str
    part: int


def chunk_of(rows: str) -> Named:
    """Of which chunk, which attempt at it, and which part of that the rows of a name are."""
    chunk, attempt, part = rows.rpartition("/")[2].split(".")
    return Named(int(chunk), attempt, int(part))


def write_pack(pack: Pack) -> bytes:
    """The object of a pack's rows."""
    packed = bytes(igzip.compress(_encode(pack), 1))
    return hashlib.blake2b(packed, digest_size=_DIGEST_BYTES).digest() + packed


def read_pack(data: bytes) -> Pack:
    """The pack in an object; raises ValueError where that is damaged."""
    digest, packed = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.blake2b(packed, digest_size=_DIGEST_BYTES).digest() != digest:
        raise ValueError("its digest does not fit")
    try:
        return _decode(zlib.decompress(packed, 16 + zlib.MAX_WBITS))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from error


class Packer:
    """One chunk's attempt on this machine: results in, packs out, a part at a time.

    `warcinfo` makes the record that begins a WARC file of a given name. Its records go to a file in
    `folder` until the part is laid down, so what waits in memory is its rows alone.
    """

    def __init__(
        self, run: str, chunk: int, attempt: str, machine: str, warcinfo: Callable[[str], bytes], folder: Path
    ) -> None:
        self._run, self._chunk, self._attempt, self._machine = run, chunk, attempt, machine
        self._warcinfo = warcinfo
        self._folder = folder
        self._part = 0
        self._begin()

    def _begin(self) -> None:
        self.rows: list[Row] = []
        self.moved: list[FlowState] = []
        self.bytes = 0
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._rows_name = rows_name(self._run, self._chunk, self._attempt, self._part)
        self._name = warc_name(self._rows_name)
        self._path: Path | None = None

    def add(self, result: Result) -> None:
        """Take a result; its records go to the file. Raises StoreError."""
        row = result.row
        if result.payload:
            if self._path is None:
                self._create()
            row = msgspec.structs.replace(
                row,
                warc_file=self._name,
                warc_offset=self.bytes + result.record_at,
                warc_length=result.record_length,
            )
            self._write(result.payload)
        self.rows.append(row)

    def cut(self, depot: Depot, *, done: bool) -> Callable[[], str]:
        """End this part; what is returned lays it down, and tells the name of its rows. It may be called again."""
        name = self._rows_name
        path, warc = self._path, self._name if self._path is not None else ""
        pack = Pack(
            self._run, self._chunk, self._attempt, self._part, self._machine, tuple(self.rows), tuple(self.moved),
            warc, self.bytes, self._digest.hexdigest() if warc else "", done,
        )  # fmt: skip
        if path is not None:
            self._file.close()
        self._part += 1
        self._begin()

        def lay_down() -> str:
            if path is not None:
                depot.put(warc, path)
            depot.put(name, write_pack(pack))
            if path is not None:
                path.unlink(missing_ok=True)
            return name

        return lay_down

    def drop(self) -> None:
        """Forget this part."""
        if self._path is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
        self._begin()

    def _create(self) -> None:
        with self._mapped():
            self._file = tempfile.NamedTemporaryFile(dir=self._folder, prefix="part-", delete=False)  # noqa: SIM115
        self._path = Path(self._file.name)
        self._write(self._warcinfo(self._name.rpartition("/")[2]))

    def _write(self, data: bytes) -> None:
        with self._mapped():
            self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self._folder} cannot take a part of a chunk: {error.strerror}; make room.") from error
