"""Whether a crawl is whole, told without the code under test: by sqlite3, gzip, FastWARC, warcio, and the origin's log.

Each check returns sentences that say what is violated; none of them stops at the first.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gzip
import hashlib
import json
import re
import sqlite3
import subprocess
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fastwarc.warc
from warcio.archiveiterator import ArchiveIterator

from faults.truth import Truth

_GZIP_S = 60.0
_BUSY_S = 30.0
Row = Mapping[str, Any]
_NAMED = 3  # violations of one kind are shown so often; the rest are counted


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What stood at a fault: the seqs that were committed surely `before` it, the rows right after it by seq, and then
    the requests by target."""

    before: frozenset[int]
    rows: Mapping[int, Row]
    hits: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Stored:
    """One record of the archive, as FastWARC reads it."""

    file: str
    offset: int
    kind: str
    url: str


def judge(
    out: Path,
    truths: Sequence[Truth],
    hits: Mapping[str, int],
    snapshots: Sequence[Snapshot] = (),
    retried: Collection[int] = (),
) -> list[str]:
    """Everything that is wrong with the finished crawl in `out`, a sentence each; empty where it is whole.

    Only the rows of the seqs `retried` may be others than they were in a snapshot.
    """
    rows, meta, found = read_crawl(out / "crawl.db")
    found += judge_rows(rows, meta, truths)
    archive, problems = read_archive(out / "warc")
    found += problems
    found += judge_end(out / "warc", meta)
    found += judge_accounts(rows, snapshots, archive)
    found += judge_records(out / "warc", rows, truths)
    found += judge_hits(rows, truths, hits, snapshots)
    found += judge_changes(rows, snapshots, retried)
    return shortened(found)


