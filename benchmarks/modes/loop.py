"""`python -m benchmarks.modes.loop LIST FILE --engine E --procs N --conc M`: the library, pages parsed by its consumer.

What stands in FILE afterwards is one JSON line a page. Prints how many pages were good and how many were not.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import crawler
from benchmarks.parsing import parse


def main() -> None:
    """Fetch, parse, count."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.modes.loop")
    parser.add_argument("urls", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--procs", type=int, required=True)
    parser.add_argument("--conc", type=int, required=True)
    parser.add_argument("--chunk-size", type=int, required=True)
    args = parser.parse_args()
    settings = {"engine": args.engine, "procs": args.procs, "conc": args.conc, "chunk_size": args.chunk_size}
    good = failed = 0
    with args.urls.open(encoding="ascii") as lines, args.out.open("w", encoding="utf-8") as file:
        urls = (line.rstrip() for line in lines)
        for page in crawler.fetch(urls, **settings, per_host=0, robots=False, allow_private=True):
            if page.ok:
                good += 1
                file.write(json.dumps({"url": page.url, **parse(page.body)}) + "\n")
            else:
                failed += 1
    print(good, failed)


if __name__ == "__main__":
    main()
