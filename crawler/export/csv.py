"""Rows as CSV for spreadsheets (RFC 4180): one line each, and nothing in it that runs or steers.

Control characters stand as escapes, and what a spreadsheet would take for a formula has an apostrophe before it. So a
text may differ from the one that was recorded; the other forms keep every character.
"""

from __future__ import annotations

import codecs
import csv
from typing import Any

from crawler.escape import formula_safe, printable
from crawler.export.columns import COLUMNS, records
from crawler.export.snapshot import Snapshot
from crawler.export.target import Target

STREAMS = True


def write(crawl: Snapshot, out: Target) -> str:
    """A line with the names of the columns, and one a row; NULL is an empty cell."""
    count = 0
    with out.opened() as file:
        # Not a TextIOWrapper: one that could not be written closes the file where it is dropped, and that may be ours.
        writer = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\r\n")
        writer.writerow(column.name for column in COLUMNS)
        for count, (_, values) in enumerate(records(crawl), 1):  # noqa: B007 - the last one is how many there are
            writer.writerow(map(_cell, values))
    return f"{count:,} rows"


def _cell(value: Any) -> Any:
    return formula_safe(printable(value)) if isinstance(value, str) else value
