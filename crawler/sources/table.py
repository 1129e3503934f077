"""A list of URLs as a table, comma- or tab-separated, with a column of URLs (RFC 4180)."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from crawler.errors import InputError
from crawler.escape import printable
from crawler.records import Entry, Request
from crawler.sources.base import LONGEST, read_entry
from crawler.sources.cutter import LONGEST_RECORD, Cutter

_AFTER = "\0"  # a row of its own behind the last one, unless that has a quote that did not end
_FIELD = 4 * LONGEST_RECORD  # characters; a row is found too long before that
_SHOWN = 300  # characters of a header


class Table(Cutter):
    """An entry a row, its URL in the layout's column; the first row is the header.

    Where the column is a number, there is no header and columns are counted from 1. What stands between the quotes of
    a field may hold line ends. A quote that does not end within LONGEST_RECORD bytes spoils its own line alone: the
    next one begins a row. Raises InputError where a column is not there.
    """

    form = "csv"
    delimiters = ",;\t|"
    """What may stand between two fields; the first one that gives a header with the URL's column does."""

    _delimiter = ""
    _width = 0
    _url = 0
    _carried: tuple[tuple[str, int], ...] = ()

    def _read(self, lines: list[bytes], *, last: bool = False) -> tuple[list[Entry], int]:
        entries: list[Entry] = []
        at = 0
        while at < len(lines):
            for begin, end, row in self._rows(lines, at):
                if row is None and not last and sum(map(len, lines[begin:end])) <= LONGEST_RECORD:
                    return entries, len(lines) - begin
                at = end if row is not None else begin + 1
                entries += self._entries(lines[begin:at], self.line + begin + 1, row)
        return entries, 0

    def _rows(self, lines: list[bytes], at: int) -> Iterator[tuple[int, int, list[str] | None]]:
        """Each row behind `at` with its first line and the one behind its last; None for one that did not end."""
        csv.field_size_limit(max(csv.field_size_limit(), _FIELD))
        text = [line.decode("utf-8", "surrogateescape") for line in lines[at:]]
        self._delimiter = self._delimiter or self._find_delimiter(text)
        reader = csv.reader([*text, _AFTER], delimiter=self._delimiter)
        begin = at
        for row in reader:
            end = at + reader.line_num
            if end > len(lines):
                if begin < len(lines):
                    yield begin, len(lines), None
                return
            yield begin, end, row
            begin = end

    def _entries(self, lines: list[bytes], line: int, row: list[str] | None) -> list[Entry]:
        """The entry of a row; none of a blank line and of the header."""
        if row == [] or (row is not None and len(row) == 1 and not row[0].strip()):
            return []
        if not self._width and self._begin(row, line):
            return []
        if row is None or len(row) > self._width or len(lines) > 1 or len(lines[0]) > LONGEST_RECORD:
            problem = self._problem(lines, row)
            if problem is not None or row is None:
                return [self._bad(line, b"".join(lines), problem or "")]
        return [self._entry_of(row, line)]

    def _problem(self, lines: list[bytes], row: list[str] | None) -> str | None:
        if sum(map(len, lines)) > LONGEST_RECORD:
            return f"The row is longer than {LONGEST_RECORD:,} bytes."
        if row is None:
            return "The row has a quote that does not end."
        if len(row) > self._width:
            return f"The row has {len(row)} fields and not {self._width}; a field with a comma in it stands in quotes."
        return None

    def _entry_of(self, row: list[str], line: int) -> Entry:
        url, problem = _url(row[self._url]) if len(row) > self._url else ("", None)
        if not url:
            problem = "The row has no URL."
        extra = {name: _text(row[at]) if at < len(row) else None for name, at in self._carried} or None
        return self._entry(line, Request(url, extra=extra), problem)

    def _begin(self, row: list[str] | None, line: int) -> bool:
        """Find the columns; returns whether the row is a header. Raises InputError."""
        if row is None:
            raise InputError(
                f"{self._name} has a quote in line {line} that does not end; a table begins with its header."
            )
        numbered = self._layout.column.isdecimal()
        header = [str(number) for number in range(1, len(row) + 1)] if numbered else row
        self._url = self._find(self._layout.column, header, line)
        self._carried = tuple((name, self._find(name, header, line)) for name in self._layout.carry)
        self._width = len(row)
        return not numbered

    def _find(self, name: str, header: list[str], line: int) -> int:
        found = _position(name, header)
        if found is None:
            shown = printable(", ".join(map(_text, header)), _SHOWN)
            raise InputError(
                f"{self._name} has no column {name!r} in line {line}; it has {shown}: name one of them with --column "
                "or --carry, or count from 1 where there is no header."
            )
        return found

    def _find_delimiter(self, text: list[str]) -> str:
        head = next((line for line in text if line.strip()), "")
        for delimiter in self.delimiters:
            header = next(csv.reader([head], delimiter=delimiter), [])
            if len(header) > 1 and (
                self._layout.column.isdecimal() or _position(self._layout.column, header) is not None
            ):
                return delimiter
        return self.delimiters[0]


class TabTable(Table):
    """The same, with tabs between the fields."""

    form = "tsv"
    delimiters = "\t"


def _position(name: str, header: list[str]) -> int | None:
    """Where a column stands: one with this very name, else the only one whose name is the same but for its case."""
    if name in header:
        return header.index(name)
    alike = [at for at, other in enumerate(header) if other.strip().lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _url(field: str) -> tuple[str, str | None]:
    """What `read_entry` makes of a field."""
    if field.isascii() and field.isprintable() and len(field) <= LONGEST:
        return field.strip(), None
    return read_entry(field.encode("utf-8", "surrogateescape"))


def _text(field: str) -> str:
    """A field as text that every output can hold: what is not UTF-8 stands as `\\xNN`."""
    return field if field.isascii() else field.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
