"""`python -m benchmarks.recipes FILE LIST OUT --procs N --conc M [--parse]`: one recipe over one list.

Prints one JSON object: how many pages were good, how many failed, the 50th and the 99th percentile of the time a page.
"""

from __future__ import annotations

import sys

if sys.argv[1].startswith("greenlets"):  # before anything else is imported, as gevent wants it
    import gevent.monkey

    gevent.monkey.patch_all()

import argparse
import functools
import importlib
import json
from pathlib import Path

from benchmarks.recipes.page import fetch
from benchmarks.times import percentiles


def main() -> None:
    """Read the list, run the recipe, count."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes")
    parser.add_argument("file")
    parser.add_argument("urls", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--procs", type=int, required=True)
    parser.add_argument("--conc", type=int, required=True)
    parser.add_argument("--parse", action="store_true")
    args = parser.parse_args()
    recipe = importlib.import_module(f"benchmarks.recipes.{args.file}")
    get = functools.partial(fetch, out=args.out, conc=args.conc, parses=args.parse)
    urls = args.urls.read_text(encoding="ascii").splitlines()
    good, times = 0, []
    for ok, milliseconds in recipe.run(get, urls, args.procs, args.conc):
        good += ok
        times.append(milliseconds)
    p50, p99 = percentiles(times)
    print(json.dumps({"good": good, "failed": len(times) - good, "p50_ms": p50, "p99_ms": p99}))


if __name__ == "__main__":
    main()
