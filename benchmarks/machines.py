"""What do many machines cost? `python -m benchmarks.machines [--urls 50000] [--machines 2]`.

The same list of the own origin, once by `crawl run` with as many processes as all machines have together, once by
machines (`crawl worker`, each a process group of its own on this machine) with a coordinator, a redis-server and a
store in a folder. CPU is that of all processes of ours, from the moment when the machines wait for chunks; Redis's is
told apart. Exit status 1 where a page was not fetched.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import show, show_json
from benchmarks.job import Job, run_job, scratch
from benchmarks.measure import tree_cpu_s
from benchmarks.memory import write_list
from benchmarks.origin import running_origin
from benchmarks.site import PAGE_BYTES

_CHUNK = 1000


class Watched:
    """A Redis and what it says of itself."""

    def __init__(self, port: int) -> None:
        import redis

        self._client: Any = redis.Redis(port=port)
        self._over = threading.Event()
        self.memory_bytes: list[int] = []

    def alive(self) -> bool:
        """Whether it answers."""
        import redis

        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False

    def commands(self) -> int:
        """How many commands it did so far."""
        return int(self._client.info("stats")["total_commands_processed"])

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """Note its memory ten times a second, while the block lasts; each sample is a command."""
        thread = threading.Thread(target=self._sample)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.1):
            self.memory_bytes.append(int(self._client.info("memory")["used_memory"]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    flags = ["--conc", str(args.conc)]
    with scratch(2 * args.urls * PAGE_BYTES) as folder, running_origin(procs=1) as bases:
        urls = folder / "urls.txt"
        write_list(urls, bases, args.urls)
        alone = run_job(urls, folder / "alone", ["--procs", str(args.procs * args.machines), *flags])
        many, figures = _run_many(urls, folder, args)
    chunks = -(-args.urls // _CHUNK)
    ratio = figures["cpu_us_per_page"] / alone.figures["cpu_us_per_page"]
    show(
        f"{args.urls:,} URLs, {args.machines} machines of {args.procs} processes, {args.conc} in flight each",
        {
            "one machine": _line(alone.figures),
            "many": _line(figures),
            "CPU against one machine": f"{ratio:.2f} times",
            "of it the coordinator": f"{many.figures['cpu_us_per_page']:,.0f} µs a page",
            "redis-server": f"{figures['redis_cpu_us_per_page']:,.1f} µs a page",
            "Redis commands": f"{figures['commands'] / chunks:,.1f} a chunk of {_CHUNK}",
            "Redis memory": f"{figures['redis_mb_most']:.2f} MB at most, {figures['redis_mb_begin']:.2f} at first",
            "outcomes": many.sum_of_outcomes,
        },
    )
    show_json("machines", vars(args), {"alone": alone.figures, "many": figures, "ratio": round(ratio, 3)})
    return 0 if alone.all_fetched and many.all_fetched else 1


def _run_many(urls: Path, folder: Path, args: argparse.Namespace) -> tuple[Job, dict[str, float]]:
    with running_broker(folder) as (url, redis, server), running_machines(url, folder, args) as machines:
        before = [tree_cpu_s(pid) for pid in machines]
        commands, redis_cpu = redis.commands(), tree_cpu_s(server)
        with redis.sampling():
            job = run_job(urls, folder / "many", ["--broker", url, "--store", str(folder / "store")])
        cpu_s = sum(tree_cpu_s(pid) for pid in machines) - sum(before)
        figures = {
            **job.figures,
            "cpu_us_per_page": round((job.measurement.cpu_s + cpu_s) / args.urls * 1e6, 1),
            "redis_cpu_us_per_page": round((tree_cpu_s(server) - redis_cpu) / args.urls * 1e6, 2),
            "commands": float(redis.commands() - commands - len(redis.memory_bytes)),
            "redis_mb_most": max(redis.memory_bytes, default=0) / 1e6,
            "redis_mb_begin": (redis.memory_bytes or [0])[0] / 1e6,
        }
    return job, figures


@contextlib.contextmanager
def running_broker(folder: Path) -> Iterator[tuple[str, Watched, int]]:
    """A redis-server on a port that was free: its URL, what watches it, and its pid."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with _child(command) as server:
        redis = Watched(port)
        while not redis.alive():
            assert server.poll() is None, "redis-server ended; is it installed?"
        yield f"redis://127.0.0.1:{port}/0", redis, server.pid


@contextlib.contextmanager
def running_machines(
    url: str, folder: Path, args: argparse.Namespace, program: Sequence[str] = ("-m", "crawler")
) -> Iterator[list[int]]:
    """So many machines as `args` says that wait for chunks, each what `program` is; their pids."""
    flags = ["--broker", url, "--procs", str(args.procs), "--conc", str(args.conc), "--spool", str(folder)]
    with contextlib.ExitStack() as stack:
        children = []
        for _ in range(args.machines):
            child = stack.enter_context(_child([sys.executable, *program, "worker", *flags], said=True))
            assert child.stderr is not None
            assert "waits for chunks" in child.stderr.readline()
            children.append(child.pid)
        yield children


@contextlib.contextmanager
def _child(command: Sequence[str], *, said: bool = False) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if said else subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.terminate()
        child.communicate()


def _line(figures: dict[str, float]) -> str:
    return f"{figures['cpu_us_per_page']:,.0f} µs of CPU a page, {figures['wall_s']:.1f} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machines", description="The cost of many machines.")
    parser.add_argument("--urls", type=int, default=50_000, metavar="N", help="length of the list (default 50000)")
    parser.add_argument("--machines", type=int, default=2, metavar="N", help="machines (default 2)")
    parser.add_argument("--procs", type=int, default=1, metavar="N", help="processes of each (default 1)")
    parser.add_argument("--conc", type=int, default=128, metavar="M", help="in flight a process (default 128)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
