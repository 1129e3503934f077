"""Whether what is committed is intact, told at a fault, before anybody has recovered anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faults.judge import judge_records, read_crawl, read_rows, shortened
from faults.truth import Truth


def harmed(out: Path, truths: Sequence[Truth]) -> list[str]:
    """What is wrong with the rows of the crawl in `out`, and with the records that they point at."""
    if not read_rows(out / "crawl.db"):
        return []  # nothing is committed
    rows, _, found = read_crawl(out / "crawl.db")
    return [f"harmed: {text}" for text in shortened([*found, *judge_records(out / "warc", rows, truths)])]
