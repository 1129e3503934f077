"""10,000 slow connections beside 1,000 fast pages: the fast ones finish, memory is bounded, the slow ones end in time.

Three ways to be slow: servers that say nothing, a few of them without a limit a host, or many with the usual one; and
servers that drip, a byte a second, in the head or in the body. Where `ulimit -n` grants less, there are as many as it
grants.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import resource
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import command
import origin
from conftest import running_origin

from faults.arena import Arena, Run, number_of
from faults.lists import give
from faults.truth import Base, Truth

NAME = "crowd"
LONG, SHORT = 3, 3
BOUND_S = 300.0
ALONE = True

_SLOW, _FAST = 5.0, 0.5  # as multiples of the entries of other cases
_TIME_S = 0.025  # for each of these: enough to connect to all slow ones while the first is still open
_SPARE = 500  # descriptors of the origin, and of a worker, that are no connection of the crowd's
_PROCESS_BYTES = 45_000_000  # an interpreter, and what a parent or a worker needs besides connections
_CONNECTION_BYTES = 60_000
_STALL_S = 10.0  # what --min-speed is counted over
_LATE_S = 30.0  # for a busy machine to end them all and to record them
_POLL_S = 0.1


def run(arena: Arena, seed: int) -> list[str]:
    """Crawl once, in the way that the seed says."""
    way = (_few_that_hang, _many_that_hang, _few_that_drip)[number_of(seed) % 3]
    print(f"  crowd: {way.__name__[1:].replace('_', ' ')}", flush=True)
    return way(arena, len(arena.truths) * _TIME_S)


def _few_that_hang(arena: Arena, time_s: float) -> list[str]:
    slow = [_held(arena, seq) for seq in range(_slow(arena))]
    return _crawl(arena, slow, _fast(arena), time_s, "--per-host", "0")


def _many_that_hang(arena: Arena, time_s: float) -> list[str]:
    (folder := arena.folder / "many").mkdir()
    with running_origin(folder, ["lo"]) as many:
        arena = dataclasses.replace(arena, origin=many)
        slow = [_at(f"127.1.{n // 1000}.{n // 4 % 250 + 1}", _held(arena, n)) for n in range(_slow(arena))]
        fast = [_at(f"127.2.{n // 1000}.{n // 4 % 250 + 1}", truth) for n, truth in enumerate(_fast(arena))]
        return _crawl(arena, slow, fast, time_s, "--per-host", "4")


def _few_that_drip(arena: Arena, time_s: float) -> list[str]:
    slow = [_dripping(arena, seq, time_s) for seq in range(_slow(arena))]
    return _crawl(arena, slow, _fast(arena), time_s, "--per-host", "0")


def _slow(arena: Arena) -> int:
    """How many slow ones there may be: the origin and, if it comes to that, one worker has a descriptor for each."""
    wanted, fast = int(len(arena.truths) * _SLOW), int(len(arena.truths) * _FAST)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(wanted, hard - fast - _SPARE)


def _held(arena: Arena, number: int) -> Truth:
    return Base(arena.origin.port, arena.chance).failed(number, "/hold/crowd", "timeout", tries=1)


def _dripping(arena: Arena, number: int, time_s: float) -> Truth:
    """Every other one drips in its head: only a body can be too slow."""
    base = Base(arena.origin.port, arena.chance)
    if number % 2:
        return base.failed(number, "/drip-header", "timeout", tries=1)
    return base.failed(number, "/drip", "too_slow" if time_s > _STALL_S else "timeout", payload=b"", tries=1)


def _fast(arena: Arena) -> list[Truth]:
    base = Base(arena.origin.port, arena.chance)
    return [base.fetched(-n, f"/page/{n}", origin.page(n)) for n in range(1, int(len(arena.truths) * _FAST) + 1)]


def _at(host: str, truth: Truth) -> Truth:
    return dataclasses.replace(truth, line=re.sub(r"//[0-9.]+:", f"//{host}:", truth.line))


def _crawl(arena: Arena, slow: Sequence[Truth], fast: Sequence[Truth], time_s: float, *flags: str) -> list[str]:
    """Crawl once, half of the fast ones among the slow ones and half behind them."""
    half = len(fast) // 2
    among = [*slow, *fast[:half]]
    arena.chance.shuffle(among)
    give(arena, (dataclasses.replace(truth, seq=seq) for seq, truth in enumerate([*among, *fast[half:]], 1)))
    times = ("--max-time", f"{time_s:g}", "--connect-timeout", f"{time_s:g}", "--retries", "0")
    with arena.crawl("--conc", str(len(arena.truths)), *times, *flags) as run:
        _watch_fast(arena, run)
        _watch_slow(arena, run)
        began = time.monotonic()
        arena.finish(run)
    if (took_s := time.monotonic() - began) > time_s + _LATE_S:
        arena.violations.append(f"tail: the run ended {took_s:.0f} s after its last request, each has {time_s:g} s")
    _count_drops(arena)
    return arena.verdict()


def _watch_fast(arena: Arena, run: Run) -> None:
    """When all fast ones are recorded, no slow one that only its time ends is."""
    fast = {truth.seq for truth in arena.truths if truth.outcome == "fetched"}
    slow = {truth.seq for truth in arena.truths if truth.error_class == "timeout"}
    while run.poll() is None:
        recorded = arena.recorded()
        if fast <= recorded:
            if ended := slow & recorded:
                arena.violations.append(f"fast: {len(ended)} slow ones had ended before the last fast one")
            return
        arena.pause(run, _POLL_S)
    arena.violations.append("fast: the run ended before all fast ones were recorded")


def _watch_slow(arena: Arena, run: Run) -> None:
    """When everything was asked for, all that hang are open, and memory is bounded."""
    arena.until(lambda: run.poll() is not None or arena.requests() >= len(arena.truths))
    stats, slow = arena.origin.stats(), sum(truth.outcome == "failed" for truth in arena.truths)
    memory = [_resident_bytes(pid) for pid in sorted(command.members(run.pid))]
    open_, each = stats["in_flight"], (sum(memory) - len(memory) * _PROCESS_BYTES) / slow
    sizes = " + ".join(f"{size / 1e6:.0f}" for size in memory)
    print(f"  crowd: {slow} slow, {open_} of them open; {sizes} MB, {each / 1e3:.0f} KB each", flush=True)
    if open_ < sum("/hold/" in truth.line for truth in arena.truths):
        arena.violations.append(f"slow: {open_} of {slow} are open when everything was asked for")
    if each > _CONNECTION_BYTES:
        arena.violations.append(f"memory: {sizes} MB are {each:.0f} bytes a connection, beyond the processes' own")


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0  # it has ended


def _count_drops(arena: Arena) -> None:
    """A part of a body that dripped is as long as its row says: nobody knows better."""
    query = "SELECT seq, bytes_body FROM pages WHERE url LIKE '%/drip?%' AND status IS NOT NULL"
    with contextlib.closing(sqlite3.connect(arena.out / "crawl.db")) as connection:
        for seq, size in connection.execute(query):
            drops = b"." * size
            arena.truths[seq - 1] = dataclasses.replace(arena.truths[seq - 1], payload=drops, body=drops)
