"""Which cases make up a run: what was chosen, the quick picture, the whole one, or two million URLs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.contender import Contender
from benchmarks.contenders import CONTENDERS, MODES, PEERS, RECIPES, best_mode
from benchmarks.outlook import LENGTH, Outlook
from benchmarks.runner import Case, Part
from benchmarks.workloads import WORKLOADS, Workload

Shaped = tuple[Contender, int | None, int | None]
"""A contender, its processes and what is in flight in each; None for the workload's."""

SECTIONS = ("modes", "workloads", "patience", "concurrency", "memory", "killed")
"""Of the whole picture."""

_ROUNDS = 10
_DOCUMENTS = (("serial", 1, 1), ("threads", 1, 10), ("processes", 10, 1), ("processes+threads", 10, 10))
_MOST_THREADS, _MOST_GREENLETS = 1000, 4000
_MEMORY = ("ThreadPoolExecutor", "Pool.map", "curl -Z")
_BESIDE = ("ThreadPoolExecutor", "processes of gevent pools")
_KILL_S = 0.5
_KILLED = ("ProcessPoolExecutor", "Pool.map", "processes of gevent pools")
_SLOW = ("Scrapy", "minet")
_FAST = [peer for peer in PEERS if peer.name not in _SLOW]
_EVERYBODY = {contender.name: contender for contender in (*MODES, *RECIPES, *PEERS)}


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for on the command line; None where nothing was said."""

    workloads: Sequence[str]
    contenders: Sequence[Contender]
    runs: int
    urls: int | None = None
    procs: int | None = None
    concs: Sequence[int] = ()
    warm: bool = True


def chosen(choice: Choice) -> list[Part]:
    """A part for each workload that was chosen, with each concurrency."""
    return [
        part(
            "chosen",
            WORKLOADS[name],
            ((one, choice.procs, conc) for conc in choice.concs or (None,) for one in choice.contenders),
            count=choice.urls,
            runs=choice.runs,
            warm=choice.warm,
        )
        for name in choice.workloads
    ]


def quick() -> Iterator[Part]:
    """The whole picture in about two minutes: short lists, one run, so figures with much of the start in them."""
    near, best = WORKLOADS["near"], best_mode().name
    yield part("modes", near, as_is((*RECIPES, *_of(*_SLOW), *MODES)), count=1500, warm=False)
    yield part("workloads", near, as_is((best_mode(), *_FAST)), count=8000)
    for name in ("hosts", "tls", "wild", "cpu"):
        few = _of("ThreadPoolExecutor", best, "curl -Z", "wget2")
        yield part("workloads", WORKLOADS[name], as_is(few), count=200 if name == "cpu" else 600, warm=False)
    some = [("threads", 1, 200), ("gevent", 1, 1000), ("asyncio", 1, 200), ("asyncio", 1, 2000)]
    more = [(best, 2, 400), (best, 2, 4000), (_BESIDE[1], 2, 1000)]
    yield part("patience", WORKLOADS["patient"], shaped((*_DOCUMENTS, *some, *more)), warm=False, rounds=2)
    for count in (500, 2000, 6000):
        yield part("memory", near, as_is(_of(best, *_MEMORY)), count=count, warm=False)
    yield killed(6000, limit_s=15)


def whole() -> Iterator[Part]:
    """All that is published: about an hour on 2 cores."""
    near, patient = WORKLOADS["near"], WORKLOADS["patient"]
    yield part("modes", near, as_is((*RECIPES, *MODES)), count=5000, runs=3)
    yield part("workloads", near, as_is((best_mode(), *PEERS)), runs=5)
    for name in ("hosts", "tls", "wild", "cpu"):
        some = _of("threads", "processes+gevent", "processes+asyncio", best_mode().name, *_BESIDE)
        peers, runs = (_FAST, 5) if name in ("hosts", "tls") else (PEERS, 3)
        yield part("workloads", WORKLOADS[name], as_is((*some, *peers)), runs=runs)
    yield part("patience", patient, shaped(_DOCUMENTS), rounds=_ROUNDS)
    in_flight = (10, 100, 1000, 4000, 8000)
    yield part("patience", patient, sweep((*_of(*_BESIDE), *MODES), in_flight), warm=False, rounds=4)
    yield part("concurrency", near, sweep(MODES, (1, 8, 64, 512)), count=5000, warm=False)
    for count in (1000, 10_000, 100_000):
        yield part("memory", near, as_is(_of(best_mode().name, *_MEMORY)), count=count, warm=False)
    yield killed(10_000, limit_s=30)


def two_million(outlooks: Iterable[Outlook], hours: float) -> list[Part]:
    """The 2,000,000 for real, for each whose best settings are expected to take no more than so many hours."""
    patient = WORKLOADS["patient"]
    hopeful = [one for one in outlooks if one.seconds < hours * 3600 and one.estimate is None]
    parts = part("two million", patient, shaped((o.name, o.procs, o.conc) for o in hopeful), count=LENGTH, warm=False)
    cases = tuple(dataclasses.replace(case, limit_s=hours * 2 * 3600) for case in parts.cases)
    return [dataclasses.replace(parts, cases=cases)]


def killed(count: int, limit_s: float) -> Part:
    """What is left when a worker is killed: the product, and the recipes that have workers."""
    found = part("killed", WORKLOADS["near"], as_is(_of(*_KILLED, best_mode().name)), count=count, warm=False)
    cases = tuple(dataclasses.replace(case, kill_child_s=_KILL_S, limit_s=limit_s) for case in found.cases)
    return dataclasses.replace(found, cases=cases)


def part(
    section: str,
    workload: Workload,
    contenders: Iterable[Shaped],
    *,
    count: int | None = None,
    runs: int = 1,
    warm: bool = True,
    rounds: int = _ROUNDS,
) -> Part:
    """A part of those contenders that can be run here, none twice in the same shape.

    A list that waits is no longer than `rounds` times what is in flight, if no `count` is given.
    """
    cases: dict[Case, None] = {}
    for contender, procs, conc in contenders:
        if contender.missing(workload):
            continue
        shape = contender.shape(procs or workload.procs, conc or workload.conc)
        fitting = shape[0] * shape[1] * rounds if workload.wait_s else workload.urls
        cases[Case(workload, contender, count or fitting, *shape)] = None
    return Part(section, tuple(cases), runs, warm)


def as_is(contenders: Iterable[Contender]) -> Iterator[Shaped]:
    """Contenders with the workload's settings."""
    return ((contender, None, None) for contender in contenders)


