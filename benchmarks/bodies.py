"""Do large bodies stay within a worker's budget? `python -m benchmarks.bodies [--bodies 1000] [--size 10000000]`.

Crawls that many bodies of the own origin, all at once and of bytes that no compression makes smaller, and reports the
memory of all processes together, that of the largest worker, and what its spool held. Exit status 1 where a body was
not fetched, or its digest is not that of what was served.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import itertools
import os
import random
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import crawler
from benchmarks.figures import show, show_json
from benchmarks.job import add_flags, flags_of, run_job, scratch
from benchmarks.origin import running_origin
from benchmarks.site import served_files

_FILES = 4  # different bodies: the origin holds each of them once, however many ask for it
_LOOK_S = 0.05
_FOUND = "SELECT url, digest FROM pages WHERE outcome = 'fetched' AND truncated IS NULL"


class _Workers(threading.Thread):
    """Looks at the workers of this process's children until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.spool_bytes = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Note the largest of what is seen: the kernel keeps the peak of each process itself (VmHWM, proc(5))."""
        while not self._over.wait(_LOOK_S):
            for pid in _workers():
                with contextlib.suppress(OSError):  # it has just ended
                    self.peak_bytes = max(self.peak_bytes, _peak_bytes(pid))
                    self.spool_bytes = max(self.spool_bytes, _spool_bytes(pid))

    def stop(self) -> None:
        """Return when it has ended."""
        self._over.set()
        self.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with scratch(3 * args.bodies * args.size) as folder:
        (folder / "bodies").mkdir()
        for number in range(_FILES):
            (folder / "bodies" / f"{number}.bin").write_bytes(random.Random(number).randbytes(args.size))
        with running_origin(root=folder / "bodies") as bases:
            digests = write_list(folder / "urls.txt", bases, folder / "bodies", args.bodies)
            workers = _Workers()
            workers.start()
            try:
                job = run_job(folder / "urls.txt", folder / "out", [*flags_of(args), "--max-time", "3600"])
            finally:
                workers.stop()
        with crawler.open(folder / "out") as results:
            found: dict[object, object] = dict(results.query(_FOUND))
    wrong = sum(found.get(url) != digest for url, digest in digests.items())
    figures = {
        "peak_mb": round(job.measurement.peak_mb, 1),
        "worker_peak_mb": round(workers.peak_bytes / 1e6, 1),
        "spool_peak_mb": round(workers.spool_bytes / 1e6, 1),
        "wall_s": round(job.measurement.wall_s, 1),
        "wrong": wrong,
    }
    show(
        f"{args.bodies:,} bodies of {args.size / 1e6:,.1f} MB, {' '.join(flags_of(args))}",
        {
            "peak memory of all": f"{figures['peak_mb']:,} MB",
            "of the largest worker": f"{figures['worker_peak_mb']:,} MB",
            "most in its spool": f"{figures['spool_peak_mb']:,} MB",
            "wall time": f"{figures['wall_s']:,} s",
            "outcomes": f"{job.sum_of_outcomes}, {wrong} digests missing or wrong",
        },
    )
    show_json("bodies", vars(args), {**figures, **job.outcomes})
    return 1 if wrong else 0


def write_list(urls: Path, bases: Sequence[str], root: Path, count: int) -> dict[str, str]:
    """Write `count` URLs, the origin's addresses and files in turn; the digest that each must have."""
    digests = {
        path: "sha1:" + base64.b32encode(hashlib.sha1(file.read_bytes(), usedforsecurity=False).digest()).decode()
        for path, file in served_files(root).items()
    }
    turns = zip(range(count), itertools.cycle(bases), itertools.cycle(digests.items()), strict=False)
    wanted = {f"{base}/file/{path}?{number}": digest for number, base, (path, digest) in turns}
    urls.write_text("".join(f"{url}\n" for url in wanted), encoding="ascii")
    return wanted


def _workers() -> list[str]:
    """The workers among the descendants of this process."""
    pids = [str(os.getpid())]
    for pid in pids:  # grows while it is walked
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids += children.read_text(encoding="ascii").split()
    return [pid for pid in pids[1:] if b"worker\0" in _command(pid)]


def _command(pid: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _peak_bytes(pid: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _spool_bytes(pid: str) -> int:
    """What is on the disk of the files that have no name; the memory that is shared with the parent has a name."""
    files = (os.stat(file) for file in Path(f"/proc/{pid}/fd").iterdir() if "/memfd:" not in os.readlink(file))  # noqa: PTH115, PTH116
    return sum(file.st_blocks * 512 for file in files if not file.st_nlink and file.st_blocks)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bodies", description="Memory under large bodies.")
    parser.add_argument("--bodies", type=int, default=1000, metavar="N", help="how many (default 1000)")
    parser.add_argument("--size", type=int, default=10_000_000, metavar="BYTES", help="of each (default 10000000)")
    add_flags(parser, procs=1, conc=1000)
    return parser


if __name__ == "__main__":
    sys.exit(main())
