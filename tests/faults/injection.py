"""What is brought into a run from outside, by the environment alone (`injected/sitecustomize.py` reads it)."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

_HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Injection:
    """How a run is tuned, and where it dies.

    Groups are committed after `group_seconds`, archive files end at about `file_bytes` (None: as ever). Whoever comes
    to `point` for the `nth` time, and makes the file `token`, dies there; no point: nobody.

    Every process has a limit of so many `descriptors` (`ulimit -n`, soft and hard; None: as ever), and a wall clock
    that is off by the seconds in the file `clock`, from one reading to the next. A worker that gets an answer with the
    `deadly_status` adds a line to the file `deaths`, the seqs that are committed in the `database` as JSON, and dies.

    What comes to the disk for sure is noted in the folder `synced` (`platter.py` says how). From the `nth` time on the
    disk `breaks` in one of `write`, `fdatasync` and `COMMIT` with an error of errno(3): `write EIO`, say.
    """

    group_seconds: float = 1.0
    file_bytes: int | None = None
    point: str | None = None
    nth: int = 1
    token: str = ""
    descriptors: int | None = None
    clock: str = ""
    deadly_status: int | None = None
    deaths: str = ""
    database: str = ""
    synced: str = ""
    breaks: str = ""

    def environment(self) -> dict[str, str]:
        """The variables that bring it there."""
        paths = (_HERE / "injected", _HERE.parents[1])
        return {"FAULT": json.dumps(dataclasses.asdict(self)), "PYTHONPATH": os.pathsep.join(map(str, paths))}