def read_crawl(path: Path) -> tuple[list[Row], dict[str, str], list[str]]:
    """The rows, `meta`, and what SQLite itself finds wrong."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as connection:
        connection.row_factory = sqlite3.Row
        rows: list[Row] = [dict(row) for row in connection.execute("SELECT * FROM pages ORDER BY seq")]
        meta = {row["key"]: row["value"] for row in connection.execute("SELECT key, value FROM meta")}
        said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    return rows, meta, [f"integrity_check: {text}" for text in said if text != "ok"]


def read_rows(path: Path) -> dict[int, Row]:
    """The rows by seq of a crawl that may run, or be about to begin."""
    try:
        return {row["seq"]: row for row in read_crawl(path)[0]}
    except sqlite3.OperationalError:  # there is no file yet, or no table
        return {}


def judge_rows(rows: Sequence[Row], meta: Mapping[str, str], truths: Sequence[Truth]) -> Iterator[str]:
    """Each entry has exactly one row, with the fate that its kind must have, and the sums are right."""
    times = Counter(row["seq"] for row in rows)
    for seq in sorted(times.keys() | {truth.seq for truth in truths}):
        wanted = 1 if 1 <= seq <= len(truths) else 0
        if times[seq] != wanted:
            yield f"rows: seq {seq} has {times[seq]} rows instead of {wanted}"
    for row in rows:
        if row["seq"] <= len(truths):
            truth = truths[row["seq"] - 1]
            expected = (truth.line, truth.outcome, truth.status, truth.error_class)
            actual = (row["url"], row["outcome"], row["status"], row["error_class"])
            if expected != actual:
                yield f"fates: seq {row['seq']} is {actual} instead of {expected}"
    counts = {name: count for name, count in json.loads(meta["counts"]).items() if count}
    if counts != Counter(row["outcome"] for row in rows):
        yield f"sums: meta counts {counts}"
    if meta["finished"] != "true":
        yield "sums: meta says that the crawl is not finished"


def read_archive(folder: Path) -> tuple[list[Stored], list[str]]:
    """All records of the archive, and what gzip, FastWARC and warcio find wrong with its files."""
    stored, problems = list[Stored](), list[str]()
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    for number, path in enumerate(paths, 1):
        if not re.fullmatch(f"{number:05d}.warc.gz", path.name):
            problems.append(f"files: {path.name} is not number {number}")
        tested = subprocess.run(["gzip", "-t", str(path)], capture_output=True, text=True, timeout=_GZIP_S, check=False)
        if tested.returncode or tested.stderr:
            problems.append(f"gzip: {path.name}: {tested.stderr.strip()}")
        try:
            stored += _fastwarc(path, problems)
            _warcio(path)
        except Exception as error:  # whatever a reader of others does not like is a violation
            problems.append(f"readers: {path.name}: {type(error).__name__} {error}")
    return stored, problems


def _fastwarc(path: Path, problems: list[str]) -> Iterator[Stored]:
    with path.open("rb") as stream:
        for record in fastwarc.warc.ArchiveIterator(stream, parse_http=False):
            kind, url = str(record.record_type), record.headers.get("WARC-Target-URI") or ""
            offset = record.stream_pos
            record.freeze()
            if not record.verify_block_digest():
                problems.append(f"digests: the block of {url} at {offset} of {path.name}")
            record.parse_http()
            if kind == "response" and not record.verify_payload_digest():
                problems.append(f"digests: the payload of {url} at {offset} of {path.name}")
            yield Stored(path.name, offset, kind, url)


def _warcio(path: Path) -> None:
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, check_digests="raise"):
            while record.raw_stream.read(1 << 16):
                pass


def judge_end(folder: Path, meta: Mapping[str, str]) -> Iterator[str]:
    """The archive ends where `meta` says that it was committed, and each file begins with its warcinfo."""
    files = sorted(path.name for path in folder.glob("*")) or [""]
    length = (folder / files[-1]).stat().st_size if files[-1] else 0
    if (files[-1], length) != (meta["warc_file"], int(meta["warc_length"])):
        yield f"end: the archive ends at {length} of {files[-1]}, meta at {meta['warc_length']} of {meta['warc_file']}"


def judge_accounts(rows: Sequence[Row], snapshots: Sequence[Snapshot], archive: Sequence[Stored]) -> Iterator[str]:
    """Every record of the archive belongs to a row, as it is or was: its answer, a redirect on its way, or a request
    of these."""
    all_rows = [*rows, *(row for snapshot in snapshots for row in snapshot.rows.values())]
    ever = {(row["warc_file"], row["warc_offset"]): row for row in all_rows if row["warc_file"]}
    answers = Counter(row["final_url"] for row in ever.values())
    for row in ever.values():
        answers.update(hop["url"] for hop in json.loads(row["redirects"] or "[]"))
    for kind in ("response", "request"):
        stored = Counter(record.url for record in archive if record.kind == kind)
        for url in sorted(stored.keys() | answers.keys()):
            if stored[url] != answers[url]:
                yield f"records: {stored[url]} of kind {kind} for {url} where the rows have {answers[url]}"
    heads = [(record.file, record.offset) for record in archive if record.kind == "warcinfo"]
    if heads != [(name, 0) for name in sorted({record.file for record in archive})]:
        yield f"records: warcinfo stands at {heads}"


def judge_records(folder: Path, rows: Sequence[Row], truths: Sequence[Truth]) -> Iterator[str]:
    """Each row points at one whole gzip member, which holds the record of its answer, whose body is the truth."""
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context((folder / name).open("rb"))
            for name in {row["warc_file"] for row in rows} - {None}
            if (folder / name).is_file()
        }
        for row in rows:
            truth = truths[row["seq"] - 1] if row["seq"] <= len(truths) else None
            if truth is None or (truth.payload is None and row["warc_file"] is None):
                continue
            if row["warc_file"] not in files:
                yield f"bodies: seq {row['seq']} points at no file: {row['warc_file']}"
                continue
            file = files[row["warc_file"]]
            file.seek(row["warc_offset"])
            for what in _judge_record(file.read(row["warc_length"]), row, truth):
                yield f"bodies: seq {row['seq']} ({truth.line}) {what}"


def _judge_record(member: bytes, row: Row, truth: Truth) -> Iterator[str]:
    unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        record = unzip.decompress(member)
    except zlib.error as error:
        yield f"points at no gzip member: {error}"
        return
    if not unzip.eof or unzip.unused_data:
        yield "points at what is not exactly one gzip member"
        return
    about, _, block = record.partition(b"\r\n\r\n")
    head, _, rest = block.removesuffix(b"\r\n\r\n").partition(b"\r\n\r\n")
    fields = dict(line.partition(": ")[::2] for line in about.decode().split("\r\n"))
    digest = _digest(rest)
    if not digest == row["digest"] == fields.get("WARC-Payload-Digest"):
        yield f"has digest {row['digest']}, its record {fields.get('WARC-Payload-Digest')}, its payload {digest}"
    if (fields.get("WARC-Type"), fields.get("WARC-Target-URI")) != ("response", row["final_url"]):
        yield f"points at the {fields.get('WARC-Type')} of {fields.get('WARC-Target-URI')}"
    if rest != truth.payload:
        yield f"has a payload of {len(rest)} bytes that is not what the origin serves"
    elif truth.body is not None:
        body = gzip.decompress(rest) if b"\r\ncontent-encoding: gzip" in head.lower() else rest
        if body != truth.body or _digest(body) != row["body_digest"]:
            yield f"decodes to {len(body)} bytes that are not the page, or has body_digest {row['body_digest']}"


def _digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def judge_hits(
    rows: Sequence[Row],
    truths: Sequence[Truth],
    hits: Mapping[str, int],
    snapshots: Sequence[Snapshot],
) -> Iterator[str]:
    """Nobody was asked more often than the attempts that are recorded and the faults before that explain.

    A row that stood at a fault and stands still was not asked for again. A fault costs any other entry at most the
    tries that it then had behind it.
    """
    known = {row["seq"]: row for row in rows}
    for truth in truths:
        if truth.seq not in known:
            continue  # it is missing, which is said elsewhere
        row = known[truth.seq]
        stood = [snapshot for snapshot in snapshots if snapshot.rows.get(truth.seq) == row]
        lost = len(snapshots) - sum(truth.seq in snapshot.before for snapshot in stood)
        most = (row["attempts"] + lost * truth.tries) * truth.sends
        for target in truth.targets:
            count = hits.get(target, 0)
            if not 1 <= count <= most:
                yield f"hits: {target} was asked for {count} times, at most {most} are explained"
            if any(count > snapshot.hits.get(target, 0) for snapshot in stood):
                yield f"again: {target} was asked for again after it was recorded"
    for target in hits.keys() - {target for truth in truths for target in truth.targets}:
        yield f"hits: {target} was asked for and stands in no list"


def judge_changes(rows: Sequence[Row], snapshots: Sequence[Snapshot], retried: Collection[int]) -> Iterator[str]:
    """What was committed stays as it was."""
    known = {row["seq"]: row for row in rows}
    for snapshot in snapshots:
        for seq, row in snapshot.rows.items():
            if seq not in retried and known.get(seq) != row:
                yield f"changes: seq {seq} was {row} and is {known.get(seq)}"


def shortened(found: Sequence[str]) -> list[str]:
    """The first few violations of each kind, and how many more there are of it."""
    kinds = Counter(text.partition(":")[0] for text in found)
    shown = [text for kind in kinds for text in [text for text in found if text.partition(":")[0] == kind][:_NAMED]]
    return [*shown, *(f"{kind}: {count - _NAMED} more" for kind, count in kinds.items() if count > _NAMED)]
