"""What the parsers of all text formats share: blocks of bytes in, whole lines on, and a mark of how far that went."""

from __future__ import annotations

import abc
import codecs
import hashlib

import msgspec

from crawler.errors import InputError
from crawler.records import Entry, Request
from crawler.sources.base import Mark, show

LONGEST_RECORD = 1024**2
"""Bytes that a line of JSON, or a row of a table, may have."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BOMS = (codecs.BOM_UTF8, *_UTF16)
_READ_AS_FILES = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PAR1": "Parquet"}
_FOREIGN = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip (as spreadsheets are, too)",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"SQLite format 3\x00": "a database of SQLite",
    b"%PDF-": "PDF",
}
_MAGIC = _READ_AS_FILES | _FOREIGN

HEAD_BYTES = max(map(len, _MAGIC))
"""Of a text, what tells that it is none."""


class Layout(msgspec.Struct, frozen=True):
    """How a list is written: its format (None: its name tells), and which columns count.

    `column` is the one with the URL, those in `carry` go into each entry's `extra`; text has neither.
    """

    format: str | None = None
    column: str = "url"
    carry: tuple[str, ...] = ()


class Cutter(abc.ABC):
    """Cuts a text into entries, whatever its blocks. A line ends with LF, CRLF or CR.

    `position` counts the bytes that were fed, `line` the lines that were made entries of. Raises InputError for what
    is no text in UTF-8: UTF-16, an archive.
    """

    form = "txt"
    """The format's name; a mark of one format is none of another."""

    def __init__(self, name: str, first_seq: int = 1, layout: Layout = Layout()) -> None:  # noqa: B008 - it is frozen
        self.position = 0
        self.next_seq = first_seq
        self.line = 0
        self._name = name
        self._layout = layout
        self._plain = True
        self._begun = False  # whether the byte order mark is behind us
        self._rest = b""  # what began with the first line of an entry, whose end has not come
        self._hash = begin_hash(self.form)  # of all that was fed
        self._marked = (0, self._hash.copy(), True)  # of what was cut

    def feed(self, block: bytes) -> list[Entry]:
        """The entries that are complete with these bytes."""
        text = self._without_bom(self._rest + block)
        lines = text.splitlines(keepends=True)
        # A CR at the end may be half of a CRLF, so that line waits too.
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        entries, waiting = self._read(lines) if lines else ([], 0)
        held = b"".join(lines[len(lines) - waiting :])
        self.line += len(lines) - waiting
        behind = len(block) - len(held) - len(rest)
        self._advance(block, behind if len(lines) > waiting and behind >= 0 else None)
        self._rest = held + self._bounded(rest)
        return entries

    def finish(self) -> list[Entry]:
        """The entry of a last line without an end."""
        lines, self._rest = self._without_bom(self._rest, last=True).splitlines(keepends=True), b""
        entries, _ = self._read(lines, last=True)
        self.line += len(lines)
        self._advance(b"", 0)
        return entries

    def mark(self) -> Mark:
        """The bytes of the lines that were cut; may be called from another thread."""
        offset, hashed, plain = self._marked
        return Mark(offset, hashed.hexdigest(), plain)

    @abc.abstractmethod
    def _read(self, lines: list[bytes], *, last: bool = False) -> tuple[list[Entry], int]:
        """The entries of these lines, and how many lines at the end wait for more; none do where they are the last."""

    def _bounded(self, rest: bytes) -> bytes:
        """So much of an unfinished line that it is still too long where it is, and no more."""
        if len(rest) <= LONGEST_RECORD:
            return rest
        return rest[: LONGEST_RECORD + 1] + (b"\r" if rest.endswith(b"\r") else b"")

    def _entry(self, line: int, request: Request, problem: str | None = None) -> Entry:
        entry = Entry(self.next_seq, self._name, line, request, problem)
        self.next_seq += 1
        return entry

    def _bad(self, line: int, raw: bytes, problem: str) -> Entry:
        """The entry of what is none."""
        return self._entry(line, Request(show(raw.strip())), problem)

    def _advance(self, block: bytes, cut: int | None) -> None:
        """Hash a block; the mark moves to `cut` bytes into it, or stays where it is."""
        view = memoryview(block)
        if cut is not None:
            self._hash.update(view[:cut])
            self._marked = (self.position + cut, self._hash.copy(), self._plain)
        self._hash.update(view[cut or 0 :])
        self.position += len(block)

    def _without_bom(self, text: bytes, last: bool = False) -> bytes:
        """The beginning of the text without its byte order mark; any later piece as it is."""
        if self._begun or (not last and any(bom.startswith(text) for bom in (*_BOMS, *_MAGIC))):
            return text
        self._begun = True
        refuse_binary(text, self._name)
        return text.removeprefix(codecs.BOM_UTF8)


def begin_hash(form: str) -> hashlib.blake2b:
    """The hash behind the marks of a format."""
    return hashlib.blake2b(person=b"" if form == "txt" else form.encode())


def refuse_binary(head: bytes, name: str) -> None:
    """Raise InputError where a text begins with the byte order mark of UTF-16, or is an archive."""
    if head.startswith(_UTF16):
        raise InputError(f"{name} is UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8) and try again.")
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            remedy = "make a text of it" if magic in _FOREIGN else "name a file of that kind, or unpack it first"
            raise InputError(f"{name} is {what} and no text; {remedy}.")
