"""What a crawl is exported to: siblings behind one call, of which only the one that is used is imported.

A sibling is a module with the same two names:

- `STREAMS`: whether it can be written to a pipe, piece by piece;
- `write(crawl, out)`: write all of a `Snapshot`, or what the form has a place for; returns how much that was. `out` is
  a `Target`: a file that takes its name when it is whole, but for `files` a folder that fills up.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from crawler.errors import UsageError
from crawler.export.snapshot import Snapshot
from crawler.export.target import Target

FORMS = ("parquet", "jsonl", "csv", "files", "cdxj", "wacz")


def export(
    folder: Path, form: str, target: Path, *, name: str | None = None, overwrite: bool = False
) -> tuple[str, int]:
    """Write the crawl in `folder` to `target` (`-`: standard output) in a form of `FORMS`, as it is at this moment.

    `name` is what the column `crawl` holds (default: the folder's name without `.crawl`). Returns in words what was
    written, and how many records of the archive could not be read, whose places are empty.

    Raises FolderError, UsageError where the target is not to be written to, StoreError where it cannot be, and
    NotRecordedError where an archive that goes into the target as a whole is damaged.
    """
    module = importlib.import_module(f"{__name__}.{form}")
    out = Target(target, overwrite)
    if out.is_stream and not module.STREAMS:
        where = "standard output" if str(target) == "-" else str(target)
        raise UsageError(f"{form} cannot go to {where}; name a {'folder' if form == 'files' else 'file'}.")
    with Snapshot(folder, name) as crawl:
        if not out.is_stream:
            crawl.folder.refuse(target)
        return module.write(crawl, out), crawl.unreadable
