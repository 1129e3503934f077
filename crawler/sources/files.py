"""Which files are meant: paths, patterns and folders become the list of files that they stand for."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from crawler.errors import InputError
from crawler.sources.cutter import Layout
from crawler.sources.formats import format_of
from crawler.sources.packed import packing_of
from crawler.sources.parquet import ParquetSource
from crawler.sources.several import FileSource, Several
from crawler.sources.text import TextSource, open_list

_PARQUET = b"PAR1"
_KINDS = "txt, csv, tsv, jsonl or parquet, also .gz or .zst"


def open_files(names: Iterable[str], layout: Layout) -> Several:
    """These files as one list, each in the format of the layout or else of its name; raises InputError."""
    return Several(list(dict.fromkeys(find_files(names))), functools.partial(_open_one, layout=layout))


def find_files(names: Iterable[str]) -> Iterator[str]:
    """The files that are meant: of a folder those whose names end like a list's, sorted; raises InputError."""
    for name in names:
        for path in _matches(name):
            if _exists(path) and Path(path).is_dir():
                yield from _within(Path(path))
            else:
                yield path


def _matches(name: str) -> list[str]:
    """What a pattern stands for; a name stands for itself."""
    if _exists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not found:
        raise InputError(f"{name} matches no file; name files with lists of URLs.")
    return found


def _within(folder: Path) -> list[str]:
    if (folder / "crawl.db").exists():
        raise InputError(f"{folder} is the folder of a crawl; name its list, and go on with --out {folder}.")
    found = sorted(
        os.path.join(root, name)  # noqa: PTH118 - as os.walk gives them
        for root, _, names in os.walk(folder)
        for name in names
        if format_of(name) is not None and not name.startswith(".")
    )
    if not found:
        raise InputError(f"{folder} is a folder without a list in it; a list's name ends in {_KINDS}.")
    return found


def _open_one(path: str, layout: Layout) -> FileSource:
    with open_list(path) as file:
        head = file.read(len(_PARQUET))
    form = layout.format or format_of(path)
    if form == "parquet" or (form is None and head == _PARQUET and packing_of(path, head) is None):
        return ParquetSource(path, layout=layout)
    return TextSource(path, layout=layout)


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a NUL, or a name that is too long: to open it will say so
        return False
