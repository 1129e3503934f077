"""Brings a fault into the processes of a run: Python imports a module of this name before anything else.

The environment's `FAULT` says which (see `faults/injection.py`). The code under test knows nothing of it; what is
wrapped is named here, and a point that is never reached fails its case, so a name that changes is noticed.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from typing import Any

_FAULT: dict[str, Any] = json.loads(os.environ.get("FAULT", "{}"))
_WORKER = any(argument.startswith("crawler.") and argument.endswith("worker") for argument in sys.orig_argv)


class _Countdown:
    """The n-th time is the last, once for all processes of a run: whoever makes the token's file dies."""

    def __init__(self, nth: int, token: str) -> None:
        self._left = nth
        self._token = token

    def over(self) -> bool:
        """Whether this is the time to die."""
        self._left -= 1
        if self._left:
            return False
        try:
            os.close(os.open(self._token, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def tick(self) -> None:
        """Die, where it is time."""
        if self.over():
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str, count: _Countdown) -> None:
    whole = getattr(owner, name)

    @functools.wraps(whole)
    def deadly(*args: Any, **named: Any) -> Any:
        count.tick()
        return whole(*args, **named)

    setattr(owner, name, deadly)


def _after(owner: Any, name: str, count: _Countdown) -> None:
    whole = getattr(owner, name)

    @functools.wraps(whole)
    def deadly(*args: Any, **named: Any) -> Any:
        given = whole(*args, **named)
        count.tick()
        return given

    setattr(owner, name, deadly)


def _in_frame(count: _Countdown) -> None:
    """A worker dies when half of a RESULT frame has left it, whoever drives it."""
    from crawler.drivers.polls import _Mouth
    from crawler.drivers.tasks import _Link

    _break_frame(_Link, count)
    _break_frame(_Mouth, count)


def _break_frame(owner: Any, count: _Countdown) -> None:
    import asyncio

    from crawler.wire import Kind

    write, dying = owner.write, list[bool]()

    def deadly(self: Any, buffers: list[bytes]) -> None:
        results = [at for at, buffer in enumerate(buffers) if at % 2 == 0 and buffer[0] == Kind.RESULT]
        if dying or not results or not count.over():
            return None if dying else write(self, buffers)
        dying.append(True)
        at = results[0]
        broken = b"".join(buffers[at : at + 2])
        write(self, [*buffers[:at], broken[: len(broken) // 2]])
        asyncio.get_running_loop().call_later(0.1, _die)  # when the loop has written it
        return None

    owner.write = deadly


def _before_commit(count: _Countdown) -> None:
    """The parent dies with rows and `meta` written, and not committed; commits without an archive do not count."""
    from crawler.store.database import Database

    put = Database._put_meta

    def deadly(self: Database, meta: Any) -> None:
        put(self, meta)
        if meta.get("warc_file"):
            count.tick()

    Database._put_meta = deadly  # type: ignore[method-assign]


def _in_commit(count: _Countdown) -> None:
    """The parent dies somewhere inside SQLite's COMMIT, up to 2 ms after its begin."""
    connect, delay = sqlite3.connect, random.random() * 0.002  # no seed would repeat what the kernel does

    class Deadly(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if sql == "COMMIT" and count.over():
                threading.Thread(target=lambda: (time.sleep(delay), _die())).start()
                super().execute(sql, *rest)
                time.sleep(delay)
                _die()
            return super().execute(sql, *rest)

    sqlite3.connect = functools.partial(connect, factory=Deadly)  # type: ignore[assignment]


def _after_warcinfo(count: _Countdown) -> None:
    """The parent dies when a new file of the archive holds its warcinfo and nothing else."""
    from crawler.store.archive import Archive

    begin = Archive._begin

    def deadly(self: Archive) -> None:
        begin(self)
        if count.over():
            self._flush()
            _die()

    Archive._begin = deadly  # type: ignore[method-assign]


def _arm(point: str, count: _Countdown) -> None:
    from crawler import durable, warc
    from crawler.store import archive
    from crawler.store.archive import Archive

    if point == "append-fsync":
        _before(os, "fdatasync", count)
    elif point == "fsync-commit":
        _after(Archive, "sync", count)
    elif point == "before-commit":
        _before_commit(count)
    elif point == "in-commit":
        _in_commit(count)
    elif point == "old-file-closed":
        _before(Archive, "_begin", count)
    elif point == "new-file-created":
        _before(warc, "warcinfo", count)
    elif point == "new-file-begun":
        _after_warcinfo(count)
    elif point == "folder-made":
        _before(durable, "sync_folder", count)
    elif point == "before-cut":
        _before(Archive, "cut", count)
    elif point == "in-cut":
        _before(archive, "_truncate", count)
    elif point == "after-cut":
        _after(Archive, "cut", count)
    else:
        raise LookupError(point)


def _tune(group_seconds: float, file_bytes: int | None) -> None:
    """Groups are committed sooner and files are smaller: in a short run there are many of both."""
    from crawler.store import group
    from crawler.store.disk import DiskStore

    group.GROUP_SECONDS = group_seconds
    if file_bytes is not None:
        DiskStore.__init__.__kwdefaults__["file_bytes"] = file_bytes


if _FAULT:
    import surroundings

    surroundings.arrange(_FAULT, worker=_WORKER)
if _FAULT and not _WORKER:
    import storage

    storage.arrange(_FAULT)
    _tune(_FAULT["group_seconds"], _FAULT["file_bytes"])
if _FAULT.get("point") == "in-frame":
    if _WORKER:
        _in_frame(_Countdown(_FAULT["nth"], _FAULT["token"]))
elif _FAULT.get("point") and not _WORKER:
    _arm(_FAULT["point"], _Countdown(_FAULT["nth"], _FAULT["token"]))
