"""The place of one run: a folder, an origin of its own, a list whose truth is known, and the means to do harm.

Every wait in here has the same end, the run's deadline: what hangs raises `HungError`, it never hangs the harness.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import command
from conftest import Origin, running_origin

from faults.injection import Injection
from faults.judge import Snapshot, judge, read_rows
from faults.truth import RETRIES, Truth, make_truths

BOUND_S = 90.0
"""What one run may take, all its restarts included; the judge's own time is bounded by the size of the list."""
ORPHANS_S = 5.0
"""How long a worker may outlive its parent."""

_POLL_S = 0.005
_NUMBERS = 1000
_FLAGS = tuple(f"--allow-private --no-robots --retries {RETRIES} --procs 2 --conc 32 --chunk-size 40 --quiet".split())

Run = subprocess.Popen[str]


def seed_of(base: int, name: str, number: int) -> int:
    """The seed of run `number` of a case; run 0 has the base seed itself, so that `--seed` repeats any run."""
    if number == 0:
        return base
    return random.Random(f"{base} {name}").getrandbits(20) * _NUMBERS + base % _NUMBERS + number


def number_of(seed: int) -> int:
    """What a case may count by that has something to do in turn: it differs by one from run to run."""
    return seed % _NUMBERS


class HungError(Exception):
    """Something took longer than the run's bound."""


