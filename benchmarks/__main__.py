"""`python -m benchmarks`: threads, processes and coroutines side by side, and beside what others do."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.contender import Contender
from benchmarks.contenders import CONTENDERS, best_mode
from benchmarks.plan import Choice, chosen, named
from benchmarks.report import show_tables
from benchmarks.runner import Part, run_part
from benchmarks.summary import summarize
from benchmarks.workloads import WORKLOADS
from crawler.config import available_cores

_WIDTH = 140


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was chosen, show it, and return the exit status: 1 where the product lost a record."""
    parser = _parser()
    args = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        contenders = _contenders(args)
        workloads = _workloads(args.workload)
    except ValueError as error:
        parser.error(str(error))
    for name, why in _missing(contenders, workloads):
        console.print(f"missing: {name}: {why}", style="yellow", highlight=False)
    concs = [int(conc) for conc in args.conc.split(",")] if args.conc else []
    parts = chosen(Choice(workloads, contenders, args.runs, args.urls, args.procs, concs, not args.cold))
    lines = []
    for line in _measured(console, [part for part in parts if part.cases], args.origin_procs):
        lines.append(line)
        if args.json:
            print(json.dumps(line), flush=True)
    if not args.json:
        show_tables(Console(width=None if sys.stdout.isatty() else _WIDTH), summarize(lines))
    return int(any(line["figures"]["lost"] for line in lines if line["settings"]["kind"] == "mode"))


def _measured(console: Console, parts: Sequence[Part], origin_procs: int) -> Iterator[dict[str, Any]]:
    """The lines of all parts, with a bar on a terminal and else a line for each run."""
    with _progress(console, sum(part.steps for part in parts)) as (tell, advance):
        for part in parts:
            for line in run_part(part, origin_procs=origin_procs, tell=tell):
                yield line
                advance()


@contextlib.contextmanager
def _progress(console: Console, steps: int) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    if not console.is_terminal:
        yield lambda text: console.print(text, highlight=False, soft_wrap=True), lambda: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=steps)
        yield lambda text: bar.update(task, description=text), lambda: bar.advance(task)


def _contenders(args: argparse.Namespace) -> list[Contender]:
    """Those that were named; the best mode beside others where no mode was, all modes where nobody was."""
    found = {kind: named(kind, getattr(args, kind)) if getattr(args, kind) else [] for kind in CONTENDERS}
    if args.modes is None:
        found["modes"] = [best_mode()] if args.recipes or args.peers else [*CONTENDERS["modes"]]
    return [contender for kind in CONTENDERS for contender in found[kind]]


def _workloads(names: str) -> list[str]:
    found = list(WORKLOADS) if names == "all" else names.split(",")
    if strange := [name for name in found if name not in WORKLOADS]:
        raise ValueError(f"{strange[0]!r} is none of the workloads: {', '.join(WORKLOADS)}")
    return found


def _missing(contenders: Sequence[Contender], workloads: Sequence[str]) -> Iterator[tuple[str, str]]:
    for contender in contenders:
        why = {contender.missing(WORKLOADS[name]): name for name in workloads}
        yield from ((f"{contender.name} ({name})", text) for text, name in why.items() if text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workload", default="near", metavar="NAMES", help=f"of {', '.join(WORKLOADS)}; or all")
    for kind, siblings in CONTENDERS.items():
        names = ", ".join(contender.name for contender in siblings)
        parser.add_argument(f"--{kind}", metavar="NAMES", help=f"of {names}; or all, or none")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="how often, in turn (default 3)")
    parser.add_argument("--urls", type=int, metavar="N", help="length of the list (default: the workload's)")
    parser.add_argument("--procs", type=int, metavar="N", help="processes (default: the workload's)")
    parser.add_argument("--conc", metavar="M,…", help="in flight a process, one or several (default: the workload's)")
    parser.add_argument("--cold", action="store_true", help="no run to warm up")
    parser.add_argument("--json", action="store_true", help="print a JSON line a run in place of the tables")
    cores = available_cores()
    parser.add_argument("--origin-procs", type=int, default=cores, metavar="N", help=f"that serve (default {cores})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
