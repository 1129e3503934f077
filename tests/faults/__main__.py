"""`python tests/faults [--seed N] [--only NAME,NAME] [--short]`: every fault, many times.

A table grows as it goes; at the end it stands there once more, and one line of JSON. Exit status 1 if any run failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import faults  # noqa: E402 - the path comes first
from faults import runner  # noqa: E402


def main() -> int:
    """Run the cases that are asked for."""
    known = {case.NAME: case for case in faults.cases()}
    parser = argparse.ArgumentParser(prog="python tests/faults", description=faults.__doc__)
    parser.add_argument("--seed", type=int, default=4, help="the base of all seeds; a failed run's own repeats it")
    parser.add_argument("--only", metavar="NAME,NAME", default=",".join(known), help="these cases: %(default)s")
    parser.add_argument("--short", action="store_true", help="few runs of few URLs, as in the test suite")
    parser.add_argument("--runs", type=int, help="so many runs of each case")
    parser.add_argument("--jobs", type=int, default=2, help="so many runs at once")
    args = parser.parse_args()
    names = args.only.split(",")
    if unknown := set(names) - known.keys():
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return runner.main([known[name] for name in names], args.seed, short=args.short, jobs=args.jobs, runs=args.runs)


if __name__ == "__main__":
    sys.exit(main())
