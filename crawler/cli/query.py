"""`crawl query`: SQL over the rows of a crawl."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from crawler.errors import ConfigError
from crawler.escape import formula_safe, printable
from crawler.results import open_crawl
from crawler.store.query import Answer

_WIDTH_ROWS = 1000  # the table's columns are as wide as these rows need


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "query",
        help=about,
        description='Example: crawl query urls.crawl "SELECT host, count(*) FROM pages GROUP BY host"\n\n'
        "Answer one reading SQL statement over the table pages, also while the crawl runs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the crawl's folder")
    parser.add_argument("sql", metavar="SQL", help="a SELECT statement")
    form = parser.add_mutually_exclusive_group()
    for name, write, text in _FORMS:
        form.add_argument(f"--{name}", dest="write", action="store_const", const=write, help=text)
    parser.set_defaults(write=_write_table)


def main(args: argparse.Namespace) -> int:
    """Print the answer; raises FolderError, and ConfigError for what is no reading SQL."""
    with open_crawl(args.folder) as results:
        answer = results.query(args.sql)
        if not answer.columns:
            raise ConfigError("That asks for nothing; write a SELECT statement.")
        args.write(answer, sys.stdout)
    return 0


def _write_table(answer: Answer, out: TextIO) -> None:
    rows = ([_shown(value) for value in row] for row in answer)
    first = [[printable(name) for name in answer.columns], *islice(rows, _WIDTH_ROWS)]
    widths = [max(map(len, column)) for column in zip(*first, strict=True)]
    rule = ["-" * width for width in widths]
    for row in chain(first[:1], [rule], first[1:], rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=out)


def _write_json(answer: Answer, out: TextIO) -> None:
    """One array, an object a row, written as the rows come. Raises ConfigError where two columns have one name."""
    double = [name for name, count in Counter(answer.columns).items() if count > 1]
    if double:
        raise ConfigError(f"Two columns are called {double[0]!r}, and an object has room for one; name them with AS.")
    objects = (json.dumps(dict(zip(answer.columns, map(_jsonable, row), strict=True))) for row in answer)
    first = next(objects, None)
    # ASCII alone, but for DEL, which JSON does not escape.
    out.writelines(text.replace("\x7f", "\\u007f") for text in _bracketed(first, objects))


def _bracketed(first: str | None, objects: Iterator[str]) -> Iterator[str]:
    yield "[" if first is None else f"[\n{first}"
    yield from (f",\n{text}" for text in objects)
    yield "]\n" if first is None else "\n]\n"


def _write_csv(answer: Answer, out: TextIO) -> None:
    escape: Callable[[str], str] = printable if out.isatty() else str
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(name, escape) for name in answer.columns])
    writer.writerows([_cell(value, escape) for value in row] for row in answer)


def _write_tsv(answer: Answer, out: TextIO) -> None:
    """One line a row: tabs and line ends inside a value are escaped."""
    for row in chain([answer.columns], answer):
        print("\t".join(str(_cell(value, printable)) for value in row), file=out)


def _cell(value: Any, escape: Callable[[str], str]) -> Any:
    """A value for a spreadsheet; NULL is empty, a BLOB hexadecimal."""
    value = value.hex() if isinstance(value, bytes) else value
    return formula_safe(escape(value)) if isinstance(value, str) else "" if value is None else value


def _shown(value: Any) -> str:
    value = value.hex() if isinstance(value, bytes) else value
    return "" if value is None else printable(str(value))


def _jsonable(value: Any) -> Any:
    """A value that JSON has: a BLOB in hexadecimal, an infinity as null."""
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not math.isfinite(value) else value


_FORMS = (
    ("json", _write_json, "a JSON array of objects"),
    ("csv", _write_csv, "CSV, safe to open in a spreadsheet"),
    ("tsv", _write_tsv, "tab-separated, one line a row"),
)
