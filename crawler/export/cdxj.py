"""The index by which pywb and its like find a capture in the WARC files: sorted, of everything that the archive holds.

That is more than the rows: each redirect on the way has its line, and so has what a retry has replaced since.
"""

from __future__ import annotations

from crawler.export.captures import capture_line
from crawler.export.members import members
from crawler.export.snapshot import Snapshot
from crawler.export.sorting import Sorter
from crawler.export.target import Target

STREAMS = True


def write(crawl: Snapshot, out: Target) -> str:
    """One line a capture; `filename` is the WARC file's name without a folder. Raises NotRecordedError."""
    count = 0
    with out.opened() as file, Sorter(out.folder) as lines:
        for warc in crawl.archive():
            for member in members(warc):
                if (line := capture_line(member, warc.path.name)) is not None:
                    lines.add(line)
        for count, line in enumerate(lines, 1):  # noqa: B007 - the last one is how many there are
            file.write(line)
    return f"{count:,} captures"
