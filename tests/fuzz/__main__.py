"""`python tests/fuzz [--seconds N] [--seed N] [--only NAME,NAME]`: every parser of ours, for so long each.

It prints executions, executions a second, the slowest one, and each input that broke a law; exit status 1 if one did.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:1] = [str(_TESTS), str(_TESTS.parent)]

import fuzz  # noqa: E402 - the path comes first
from fuzz.targets import TARGETS  # noqa: E402

_LINE = "{:<14} {:>11} {:>11} {:>12} {:>7}"


def main() -> int:
    """Run the targets that are asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=fuzz.__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="so long each: %(default)s")
    parser.add_argument("--seed", type=int, default=5, help="the same seed gives the same inputs: %(default)s")
    parser.add_argument("--only", metavar="NAME,NAME", help="these targets")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else [target.name for target in TARGETS]
    print(_LINE.format("parser", "executions", "a second", "slowest (ms)", "broken"), flush=True)
    failed = False
    for target in (target for target in TARGETS if target.name in names):
        found = fuzz.fuzz(target, args.seconds, args.seed)
        rate, slowest = found.executions / found.seconds, found.slowest_s * 1000
        print(
            _LINE.format(found.name, found.executions, f"{rate:.0f}", f"{slowest:.1f}", len(found.broken)), flush=True
        )
        for data, problem in found.broken[:5]:
            print(f"  {data[:300]!r}: {problem}", flush=True)
        failed = failed or bool(found.broken)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
