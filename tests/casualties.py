"""Faults of a distributed crawl, with the leases of users: `python tests/casualties.py [--runs 3] [--only NAME,…]`.

Two machines, a Redis and a coordinator as processes of their own; half of the list is recorded, and pages of every host
are in flight, when it happens. Then the pages come, and the seconds count until the coordinator has ended. Every run is
judged: a row for each entry, whole pages, an empty store but for them. Exit status 1 where one was not right. With
`--store s3` the store is a bucket of moto's server, a process too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buckets import BUCKET, running_buckets
from command import until
from conftest import Origin, running_origin
from fleet import Machine, Redis, running_redis
from test_many import HELD, Site


def process(site: Site, machine: Machine, child: Any) -> None:
    """A worker process of a machine is killed."""
    os.kill(max(machine.workers()), signal.SIGKILL)


def machine(site: Site, machine: Machine, child: Any) -> None:
    """A machine is killed."""
    machine.kill()


def leaves(site: Site, machine: Machine, child: Any) -> None:
    """A machine is told to leave."""
    machine.leave()


def silent(site: Site, machine: Machine, child: Any) -> None:
    """A machine is frozen until Redis gives its orders again (30 s), and goes on; counted from when it let go."""
    client = site.redis.client()
    orders, term = machine.orders(client), machine.term(client)
    with machine.frozen():
        until(lambda: not orders & machine.orders(client))
    until(lambda: machine.term(client) > term)


def coordinator(site: Site, machine: Machine, child: Any) -> None:
    """The coordinator is killed, and its command given again."""
    child.kill()
    child.wait()


def redis(site: Site, machine: Machine, child: Any) -> None:
    """Redis is killed and started again with its append-only file."""
    site.redis.kill()
    site.redis.start()


def minute(site: Site, machine: Machine, child: Any) -> None:
    """Redis is away for a minute; counted from when it is back."""
    site.redis.kill()
    time.sleep(60)
    site.redis.start()


def flush(site: Site, machine: Machine, child: Any) -> None:
    """Redis forgets everything."""
    site.redis.client().flushall()


FAULTS: dict[str, Callable[[Site, Machine, Any], None]] = {
    fault.__name__: fault for fault in (process, machine, leaves, silent, coordinator, redis, minute, flush)
}
WAITING = (silent, minute)  # their own wait is not counted


def run(name: str, origin: Origin, folder: Path, buckets: dict[str, str] | None) -> float:
    """One run; the seconds until its end. Raises AssertionError where what is left is not right."""
    (folder / "redis").mkdir()
    with running_redis(folder / "redis") as broker:
        site = _site(folder, broker, origin, buckets)
        entries = site.write()
        with site.machine() as one, site.machine(), site.coordinator() as child:
            site.until_most()
            until(lambda: sum(origin.hits(f"/hold/{site.key}?{n}") for n in range(HELD)) == HELD)
            began = time.monotonic()
            FAULTS[name](site, one, child)
            began = time.monotonic() if FAULTS[name] in WAITING else began
            if name == "coordinator":
                with site.coordinator() as again:
                    site.finish(again)
            else:
                site.finish(child)
            seconds = time.monotonic() - began
        site.judge(entries)
    return seconds


def _site(folder: Path, broker: Redis, origin: Origin, buckets: dict[str, str] | None) -> Site:
    store = str(folder / "store") if buckets is None else f"s3://{BUCKET}/{folder.name}"
    leases = {"CRAWL_TEST_LEASE": "real", "CRAWL_TEST_VISIBILITY_S": "30"}
    return Site(folder, broker, origin, folder.name, store, {**leases, **(buckets or {})})


def main() -> int:
    """Run the faults that are asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="python tests/casualties.py", description="Faults of a distributed crawl.")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="so many runs of each (default 3)")
    parser.add_argument("--only", metavar="NAME,NAME", default=",".join(FAULTS), help="these faults: %(default)s")
    parser.add_argument("--store", choices=("folder", "s3"), default="folder", help="where pages lie (default folder)")
    args = parser.parse_args()
    failed = 0
    print("| fault | runs | right | seconds to the end |\n| --- | --- | --- | --- |", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="casualties-") as scratch,
        running_origin(Path(scratch)) as origin,
        running_buckets() if args.store == "s3" else contextlib.nullcontext() as buckets,
    ):
        for name in args.only.split(","):
            seconds = []
            for number in range(args.runs):
                folder = Path(scratch, f"{name}-{number}")
                folder.mkdir()
                try:
                    seconds.append(run(name, origin, folder, buckets))
                except AssertionError as error:
                    print(f"{name}: {error}", file=sys.stderr)
            failed += args.runs - len(seconds)
            times = ", ".join(f"{value:.1f}" for value in sorted(seconds))
            print(f"| {FAULTS[name].__doc__} | {args.runs} | {len(seconds)} | {times} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
