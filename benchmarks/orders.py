"""Does Redis's memory grow with the list? `python -m benchmarks.orders [--entries 10000000 --machines 2]`.

A very long list through a broker: the coordinator is the real one, and so are the machines (`crawl worker`), a
redis-server and the store, a folder. What stands for something else: the machines' worker processes are stand-ins
(`standin.py`) that answer at once, and no bodies are kept. Redis's memory is sampled ten times a second over the whole
run, the coordinator's as often; both are shown by quarters of the time. Exit status 1 where Redis takes a megabyte more
in the last quarter than in the first, or the coordinator more than 16 bytes for each further entry.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import show, show_json
from benchmarks.job import scratch
from benchmarks.machines import Watched, running_broker, running_machines
from benchmarks.measure import Measurement, measure
from benchmarks.parent import write_list
from benchmarks.standin import stand_in

_MOST_BYTES = 16
_MOST_MB = 1.0
_ROW_BYTES = 400
_CHILD = "import sys; from benchmarks.orders import machine; sys.exit(machine(sys.argv[1:]))"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with scratch(args.entries * _ROW_BYTES) as folder:
        write_list(folder / "urls.txt", args.entries)
        with (
            running_broker(folder) as (url, redis, _),
            running_machines(url, folder, args, ("-c", _CHILD)),
        ):
            run = _run(folder, url, redis, args)
    memory = [quarter[-1] for quarter in quarters([sample.memory_mb for sample in run.samples if sample.memory_mb])]
    held = [max(quarter) / 1e6 for quarter in quarters(redis.memory_bytes)]
    grown = (memory[-1] - memory[0]) * 1e6 / (args.entries * 3 / 4)
    show(
        f"{args.entries:,} entries, {args.chunk_size:,} a chunk, {args.machines} machines of {args.procs} stand-ins",
        {
            "Redis, most in each quarter": " ".join(f"{mb:.2f}" for mb in held) + " MB",
            "coordinator after each": " ".join(f"{mb:,.0f}" for mb in memory) + " MB",
            "of it a further entry": f"{grown:,.1f} bytes",
            "the whole": f"{run.wall_s:,.0f} s, {args.entries / run.wall_s:,.0f} entries a second",
            "CPU of the coordinator": f"{run.cpu_s / args.entries * 1e6:,.1f} µs an entry",
        },
    )
    figures = {"redis_mb": held, "samples": len(redis.memory_bytes), "coordinator_mb": memory, "bytes": round(grown, 2)}
    show_json("orders", vars(args), {**figures, "wall_s": round(run.wall_s, 1), "cpu_s": round(run.cpu_s, 1)})
    return 0 if grown <= _MOST_BYTES and held[-1] - held[0] <= _MOST_MB else 1


def machine(arguments: Sequence[str]) -> int:
    """Be a machine: `crawl worker` with these arguments, on stand-ins."""
    from crawler.cli.main import main as command

    with stand_in():
        return command(arguments)


def quarters(samples: Sequence[float]) -> list[Sequence[float]]:
    """The samples in four parts of the same time; at least four samples."""
    cuts = [len(samples) * part // 4 for part in range(5)]
    return [samples[begin:end] for begin, end in itertools.pairwise(cuts)]


def _run(folder: Path, url: str, redis: Watched, args: argparse.Namespace) -> Measurement:
    """The coordinator, to its end; raises RuntimeError where it does not end with a row for each entry."""
    where = ["--broker", url, "--store", str(folder / "store"), "--out", str(folder / "out")]
    settings = ["--chunk-size", str(args.chunk_size), "--no-bodies", "--log-format", "json"]
    with redis.sampling():
        run = measure([sys.executable, "-m", "crawler", "run", str(folder / "urls.txt"), *where, *settings])
    rows = json.loads(run.stdout.splitlines()[-1])["fetched"] if not run.exit_status else 0
    if rows != args.entries:
        raise RuntimeError(f"crawl ended with status {run.exit_status} and {rows} rows:\n{run.stderr[-2000:]}")
    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orders", description="Redis over a very long list.")
    parser.add_argument("--entries", type=int, default=10_000_000, metavar="N", help="of the list (default 10000000)")
    parser.add_argument("--machines", type=int, default=2, metavar="N", help="machines (default 2)")
    parser.add_argument("--procs", type=int, default=1, metavar="N", help="stand-ins of each (default 1)")
    parser.add_argument("--conc", type=int, default=256, metavar="M", help="in flight a process (default 256)")
    parser.add_argument("--chunk-size", type=int, default=1000, metavar="N", help="entries of a chunk (default 1000)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
