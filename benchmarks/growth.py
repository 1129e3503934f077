"""Does memory grow with the list? `python -m benchmarks.growth [--entries 10000000 --against 1000000]`.

Two crawls, a long list and one that is a part of it, all processes together. The parent is the whole real one: list,
normalising, dedupe, routing by domain, pipes, rows, commits, log lines. What stands for something else: the workers are
stand-ins (`standin.py`) that answer at once, so that ten million entries take minutes, and no bodies are kept, so that
they have room; a real worker's memory over a list is what `benchmarks.memory` measures. Exit status 1 where a further
entry takes more than 16 bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import show, show_json
from benchmarks.job import scratch
from benchmarks.measure import Measurement, measure
from benchmarks.parent import write_list
from benchmarks.standin import stand_in

_MOST_BYTES = 16
_ROW_BYTES = 400
_CHILD = "import sys; from benchmarks.growth import crawl; sys.exit(crawl(sys.argv[1:]))"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with scratch(args.entries * _ROW_BYTES) as folder:
        runs = {count: _run(folder, count, args.procs) for count in (args.against, args.entries)}
    peaks = {count: run.peak_mb for count, run in runs.items()}
    grown = (peaks[args.entries] - peaks[args.against]) * 1e6 / (args.entries - args.against)
    lines = {
        f"{count:,} entries": f"{run.peak_mb:,.1f} MB at most, {run.cpu_s / count * 1e6:,.1f} µs of CPU an entry, "
        f"{run.wall_s:,.0f} s" for count, run in runs.items()
    }  # fmt: skip
    show(f"memory of all processes, {args.procs} stand-ins", {**lines, "a further entry": f"{grown:,.1f} bytes"})
    show_json("growth", vars(args), {"peak_mb": {str(n): round(mb, 1) for n, mb in peaks.items()},
                                     "bytes_per_entry": round(grown, 2)})  # fmt: skip
    return 0 if grown <= _MOST_BYTES else 1


def crawl(arguments: Sequence[str]) -> int:
    """Be the crawl: `crawl run` with these arguments, on stand-ins."""
    from crawler.cli.main import main as command

    with stand_in():
        return command(["run", *arguments])


def _run(folder: Path, count: int, procs: int) -> Measurement:
    """Crawl a list of so many entries; raises RuntimeError where it does not end with as many rows."""
    urls, out = folder / f"{count}.txt", folder / str(count)
    write_list(urls, count)
    settings = ["--procs", str(procs), "--no-bodies", "--log-format", "json"]
    run = measure([sys.executable, "-c", _CHILD, str(urls), "--out", str(out), *settings])
    rows = json.loads(run.stdout.splitlines()[-1])["fetched"] if not run.exit_status else 0
    if rows != count:
        raise RuntimeError(f"crawl ended with status {run.exit_status} and {rows} rows:\n{run.stderr[-2000:]}")
    for path in (urls, *out.iterdir()):
        if path.is_file():
            path.unlink()  # a file in memory is not the crawl's memory, but the next one needs the room
    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description="Memory over a very long list.")
    parser.add_argument("--entries", type=int, default=10_000_000, metavar="N", help="of the long list (10000000)")
    parser.add_argument("--against", type=int, default=1_000_000, metavar="N", help="of the short one (1000000)")
    parser.add_argument("--procs", type=int, default=2, metavar="N", help="stand-ins (default 2)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
