"""The disk is full, or read-only, or breaks: the run stops by itself, in one sentence, and with room it completes.

The small disk is a tmpfs in namespaces of its own; where the system does not allow one, a limit on the size of files
is its substitute. A file system that turns read-only while it is written to, and an I/O error, cannot be had without
a device of one's own (dmsetup(8)): they are injected. Each run says what its disk was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
from collections.abc import Iterator
from typing import Any
from unittest import mock

import command

from faults.arena import Arena, HungError, Run, number_of
from faults.intact import harmed
from faults.volumes import FileSizes, Tmpfs, volume

NAME = "disks"

_FILES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 13)
_BYTES = (4_096, 16_384, 36_864, 49_152, 65_536)
_SHARES = (0.15, 0.3, 0.5, 0.75, 1.0)
_ENTRY_BYTES = 1_700  # what an entry takes at least, all files of the crawl together
_OTHER = (
    "filled SIGTERM",
    "read-only SIGKILL",
    "write EIO",
    "COMMIT EIO",
    "fdatasync EIO",
    "filled SIGKILL",
    "read-only SIGTERM",
    "write EROFS",
    "COMMIT EROFS",
)
_SUBSTITUTES = {"read-only": "write EROFS", "filled": "write ENOSPC"}
_LIMITS = {"EIO": ("disk reports an error",), "EROFS": ("read-only", "Read-only"), "ENOSPC": ("full", "No space left")}

# Twenty places where it is full, and what else a disk does between them.
WAYS = [way for at in range(10) for way in (("files", at), ("bytes", at), (_OTHER[at % len(_OTHER)], 0))]
LONG, SHORT = len(WAYS), 3


def run(arena: Arena, seed: int) -> list[str]:
    """Let the disk do what the seed says, then let the same command come to its end."""
    arena.tuning = dataclasses.replace(arena.tuning, group_seconds=0.05, file_bytes=20_000)
    what, at = WAYS[number_of(seed) % len(WAYS)]
    with volume(arena.folder / "disk") as disk:
        case = Case(arena, disk)
        if what in ("files", "bytes"):
            case.full(what, at)
        elif (state := what.partition(" ")[0]) not in _SUBSTITUTES:
            case.broken(what)
        elif isinstance(disk, Tmpfs):
            case.between(disk, *what.split())
        else:
            case.broken(_SUBSTITUTES[state])
        print(f"  {NAME} --seed {seed}: {case.about}", flush=True)
        return case.complete()


class Case:
    """A crawl whose folder lies on a disk of its own."""

    def __init__(self, arena: Arena, disk: Tmpfs | FileSizes) -> None:
        self.arena = arena
        self.disk = disk
        self.about = disk.name
        self._out = str(disk.folder / arena.out.name)
        self._main = ("urls.txt", *arena.flags, "--out", self._out)

    def full(self, what: str, at: int) -> None:
        """There is little room, and perhaps a little more for the next run."""
        needed = _ENTRY_BYTES * len(self.arena.truths)
        rooms = _FILES if what == "files" else sorted((*_BYTES, *(int(share * needed) for share in _SHARES)))
        if isinstance(self.disk, FileSizes):
            self.arena.tuning = dataclasses.replace(self.arena.tuning, file_bytes=None)
        for again in self.arena.chance.choice(((0,), (0, 0), (0, 1))):
            number = rooms[min(at + again, len(rooms) - 1)]
            self.disk.narrow(what, number)
            self.about += f", room for {number} {what}"
            self.stops(*_LIMITS["ENOSPC"])
        self.disk.free()

    def between(self, disk: Tmpfs, what: str, end: str) -> None:
        """When a run was killed or stopped, and the next one comes, its disk is read-only, or others have filled it."""
        wanted = self.arena.chance.randrange(len(self.arena.truths) // 2)
        disk.narrow("bytes", 4 * _ENTRY_BYTES * len(self.arena.truths))
        with self._command(*self._main) as run:
            self.arena.until(lambda: run.poll() is not None or self.arena.requests() > wanted)
            run.send_signal(signal.Signals[end])
            self.arena.kills += 1
            self.arena.ended(run)
        self._note()
        if what == "filled":
            disk.fill()
        else:
            disk.remount("ro")
        self.about += f" that is {what} after {end}"
        self.stops(*_LIMITS["ENOSPC" if what == "filled" else "EROFS"])
        disk.free()

    def broken(self, breaks: str) -> None:
        """Something fails, from the n-th time on."""
        nth = self.arena.chance.choice((1, 2, 3, 5, 8))
        self.about += f", and an injected error: {breaks}, from time {nth} on"
        self.stops(*_LIMITS[breaks.split()[1]], breaks=breaks, nth=nth)

    def stops(self, *limits: str, **fault: Any) -> None:
        """A run that cannot write ends by itself, in one sentence that names one of the `limits`; what was committed is
        intact, and can be read."""
        status, _, said = self._say(*self._main, **fault)
        self.about += f"; exit status {status}: {said.strip()}"
        self._expect("the run", status == 1 and _is_sentence(said), f"ended with {status}: {said[-500:]}")
        named = isinstance(self.disk, FileSizes) or any(limit in said for limit in limits)
        self._expect("the run", named, f"does not say that the disk is {limits[0]}: {said[-500:]}")
        self._note()
        status, told, said = self._say("report", self._out)
        well = told and not said if status == 0 else _is_sentence(said) and not self.arena.snapshots[-1].rows
        self._expect("the report", well, f"ended with {status}: {told[-500:]} {said[-500:]}")

    def complete(self) -> list[str]:
        """Run the same command to its end; everything that is wrong with what it leaves, and was before."""
        with self._command(*self._main) as run:
            self.arena.finish(run)
        self.disk.bring(self.arena.out.name, self.arena.out)
        return self.arena.verdict()

    def _note(self) -> None:
        """Note a fault, of the folder as it is now, and what it has harmed."""
        self.disk.bring(self.arena.out.name, self.arena.out)
        self.arena.note()
        self.arena.violations += harmed(self.arena.out, self.arena.truths)

    def _say(self, *arguments: str, **fault: Any) -> tuple[int, str, str]:
        """The exit status of a command on this disk, its output and its errors."""
        with self._command(*arguments, **fault) as run:
            try:
                told, said = run.communicate(timeout=self.arena.left_s)
            except subprocess.TimeoutExpired:
                raise HungError(f"crawl {arguments[0]} does not end") from None
            self.arena.ended(run)
        return run.returncode, told, said

    @contextlib.contextmanager
    def _command(self, *arguments: str, **fault: Any) -> Iterator[Run]:
        words = (*self.disk.words, *command._COMMAND)
        with mock.patch.object(command, "_COMMAND", words), self.arena.command(*arguments, **fault) as run:
            yield run

    def _expect(self, what: str, holds: object, otherwise: str) -> None:
        if not holds:
            self.arena.violations.append(f"{what} {otherwise.strip()} ({self.about})")


def _is_sentence(said: str) -> bool:
    return said.startswith("crawl: ") and said.endswith(".\n") and said.count("\n") == 1
