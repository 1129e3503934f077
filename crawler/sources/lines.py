"""A list of URLs as text, one a line; no line is held whole that is too long for one."""

from __future__ import annotations

from collections.abc import Iterable

from crawler.records import Entry, Request
from crawler.sources.base import LONGEST, read_entry
from crawler.sources.cutter import Cutter

_PLAIN = bytes(range(0x20, 0x7F)) + b"\n"


class Lines(Cutter):
    """An entry a line that is neither blank nor a `#` comment."""

    def _read(self, lines: list[bytes], *, last: bool = False) -> tuple[list[Entry], int]:  # noqa: ARG002 - each ends
        entries: list[Entry] = []
        for number, (text, problem) in enumerate(_read_entries(lines), self.line + 1):
            if text and not text.startswith("#"):
                entries.append(Entry(self.next_seq, self._name, number, Request(text), problem))
                self.next_seq += 1
        return entries, 0

    def _bounded(self, rest: bytes) -> bytes:
        """What the entry of an unfinished line depends on: LONGEST bytes, one for what came behind, and a CR.

        White space around a line is no part of its entry, so however much of it came, one space stands for it.
        """
        if len(rest) <= LONGEST:
            return rest
        end = rest[-1:] if rest.endswith(b"\r") else b""
        line = rest.lstrip()
        behind = line[LONGEST:].strip()[:1] or b" "
        return line[:LONGEST] + behind + end if len(line) > LONGEST else line.removesuffix(b"\r") + end


def _read_entries(lines: list[bytes]) -> Iterable[tuple[str, str | None]]:
    """What `read_entry` makes of each line; found for all of them at once where they are plain, as most lists are."""
    text = b"".join(lines)
    if text.translate(None, _PLAIN) or len(max(lines, key=len, default=b"")) > LONGEST:
        return map(read_entry, lines)
    return ((line.strip(), None) for line in text.decode("ascii").split("\n"))
