"""What does the DNS stage cost? `python -m benchmarks.names [--names 10000]`.

Looks that many names up, A and AAAA, at a DNS server of its own on loopback, by the resolver of each kind of worker in
a process of its own: names a second, CPU a name without the server's, and how many queries it took. Exit status 1 where
a name was not found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import uvloop

from benchmarks.figures import show, show_json
from benchmarks.measure import Measurement, measure
from benchmarks.nameserver import running_name_server
from crawler.answers import Answer
from crawler.exchange import Addresses
from crawler.nameservers import NameServers
from crawler.resolver import BlockingResolver, Resolver

_KINDS = ("loop", "threads")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    if args.server is not None:
        return _look_up(args)
    table: dict[str, str] = {}
    figures: dict[str, dict[str, float]] = {}
    for kind in _KINDS:
        with running_name_server(delay_s=args.delay) as served:
            flags = ["--names", str(args.names), "--at-once", str(args.at_once), "--server", served.address]
            measurement = measure([sys.executable, "-m", "benchmarks.names", *flags, "--kind", kind])
        figures[kind] = _figures(measurement, args.names) | {"queries": served.queries, "distinct": served.distinct}
        table |= {f"{name}, {kind}": f"{value:,.1f}" for name, value in figures[kind].items()}
    show(f"{args.names:,} names, {args.delay:g} s each", table)
    show_json("names", vars(args), figures)
    return 0 if all(figure["found"] == args.names for figure in figures.values()) else 1


def _figures(measurement: Measurement, names: int) -> dict[str, float]:
    if measurement.exit_status:
        raise RuntimeError(f"It ended with exit status {measurement.exit_status}:\n{measurement.stderr[-2000:]}")
    said = json.loads(measurement.stdout)
    return {
        "found": said["found"],
        "names_per_s": round(names / said["wall_s"], 1),
        "cpu_us_per_name": round(said["cpu_s"] / names * 1e6, 1),
        "peak_mb": round(measurement.peak_mb, 1),
    }


def _look_up(args: argparse.Namespace) -> int:
    """Being the measured process: look all names up, and print what it took from the first to the last."""
    names = [f"host{number}.example.test" for number in range(args.names)]
    began, used = time.monotonic(), time.process_time()
    answers = _by_loop(args, names) if args.kind == "loop" else _by_threads(args, names)
    said = {
        "found": sum(isinstance(answer, Addresses) for answer in answers),
        "wall_s": time.monotonic() - began,
        "cpu_s": time.process_time() - used,
    }
    print(json.dumps(said))
    return 0


def _by_loop(args: argparse.Namespace, names: Sequence[str]) -> list[Answer]:
    async def look_up() -> list[Answer]:
        resolver, places = Resolver(NameServers(args.server)), asyncio.Semaphore(args.at_once)

        async def one(name: str) -> Answer:
            async with places:
                return await resolver.resolve(name)

        answers = await asyncio.gather(*map(one, names))
        await resolver.close()
        return answers

    return uvloop.run(look_up())


def _by_threads(args: argparse.Namespace, names: Sequence[str]) -> list[Answer]:
    resolver = BlockingResolver(Resolver(NameServers(args.server)))
    with ThreadPoolExecutor(args.at_once) as pool:
        answers = list(pool.map(lambda name: resolver.ask(name).result(), names))
    resolver.close()
    return answers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.names", description="What the DNS stage costs.")
    parser.add_argument("--names", type=int, default=10_000, metavar="N", help="how many to look up (default 10000)")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS", help="of each answer (default 0)")
    parser.add_argument("--at-once", type=int, default=256, metavar="N", help="who ask at once (default 256)")
    parser.add_argument("--kind", choices=_KINDS, default="loop", help=argparse.SUPPRESS)
    parser.add_argument("--server", help=argparse.SUPPRESS)  # given to the process that is measured
    return parser


if __name__ == "__main__":
    sys.exit(main())
