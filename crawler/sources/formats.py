"""Which format a list has, by its name, and who parses it: one line a format."""

from __future__ import annotations

from pathlib import PurePath

from crawler.config import FORMATS
from crawler.sources.cutter import Cutter, Layout
from crawler.sources.jsonlines import JsonLines
from crawler.sources.lines import Lines
from crawler.sources.packed import PACKINGS
from crawler.sources.table import Table, TabTable

_PARSERS: dict[str, type[Cutter]] = {"txt": Lines, "csv": Table, "tsv": TabTable, "jsonl": JsonLines}
_SUFFIXES = {f".{name}": name for name in FORMATS} | {".ndjson": "jsonl", ".json": "jsonl", ".pq": "parquet"}


def format_of(name: str) -> str | None:
    """The format that a file's name tells, compressed or not; None where it tells none."""
    return _SUFFIXES.get(PurePath(plain_name(name)).suffix.lower())


def plain_name(name: str) -> str:
    """A file's name without the ending of a compressed one."""
    lower = name.lower()
    return next((name[: -len(each.suffix)] for each in PACKINGS if lower.endswith(each.suffix)), name)


def make_parser(form: str, name: str, first_seq: int, layout: Layout) -> Cutter:
    """The parser of a format of text, for the list of this name."""
    return _PARSERS[form](name, first_seq, layout)
