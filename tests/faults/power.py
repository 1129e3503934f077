"""Power loss: what was synced is there, and nothing else for sure; the same command finishes the crawl.

SIGKILL leaves the system's cache as it is, and so does not test fsync. Here every run notes from outside what it has
brought to the disk, its parent is killed, and then the folder loses the rest (`platter.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from unittest import mock

import command

from faults.arena import Arena, number_of
from faults.intact import harmed
from faults.judge import Row
from faults.platter import Platter

NAME = "power"
LONG, SHORT = 100, 3

_POINTS = ("append-fsync", "fsync-commit", "before-commit", "new-file-begun")
# How a run of this case begins: whether the list is piped, and the points that the first runs are killed at ("" is a
# moment by chance).
_BEGINNINGS: tuple[tuple[bool, tuple[str, ...]], ...] = (
    (False, ("",)),
    (True, ("append-fsync",)),
    (False, ("folder-made", "")),
    (False, ("append-fsync",)),
    (True, ("",)),
    (False, ("fsync-commit",)),
    (True, ("append-fsync", "")),
    (False, ("", "")),
    (False, ("new-file-begun",)),
    (False, ("folder-made",)),
)
_STANDARD_INPUT = 'shift; exec "$0" -m crawler - --out urls.crawl "$@" < urls.txt'


def run(arena: Arena, seed: int) -> list[str]:
    """Let the power fail once, twice or three times, then let the same command come to its end."""
    side = arena.folder / "synced"
    file_bytes = arena.chance.choice((20_000, 300_000))
    arena.tuning = dataclasses.replace(arena.tuning, group_seconds=0.05, file_bytes=file_bytes, synced=str(side))
    platter = Platter(arena.out, side)
    piped, points = _BEGINNINGS[number_of(seed) % len(_BEGINNINGS)]
    with _standard_input() if piped else contextlib.nullcontext():
        for _ in range(arena.chance.choice((1, 1, 2, 3))):
            last = max(lose_power(arena, platter, points), default=0)
            if piped and last > _lines(arena.out / "spool"):
                arena.violations.append(f"the row {last} is on the disk and its line is not")
            point = arena.chance.choice(_POINTS)
            points = arena.chance.choice((("",), (point,), (point, "")))
        return arena.complete()


def lose_power(arena: Arena, platter: Platter, points: Iterable[str]) -> Mapping[int, Row]:
    """Kill runs at these points, one after the other, and let the power fail; the rows that are there for sure."""
    first = len(arena.snapshots)
    for point in points:
        _kill(arena, point)
    held = platter.fail(arena.chance, before_commit=arena.chance.random() < 0.3)
    # What a killed run has committed may be lost by the power: only what is held is not asked for again.
    for at, snapshot in enumerate(arena.snapshots[first:], first):
        rows = {seq: row for seq, row in snapshot.rows.items() if held.get(seq) == row}
        arena.snapshots[at] = dataclasses.replace(snapshot, before=snapshot.before & rows.keys(), rows=rows)
    arena.violations += harmed(arena.out, arena.truths)
    (arena.out / "crawl.db-shm").unlink(missing_ok=True)  # memory, which does not outlive the power
    return held


def _kill(arena: Arena, point: str) -> None:
    """Kill a run where it comes to a point at which something is not on the disk yet; at a moment by chance without."""
    nth = arena.chance.choice((1, 1, 2) if point == "folder-made" else (1, 1, 2, 3, 5, 10))
    token = arena.folder / f"token-{len(arena.snapshots)}"
    fault = {"point": point, "nth": nth, "token": str(token)} if point else {}
    with arena.crawl(**fault) as run:
        arena.ended(run) if fault else arena.moment(run)
        arena.kills += run.returncode == -signal.SIGKILL
        arena.kill_parent(run)
        if run.returncode not in (0, -signal.SIGKILL) and run.stderr is not None:
            arena.violations.append(run.stderr.read()[-500:].strip())


def _lines(spool: Path) -> int:
    """How many lines are whole; each is an entry here. They stand in blocks, each behind its length and checksum."""
    data, lines = spool.read_bytes() if spool.exists() else b"", 0
    while len(data) >= 8:
        length, checksum = struct.unpack_from("<II", data)
        block, data = data[8 : 8 + length], data[8 + length :]
        if not block or zlib.crc32(block) != checksum:
            break
        lines += block.count(b"\n")
    return lines


@contextlib.contextmanager
def _standard_input() -> Iterator[None]:
    """The list comes from standard input."""
    with mock.patch.object(command, "_COMMAND", ("sh", "-c", _STANDARD_INPUT, sys.executable)):
        yield
