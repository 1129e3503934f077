"""What a process of a run finds around it: another wall clock, few descriptors, an answer that is deadly."""

from __future__ import annotations

import datetime
import json
import os
import resource
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any


def arrange(fault: dict[str, Any], *, worker: bool) -> None:
    """Bring about what the fields of `Injection` say."""
    if fault["descriptors"] is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (fault["descriptors"], fault["descriptors"]))
    if fault["clock"]:
        _shift(Path(fault["clock"]))
    if fault["deadly_status"] is not None and worker:
        _die_of(fault["deadly_status"], fault["deaths"], fault["database"])


def _shift(file: Path) -> None:
    """Let the wall clock be off by what the file says, from one reading to the next. No other clock changes."""
    true_time, true_time_ns = time.time, time.time_ns

    class Moment(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Moment:
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: true_time() + int(file.read_text())
    time.time_ns = lambda: true_time_ns() + int(file.read_text()) * 10**9
    datetime.datetime = Moment  # type: ignore[misc]


def _die_of(status: int, deaths: str, database: str) -> None:
    """A worker that gets this status dies at once, after a line in the file `deaths`: what is committed by then."""
    from crawler.body import Body

    head = Body.head

    def deadly(self: Body, got: int, *rest: Any) -> Any:
        if got == status:
            line = json.dumps(_committed(database)) + "\n"
            file = os.open(deaths, os.O_WRONLY | os.O_APPEND)
            os.write(file, line.encode())
            os.kill(os.getpid(), signal.SIGKILL)
        return head(self, got, *rest)

    Body.head = deadly  # type: ignore[method-assign]


def _committed(database: str) -> list[int]:
    try:
        connection = sqlite3.connect(f"{Path(database).as_uri()}?mode=ro", uri=True, timeout=30)
        return [seq for (seq,) in connection.execute("SELECT seq FROM pages")]
    except sqlite3.OperationalError:  # there is no table yet
        return []
