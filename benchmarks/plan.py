"""Which cases make up a run: what was chosen, the quick picture, or the whole one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from benchmarks.contender import Contender
from benchmarks.contenders import CONTENDERS
from benchmarks.runner import Case, Part
from benchmarks.workloads import WORKLOADS, Workload

_PATIENT_ROUNDS = 10


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
    """A part for each workload and concurrency that were chosen."""
    return [
        part(
            "chosen",
            WORKLOADS[name],
            ((contender, choice.procs, conc) for contender in choice.contenders),
            count=choice.urls,
            runs=choice.runs,
            warm=choice.warm,
        )
        for name in choice.workloads
        for conc in choice.concs or (None,)
    ]


def part(
    section: str,
    workload: Workload,
    contenders: Iterable[tuple[Contender, int | None, int | None]],
    *,
    count: int | None = None,
    runs: int = 1,
    warm: bool = True,
) -> Part:
    """A part of those contenders that can be run here, each with its processes and what is in flight in each.

    Where nothing is said, those of the workload; a list that waits is no longer than a few rounds of what is in flight.
    """
    cases = []
    for contender, procs, conc in contenders:
        if contender.missing(workload):
            continue
        shape = contender.shape(procs or workload.procs, conc or workload.conc)
        fitting = shape[0] * shape[1] * _PATIENT_ROUNDS if workload.wait_s else workload.urls
        cases.append(Case(workload, contender, count or min(fitting, workload.urls), *shape))
    return Part(section, cases, runs, warm)


def named(kind: str, names: str) -> list[Contender]:
    """The contenders of a kind by their names, separated by commas; `all` and `none` are names too.

    Raises ValueError for a name that there is not.
    """
    siblings = {contender.name.lower(): contender for contender in CONTENDERS[kind]}
    if names in ("all", "none"):
        return [*siblings.values()] if names == "all" else []
    found = []
    for name in names.split(","):
        matching = [one for key, one in siblings.items() if key == name.lower() or key.split()[0] == name.lower()]
        if not matching:
            raise ValueError(f"{name!r} is none of the {kind}: {', '.join(one.name for one in siblings.values())}")
        found.append(matching[0])
    return found