@dataclasses.dataclass
class Arena:
    """One run of a case. `chance` is the only source of randomness; `kills` counts the signals that landed."""

    folder: Path
    origin: Origin
    chance: random.Random
    truths: list[Truth]
    flags: tuple[str, ...]
    tuning: Injection
    deadline: float
    kills: int = 0
    snapshots: list[Snapshot] = dataclasses.field(default_factory=list)
    violations: list[str] = dataclasses.field(default_factory=list)

    @property
    def out(self) -> Path:
        """The crawl's folder."""
        return self.folder / "urls.crawl"

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; raises HungError where there is none left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise HungError("the run's bound is over")
        return left

    def until(self, holds: Callable[[], object]) -> None:
        """Ask again and again until it holds."""
        while not holds():
            time.sleep(min(_POLL_S, self.left_s))

    def crawl(self, *flags: str, **fault: Any) -> contextlib.AbstractContextManager[Run]:
        """The real command on the list; `fault` are fields of `Injection` that say where it dies."""
        return self.command("urls.txt", *self.flags, *flags, **fault)

    @contextlib.contextmanager
    def command(self, *arguments: str, **fault: Any) -> Iterator[Run]:
        """`crawl` with these arguments, in a session of its own; whoever is left of it at the end is killed."""
        environment = dataclasses.replace(self.tuning, **fault).environment()
        with mock.patch.dict(os.environ, environment), command.running(*arguments, cwd=self.folder) as run:
            yield run

    def requests(self) -> int:
        """How many requests the origin has seen."""
        return int(self.origin.stats()["requests"])

    def recorded(self) -> frozenset[int]:
        """The seqs that are committed, whatever lives or is dead."""
        return frozenset(seq for (seq,) in read(self.out / "crawl.db", "SELECT seq FROM pages"))

    def moment(self, run: Run) -> None:
        """Wait for a moment by chance, anywhere from the start of a run to its end."""
        where, jitter = self.chance.random(), self.chance.random()
        if where < 0.15:
            self.pause(run, jitter)  # it starts
        else:
            wanted = self.requests() + int(self.chance.random() * self.open())
            self.until(lambda: run.poll() is not None or self.requests() >= wanted)
            self.pause(run, 0.3 * jitter if where > 0.75 else 0.02 * jitter)

    def open(self) -> int:
        """About how many requests are still to come."""
        done = self.recorded()
        return sum(len(truth.targets) * truth.tries for truth in self.truths if truth.seq not in done)

    def pause(self, run: Run, seconds: float) -> None:
        """Let a run go on for so long, or to its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(min(seconds, self.left_s))

    def strike(self, pid: int) -> bool:
        """SIGKILL; whether there was somebody to kill."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
            return True
        return False

    def kill_workers(self, run: Run, *, every: bool = False) -> None:
        """SIGKILL one worker of a run, or all, as soon as there is one; then note what was committed."""
        self.until(lambda: run.poll() is not None or command.workers(run))
        found = sorted(command.workers(run)) if run.poll() is None else []
        self.chance.shuffle(found)
        before = self.recorded()
        if sum(self.strike(pid) for pid in (found if every else found[:1])):
            self.note(before)

    def kill_parent(self, run: Run) -> None:
        """SIGKILL the parent, see that it takes its workers along, and note what was committed."""
        if run.poll() is None:
            self.strike(run.pid)
        self.ended(run)
        if run.returncode not in (0, -signal.SIGKILL):
            self.violations.append(f"exit status {run.returncode} of a run that nobody had killed yet")
        self.note()

    def die(self, point: str, nth: int = 1, *arguments: str) -> None:
        """Let the command (or another, of these arguments) run until it comes to a point for the `nth` time."""
        token = self.folder / f"token-{len(self.snapshots)}"
        command = arguments or ("urls.txt", *self.flags)
        with self.command(*command, point=point, nth=nth, token=str(token)) as run:
            self.ended(run)
        if run.returncode == -signal.SIGKILL:
            self.kills += 1
            self.note()
        else:
            self.violations.append(f"the point {point} was not reached {nth} times: exit status {run.returncode}")

    def ended(self, run: Run) -> None:
        """Wait for the end of a run's parent; nobody may outlive it by more than 5 s."""
        run.wait(self.left_s)
        until = min(time.monotonic() + ORPHANS_S, self.deadline)
        while command.members(run.pid) and time.monotonic() < until:
            time.sleep(_POLL_S)
        if left := command.members(run.pid):
            self.violations.append(f"{len(left)} processes are alive {ORPHANS_S:g} s after their parent's death")

    def note(self, before: frozenset[int] | None = None) -> None:
        """Note a fault: what was committed `before` it (None: nothing was since), what is, what was asked for."""
        rows = read_rows(self.out / "crawl.db")
        self.snapshots.append(Snapshot(frozenset(rows) if before is None else before, rows, self.hits()))

    def hits(self) -> Mapping[str, int]:
        """The origin's log: requests by target."""
        return {target: count for target, count in json.loads(self.origin.ask("/_hits")).items() if count}

    def finish(self, run: Run, status: int = 0) -> None:
        """Wait for a run to end by itself, with this exit status."""
        try:
            _, said = run.communicate(timeout=self.left_s)
        except subprocess.TimeoutExpired:
            raise HungError("the command does not end") from None
        self.ended(run)
        if run.returncode != status:
            self.violations.append(f"exit status {run.returncode} instead of {status}: {said[-500:].strip()}")

    def complete(self, *flags: str) -> list[str]:
        """Run the same command to its end; everything that is wrong with what it leaves, and was before."""
        with self.crawl(*flags) as run:
            self.finish(run)
        return self.verdict()

    def verdict(self, retried: Collection[int] = ()) -> list[str]:
        """Everything that is wrong with a crawl that says it is finished; the rows `retried` may have changed."""
        try:
            found = judge(self.out, self.truths, self.hits(), self.snapshots, retried)
        except (sqlite3.Error, OSError, KeyError) as error:  # what cannot even be judged
            found = [f"{type(error).__name__}: {error}"]
        return [*self.violations, *found]


def read(database: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer of a database by SQLite alone; nothing where it is about to be made."""
    try:
        with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


@contextlib.contextmanager
def arena(folder: Path, seed: int, entries: int, bound_s: float = BOUND_S) -> Iterator[Arena]:
    """An arena in `folder` with a list of so many entries; list, flags and moments all come from `seed`."""
    chance = random.Random(seed)
    with running_origin(folder) as origin:
        truths = make_truths(origin.port, chance, entries)
        command.write_list(folder, *(truth.line for truth in truths))
        flags = (*_FLAGS, "--per-host", chance.choice(("0", "16")))
        tuning = Injection(chance.choice((0.05, 0.2, 1.0)), chance.choice((20_000, 300_000, None)))
        yield Arena(folder, origin, chance, truths, flags, tuning, time.monotonic() + bound_s)