def shaped(names: Iterable[tuple[str, int, int]]) -> Iterator[Shaped]:
    """Contenders by name, with settings."""
    return ((_EVERYBODY[name], procs, conc) for name, procs, conc in names)


def sweep(contenders: Iterable[Contender], concs: Sequence[int]) -> Iterator[Shaped]:
    """Contenders with each number in flight a process that they can have: a thread is dearer than a coroutine."""
    for contender in contenders:
        name = contender.name.lower()
        most = _MOST_THREADS if "thread" in name else _MOST_GREENLETS if "gevent" in name else max(concs)
        yield from ((contender, None, conc) for conc in concs if conc <= most)


def named(kind: str, names: str) -> list[Contender]:
    """The contenders of a kind by their names, separated by commas; `all` and `none` are names too.

    Raises ValueError for a name that there is not.
    """
    siblings = {contender.name.lower(): contender for contender in CONTENDERS[kind]}
    if names in ("all", "none"):
        return [*siblings.values()] if names == "all" else []
    found = []
    for name in names.split(","):
        matching = [one for key, one in siblings.items() if name.lower() in (key, key.partition(" -")[0])]
        if not matching:
            raise ValueError(f"{name!r} is none of the {kind}: {', '.join(one.name for one in siblings.values())}")
        found.append(matching[0])
    return found


def _of(*names: str) -> list[Contender]:
    return [_EVERYBODY[name] for name in dict.fromkeys(names)]
