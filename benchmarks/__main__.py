"""Threads, processes and coroutines side by side, and beside what others do. Without a choice all is measured."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.contender import Contender
from benchmarks.contenders import CONTENDERS, best_mode
from benchmarks.outlook import outlooks
from benchmarks.plan import SECTIONS, Choice, chosen, named, quick, two_million, whole
from benchmarks.report import RESULTS, show, write_page
from benchmarks.runner import Part, run_part
from benchmarks.summary import Line, summarize
from benchmarks.workloads import WORKLOADS
from crawler.config import available_cores


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show, and return the exit status: 1 where the product lost a record."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        parts = [part for part in _parts(args) if part.cases and args.section in (None, part.section)]
        absent = list(_missing(_contenders(args), _workloads(args)))
    except ValueError as error:
        parser.error(str(error))
    console = Console(stderr=True)
    with _recorded(args) as record:
        for line in absent:
            console.print(f"not measured: {line['name']}: {line['why']}", style="yellow", highlight=False)
            record(line)
        try:
            lines = list(_measured(console, parts, args.origin_procs, record))
            if args.full is not None:
                found = outlooks(summarize(lines))
                lines += _measured(console, two_million(found, args.full), args.origin_procs, record)
        except KeyboardInterrupt:
            return 130
    if not args.json:
        show(lines)
    if args.results:
        print(write_page(args.results), file=sys.stderr)
    return int(any(line["figures"]["lost"] for line in lines if line["settings"]["kind"] == "mode"))


@contextlib.contextmanager
def _recorded(args: argparse.Namespace) -> Iterator[Callable[[Line], None]]:
    """What takes each line as it comes: the file of results, and standard output with `--json`."""
    with contextlib.ExitStack() as stack:
        file = None
        if args.results:
            args.results.mkdir(parents=True, exist_ok=True)
            mode = "a" if args.add else "w"
            file = stack.enter_context((args.results / RESULTS).open(mode, encoding="utf-8"))

        def record(line: Line) -> None:
            if file is not None:
                print(json.dumps(line), file=file, flush=True)
            if args.json:
                print(json.dumps(line), flush=True)

        yield record


def _measured(
    console: Console, parts: Iterable[Part], origin_procs: int, record: Callable[[Line], None]
) -> Iterator[dict[str, Any]]:
    """The lines of all parts, with a bar on a terminal and else a line for each run."""
    together = [part for part in parts if part.cases]
    with _progress(console, sum(part.steps for part in together)) as (tell, advance):
        for part in together:
            for line in run_part(part, origin_procs=origin_procs, tell=tell):
                record(line)
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


def _parts(args: argparse.Namespace) -> Iterable[Part]:
    if args.quick:
        return quick()
    if not _chose(args):
        return whole()
    concs = [int(conc) for conc in args.conc.split(",")] if args.conc else []
    contenders, workloads = _contenders(args), _workloads(args)
    return chosen(Choice(workloads, contenders, args.runs, args.urls, args.procs, concs, not args.cold))


def _chose(args: argparse.Namespace) -> bool:
    return any((args.workload, args.urls, args.procs, args.conc, *(getattr(args, kind) for kind in CONTENDERS)))


def _contenders(args: argparse.Namespace) -> list[Contender]:
    """Those that were named; the best mode beside others where no mode was, all modes where nobody was."""
    if not _chose(args):
        return [contender for siblings in CONTENDERS.values() for contender in siblings]
    found = {kind: named(kind, getattr(args, kind)) if getattr(args, kind) else [] for kind in CONTENDERS}
    if args.modes is None:
        found["modes"] = [best_mode()] if args.recipes or args.peers else [*CONTENDERS["modes"]]
    return [contender for kind in CONTENDERS for contender in found[kind]]


def _workloads(args: argparse.Namespace) -> list[str]:
    names = args.workload or ("near" if _chose(args) else "all")
    found = list(WORKLOADS) if names == "all" else names.split(",")
    if strange := [name for name in found if name not in WORKLOADS]:
        raise ValueError(f"{strange[0]!r} is none of the workloads: {', '.join(WORKLOADS)}")
    return found


def _missing(contenders: Sequence[Contender], workloads: Sequence[str]) -> Iterator[Line]:
    """A line for each that cannot be measured here, on any of the workloads."""
    for contender in contenders:
        why = {contender.missing(WORKLOADS[name]) for name in workloads}
        if None not in why:
            reasons = ", ".join(sorted(text for text in why if text))
            yield {"benchmark": "missing", "name": contender.name, "why": reasons}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the whole picture in about two minutes, roughly")
    parser.add_argument(
        "--full", type=float, nargs="?", const=0.5, metavar="HOURS", help="then 2,000,000 URLs in what takes less (0.5)"
    )
    parser.add_argument("--section", choices=SECTIONS, help="a part of the whole picture")
    parser.add_argument("--workload", metavar="NAMES", help=f"of {', '.join(WORKLOADS)}; or all (default near)")
    for kind, siblings in CONTENDERS.items():
        names = ", ".join(contender.name for contender in siblings)
        parser.add_argument(f"--{kind}", metavar="NAMES", help=f"of {names}; or all, or none")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="how often, in turn (default 3)")
    parser.add_argument("--urls", type=int, metavar="N", help="length of the list (default: the workload's)")
    parser.add_argument("--procs", type=int, metavar="N", help="processes (default: the workload's)")
    parser.add_argument("--conc", metavar="M,…", help="in flight a process, one or several (default: the workload's)")
    parser.add_argument("--cold", action="store_true", help="no run to warm up")
    parser.add_argument("--results", type=Path, metavar="DIR", help="write JSON lines and a page there")
    parser.add_argument("--add", action="store_true", help="to the results that are there")
    parser.add_argument("--json", action="store_true", help="print a JSON line a run in place of the tables")
    cores = available_cores()
    parser.add_argument("--origin-procs", type=int, default=cores, metavar="N", help=f"that serve (default {cores})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
