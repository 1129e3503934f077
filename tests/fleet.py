"""Real parts of a distributed crawl for tests: a Redis, machines and coordinators, each a process group of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import redis as client
from command import members, until

QUICK = Path(__file__).with_name("quick")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the processes are started with: leases of seconds instead of many."""
    return {**os.environ, "PYTHONPATH": str(QUICK), **(extra or {})}


class Redis:
    """A redis-server on a port that was free; it can be killed and started again with what it has written."""

    def __init__(self, folder: Path, options: Sequence[str] = (), *, tls: bool = False) -> None:
        self.port = _free_port()
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = [f"--{'tls-' if tls else ''}port", str(self.port), *options]
        self.start()

    def start(self) -> None:
        """Start it; it answers when this returns."""
        fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(self._folder)]
        self.process = subprocess.Popen(
            ["redis-server", *fixed, *self._options],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        until(self._listens)

    def client(self) -> client.Redis:
        """A client of our own."""
        return client.Redis(port=self.port)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def _listens(self) -> bool:
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def running_redis(folder: Path, options: Sequence[str] = (), *, tls: bool = False) -> Iterator[Redis]:
    """A Redis that writes to `folder`."""
    redis = Redis(folder, options, tls=tls)
    try:
        yield redis
    finally:
        redis.kill()


class Machine:
    """`crawl worker` in a session of its own; `log` is what it said."""

    def __init__(self, url: str, folder: Path, *flags: str, extra: Mapping[str, str] | None = None) -> None:
        self._log = folder / f"machine-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "crawler", "worker", "--broker", url, "--procs", "2", "--conc", "8", *flags],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment(extra),
                cwd=folder,
            )

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def ready(self) -> None:
        """Wait until it waits for chunks."""
        until(lambda: "waits for chunks" in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    def workers(self) -> set[int]:
        """Its worker processes."""
        return members(self.process.pid) - {self.process.pid}

    def talks_to(self, address: str) -> bool:
        """Whether a process of it has a connection to that address just now (proc_pid_net(5))."""
        remote = socket.inet_aton(address)[::-1].hex().upper()
        fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        sockets = {f"socket:[{line[9]}]" for line in fields if line[2].startswith(remote)}
        for pid in members(self.process.pid):
            with contextlib.suppress(OSError):
                if sockets & {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}:
                    return True
        return False

    @property
    def id(self) -> str:
        """Its name at the broker."""
        return self.log.partition("Machine ")[2].partition(" ")[0]

    @property
    def queue(self) -> str:
        """The queue of its orders."""
        return f"crawler.{self.id}"

    def term(self, redis: client.Redis) -> int:
        """Its term, as it said last: a new one begins when all of the last is laid down or handed back."""
        beat: bytes | None = redis.hget("crawler:beats", self.id)  # type: ignore[assignment]  # of a client that waits
        return int(json.loads(beat)["term"]) if beat is not None else 0

    def orders(self, redis: client.Redis) -> set[bytes]:
        """The deliveries that it has not acknowledged; one that comes again is another."""
        unacked: dict[bytes, bytes] = redis.hgetall("unacked")  # type: ignore[assignment]  # of a client that waits
        return {tag for tag, order in unacked.items() if json.loads(order)[2] == self.queue}

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """For this block it is alive, and does and says nothing."""
        pids = members(self.process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """End all of it as a power cut would."""
        for pid in members(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def leave(self) -> int:
        """Ask it to leave; its exit status."""
        self.process.terminate()
        return self.process.wait()


@contextlib.contextmanager
def running_machine(url: str, folder: Path, *flags: str, extra: Mapping[str, str] | None = None) -> Iterator[Machine]:
    """A machine that is ready."""
    machine = Machine(url, folder, *flags, extra=extra)
    try:
        machine.ready()
        yield machine
    finally:
        machine.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
