"""`python tests/inflight.py`: the greatest number of requests in flight to one host that its server saw, by engine.

Each crawl has two workers with 200 places and `--per-host 2`; `tests/test_polite.py` holds every engine to it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from conftest import Origin, running_origin

import crawler

ENGINES = ("curl", "asyncio", "threads", "gevent")
PER_HOST = 2
_PAGES = 80
_HOST = "127.0.0.2"


def pages_and_redirects(target: Origin, other: Origin) -> tuple[list[str], dict[str, Any]]:
    """Pages, and as many more that two other hosts redirect to it."""
    pages = [target.url(f"/slow-head?s=0.02&{n}", _HOST) for n in range(_PAGES)]
    away = [other.url(f"/redirect-to?url={page}%26r", f"127.0.0.{n % 2 * 2 + 1}") for n, page in enumerate(pages)]
    return [*away, *pages], {}


def bodies_that_are_cut(target: Origin, other: Origin) -> tuple[list[str], dict[str, Any]]:
    """Bodies of 3 MB of which a kilobyte is wanted: the server has one in flight until its connection is closed."""
    return [target.url(f"/bytes/3000000?{n}", _HOST) for n in range(_PAGES)], {"max_body": 1000, "robots": False}


def answers_that_are_not_waited_for(target: Origin, other: Origin) -> tuple[list[str], dict[str, Any]]:
    """Pages that take longer than they may."""
    urls = [target.url(f"/slow-head?s=9&{n}", _HOST) for n in range(_PAGES // 4)]
    return urls, {"max_time": 0.1, "retries": 0, "robots": False}


CASES = (pages_and_redirects, bodies_that_are_cut, answers_that_are_not_waited_for)


def run(case: Any, engine: str, folder: Path) -> tuple[list[str], int]:
    """How each entry ended, and the greatest number in flight."""
    settings = {"procs": 2, "conc": 200, "per_host": PER_HOST, "engine": engine, "allow_private": True}
    with running_origin(folder) as target, running_origin(folder) as other:
        urls, more = case(target, other)
        rows = [page.row for page in crawler.fetch(urls, **settings, **more)]
        ends = [str(row.error_class or row.truncated or row.status) for row in rows]
        return ends, int(target.stats()["most_in_flight"])


def main() -> int:
    """Print the table; exit status 1 where there were more than there may be."""
    worst = 0
    print("| with --per-host 2 --procs 2 --conc 200 |", *(f"{engine} |" for engine in ENGINES))
    print("| --- |", *("--- |" for _ in ENGINES))
    with tempfile.TemporaryDirectory(prefix="inflight-") as folder:
        for case in CASES:
            found = [run(case, engine, Path(folder)) for engine in ENGINES]
            worst = max(worst, *(most for _, most in found))
            name = f"{len(found[0][0])} {case.__name__.replace('_', ' ')}"
            print(f"| {name} |", *(f"{most} |" for _, most in found), flush=True)
    return int(worst > PER_HOST)


if __name__ == "__main__":
    sys.exit(main())
