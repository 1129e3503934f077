"""What is on the disk for sure, as the runs note it from outside, and what a power loss does to all the rest.

`injected/sitecustomize.py` writes into a folder beside the crawl: the file `log`, a JSON object a line (the length of a
file that was synced, the names in a folder that was synced, the number of a copy of the database), and the copies, each
of them made when a COMMIT has returned, which with synchronous=FULL is when it is on the disk.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from faults.judge import Row, read_rows

_DATABASE = ("crawl.db", "crawl.db-wal")
_MADE_BY_SQLITE = frozenset({*_DATABASE, "crawl.db-shm", "crawl.db-journal"})
_MORE_BYTES = 64 * 1024


@dataclasses.dataclass
class Durable:
    """What no power loss takes back: the length of each file, the entries of each folder, a copy of the database."""

    lengths: dict[str, int] = dataclasses.field(default_factory=dict)
    entries: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    database: Path | None = None

    def holds(self, path: Path) -> bool:
        """Whether the folder of `path` has its entry."""
        return path.name in self.entries.get(str(path.parent), ())


class Platter:
    """The disk below the crawl in `out`; what is sure of it is noted in `side`."""

    def __init__(self, out: Path, side: Path) -> None:
        self._out = out
        self._side = side
        self._begin_anew()

    def fail(self, chance: random.Random, *, before_commit: bool = False) -> Mapping[int, Row]:
        """Let the power fail, at once or just before the last commit; the rows that no failure may take."""
        sure = self._durable(before_commit)
        held = {} if sure.database is None else read_rows(sure.database / "crawl.db")
        if self._out.is_dir():
            if sure.holds(self._out):
                self._lose(sure, chance)
            else:
                shutil.rmtree(self._out)
        self._begin_anew()
        return held

    def _durable(self, before_commit: bool) -> Durable:
        # The last line is not whole where its writer was killed.
        events = [json.loads(line) for line in (self._side / "log").read_bytes().split(b"\n")[:-1]]
        commits = [at for at, event in enumerate(events) if event.get("database", 0) > 0]  # 0 came with the power
        if before_commit and commits:
            events = events[: commits[-1]]
        sure = Durable()
        for event in events:
            if "database" in event:
                sure.database = self._side / str(event["database"])
            elif "entries" in event:
                sure.entries[event["path"]] = set(event["entries"])
            else:
                sure.lengths[event["path"]] = event["length"]
        return sure

    def _lose(self, sure: Durable, chance: random.Random) -> None:
        self._lose_commits(sure.database, chance)
        for path in sorted(self._out.rglob("*"), reverse=True):  # what is in a folder comes before it
            if path.parent == self._out and path.name in _MADE_BY_SQLITE:
                continue
            if not sure.holds(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif path.is_file():
                synced = sure.lengths.get(str(path), 0)
                newest = path == max(path.parent.glob("*.gz"), default=None)
                more = _MORE_BYTES if newest or path.name == "spool" else 0
                _tear(path, synced, more, chance)

    def _lose_commits(self, copy: Path | None, chance: random.Random) -> None:
        """The database goes back to its copy; where none was ever committed, any part of its making may be there."""
        if copy is None and chance.random() < 0.3:
            return
        for name in _MADE_BY_SQLITE:
            (self._out / name).unlink(missing_ok=True)
        if copy is None:
            if chance.random() < 0.5:
                (self._out / "crawl.db").touch()
            return
        for name in _DATABASE:
            if (copy / name).exists():
                shutil.copyfile(copy / name, self._out / name)
        if (log := self._out / "crawl.db-wal").exists():
            _tear(log, log.stat().st_size, _MORE_BYTES, chance)  # the next commit had begun

    def _begin_anew(self) -> None:
        """What is there when the power comes back is on the disk."""
        shutil.rmtree(self._side, ignore_errors=True)
        self._side.mkdir()
        if (self._out / "crawl.db").exists():
            (self._side / "0").mkdir()
            for name in _DATABASE:
                if (self._out / name).exists():
                    shutil.copyfile(self._out / name, self._side / "0" / name)
        lines = "".join(f"{json.dumps(event)}\n" for event in self._present())
        (self._side / "log").write_text(lines)

    def _present(self) -> Iterator[dict[str, Any]]:
        for path in (self._out.parent, self._out, *self._out.rglob("*")):
            if path.is_dir():
                yield {"path": str(path), "entries": [entry.name for entry in path.iterdir()]}
            elif path.is_file():
                yield {"path": str(path), "length": path.stat().st_size}
        if (self._side / "0").is_dir():
            yield {"database": 0}


def _tear(path: Path, synced: int, more: int, chance: random.Random) -> None:
    """What was not synced is gone, or a part of it is there, and zeros or garbage (`more` bytes at most) behind it."""
    written = path.stat().st_size
    part = chance.choice((0, chance.randint(0, max(written - synced, 0))))
    junk = chance.choice((b"", bytes(_MORE_BYTES), chance.randbytes(_MORE_BYTES)))
    with path.open("r+b") as file:
        file.truncate(synced + part)
        file.seek(0, os.SEEK_END)
        file.write(junk[: chance.randint(0, max(more - part, 0))])
