"""A list of URLs as text: blocks of bytes in, entries out; no line is held whole that is too long for one."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable

from crawler.errors import InputError
from crawler.records import Entry, Request
from crawler.sources.base import LONGEST, Mark, read_entry

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BOMS = (codecs.BOM_UTF8, *_UTF16)
_PLAIN = bytes(range(0x20, 0x7F)) + b"\n"


class Lines:
    """Cuts a text into entries, whatever its blocks: one a line that is neither blank nor a `#` comment.

    A line ends with LF, CRLF or CR. `position` counts the bytes that were fed. Raises InputError for UTF-16.
    """

    def __init__(self, name: str, first_seq: int = 1) -> None:
        self.position = 0
        self.next_seq = first_seq
        self._name = name
        self._line = 1
        self._begun = False  # whether the byte order mark is behind us
        self._rest = b""  # the line whose end has not come
        self._hash = hashlib.blake2b()  # of all that was fed
        self._marked = (0, self._hash.copy())  # of the lines that ended

    def feed(self, block: bytes) -> list[Entry]:
        """The entries that are complete with these bytes."""
        text = self._without_bom(self._rest + block)
        lines = text.splitlines(keepends=True)
        # A CR at the end may be half of a CRLF, so that line waits too.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        self._advance(block, len(block) - len(self._rest) if lines else None)
        self._rest = _bounded(self._rest)
        return self._entries(lines)

    def finish(self) -> list[Entry]:
        """The entry of a last line without an end."""
        rest, self._rest = self._without_bom(self._rest, last=True), b""
        self._advance(b"", 0)
        return self._entries([rest] if rest else [])

    def mark(self) -> Mark:
        """The bytes of the lines that ended; may be called from another thread."""
        offset, hashed = self._marked
        return Mark(offset, hashed.hexdigest())

    def _advance(self, block: bytes, ended: int | None) -> None:
        """Hash a block; the mark moves to `ended` bytes into it, or stays where it is."""
        view = memoryview(block)
        if ended is not None:
            self._hash.update(view[:ended])
            self._marked = (self.position + ended, self._hash.copy())
        self._hash.update(view[ended or 0 :])
        self.position += len(block)

    def _entries(self, lines: list[bytes]) -> list[Entry]:
        entries: list[Entry] = []
        for number, (text, problem) in enumerate(_read_entries(lines), self._line):
            if text and not text.startswith("#"):
                entries.append(Entry(self.next_seq, self._name, number, Request(text), problem))
                self.next_seq += 1
        self._line += len(lines)
        return entries

    def _without_bom(self, text: bytes, last: bool = False) -> bytes:
        """The beginning of the text without its byte order mark; any later piece as it is."""
        if self._begun or (not last and any(bom.startswith(text) for bom in _BOMS)):
            return text
        self._begun = True
        refuse_utf16(text, self._name)
        return text.removeprefix(codecs.BOM_UTF8)


def _read_entries(lines: list[bytes]) -> Iterable[tuple[str, str | None]]:
    """What `read_entry` makes of each line; found for all of them at once where they are plain, as most lists are."""
    text = b"".join(lines)
    if text.translate(None, _PLAIN) or len(max(lines, key=len, default=b"")) > LONGEST:
        return map(read_entry, lines)
    return ((line.strip(), None) for line in text.decode("ascii").split("\n"))


def refuse_utf16(head: bytes, name: str) -> None:
    """Raise InputError where a text begins with the byte order mark of UTF-16."""
    if head.startswith(_UTF16):
        raise InputError(f"{name} is UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8) and try again.")


def _bounded(rest: bytes) -> bytes:
    """What the entry of an unfinished line depends on: LONGEST bytes, one for what came behind, and a CR.

    White space around a line is no part of its entry, so however much of it came, one space stands for it.
    """
    if len(rest) <= LONGEST:
        return rest
    end = rest[-1:] if rest.endswith(b"\r") else b""
    line = rest.lstrip()
    behind = line[LONGEST:].strip()[:1] or b" "
    return line[:LONGEST] + behind + end if len(line) > LONGEST else line.removesuffix(b"\r") + end
