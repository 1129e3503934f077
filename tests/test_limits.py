"""This machine's limits: descriptors, ports, memory. Nothing is lost, and no site is blamed."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import resource
import shutil
import socket
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from command import rows, write_list
from conftest import ADDRESSES, Origin
from test_engines import ask, make_bench

import crawler
from crawler.body import Body, Verdict
from crawler.exchange import Failure, Reply
from crawler.shortage import MEMORY, plain, shortage
from crawler.throttle import Throttle

HERE = Path(__file__).parent
HOSTS = ADDRESSES
RUN = (sys.executable, "-m", "crawler", "run")
FLAGS = ("--allow-private", "--procs", "1", "--per-host", "0", "--quiet")


def limited(flags: str, *command: str | Path) -> list[str]:
    """A command under `ulimit FLAGS`."""
    return ["sh", "-c", f'ulimit {flags} && exec "$@"', "sh", *map(str, command)]


def said(command: list[str]) -> str:
    """What a Python script prints that finds the tests' helpers."""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


# --- The throttle, on a clock that is passed in.


def test_what_was_in_flight_is_halved_once_an_event() -> None:
    """A limit fails many at once: all that had begun by then are one event, what begins later is the next."""
    throttle = Throttle(100)
    for _ in range(40):
        throttle.failed("memory", in_flight=40, began=5.0, now=6.0)
    assert (20, "memory") == (throttle.places, throttle.shortage)
    throttle.failed("ports", in_flight=20, began=6.5, now=7.0)

    assert (10, "ports") == (throttle.places, throttle.shortage)


def test_one_place_always_stays() -> None:
    """However often a limit is met, one exchange at a time is tried."""
    throttle = Throttle(4)
    for now in range(1, 10):
        throttle.failed("ports", in_flight=throttle.places, began=now - 0.5, now=now)

    assert 1 == throttle.places


def test_places_come_back_one_a_round() -> None:
    """As many successes as there are places bring one more, up to where it was; then nothing is short any more."""
    throttle = Throttle(4)
    throttle.failed("ports", in_flight=4, began=0.0, now=1.0)
    seen = []
    for _ in range(6):
        seen.append(throttle.places)
        throttle.succeeded()

    assert ([2, 2, 3, 3, 3, 4], 4, None) == (seen, throttle.places, throttle.shortage)


def test_the_limit_that_is_heeded_is_said_all_the_time() -> None:
    """Where descriptors are too few for all, that stays the reason when nothing else is."""
    throttle = Throttle(1, "ulimit -n of 64")
    assert "ulimit -n of 64" == throttle.shortage
    throttle.failed("ports", in_flight=1, began=0.0, now=1.0)
    throttle.succeeded()

    assert 1 == throttle.places


# --- Descriptors.


@pytest.mark.parametrize("engine", ["curl", "asyncio", "threads", "gevent"])
def test_few_descriptors(engine: str, tmp_path: Path, origin: Origin) -> None:
    """With 64 descriptors in all and 128 wanted in flight every page is fetched, from many hosts, at the first try."""
    urls = [origin.url(f"/slow-head?s=0.02&n={n}-{engine}", HOSTS[n % len(HOSTS)]) for n in range(400)]
    write_list(tmp_path, *urls)
    command = limited("-n 64", *RUN, "urls.txt", "--out", "out", "--engine", engine, "--conc", "128", *FLAGS)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert [("fetched", None, 200, 400)] == rows(tmp_path / "out", "outcome, error_class, status, count(*)")
    assert [] == rows(tmp_path / "out", "url, attempts", "attempts > 1")


_STATUS = """
import sys
from crawler.config import CrawlConfig
from crawler.executors.base import Settled
from crawler.executors.processes import ProcessExecutor
from crawler.records import Chunk
from crawler.wire import Settings
from scripted import state

config = CrawlConfig(conc=128, allow_private=True, engine=sys.argv[2])
executor = ProcessExecutor(1, Settings(config, 0, 0, "row"))
executor.send(0, Chunk(1, (state(sys.argv[1]),)))
while not any(isinstance(event, Settled) for event in executor.events(30)):
    pass
print(executor.statuses()[0].conc < 128, executor.statuses()[0].shortage)
executor.close()
"""


@pytest.mark.parametrize(("engine", "least"), [("curl", 20), ("asyncio", 20), ("threads", 10)])
def test_a_worker_takes_what_its_descriptors_allow(engine: str, least: int, origin: Origin) -> None:
    """Where these are fewer than --conc asks for, its status says so, and names the limit."""
    command = (sys.executable, "-c", _STATUS, origin.url("/page/1"), engine)
    fewer, _, sentence = said(limited("-n 64", *command)).partition(" ")
    words = sentence.split()

    assert ("True", "ulimit -n of 64 allows N of --conc 128 at once") == (fewer, sentence.replace(words[5], "N"))
    assert least <= int(words[5]) < 60


def test_a_worker_raises_its_own_limit(origin: Origin) -> None:
    """The soft limit is only a default: a worker raises it as far as it may, and is short of nothing then."""
    command = (sys.executable, "-c", _STATUS, origin.url("/page/1"), "asyncio")

    assert "False None" == said(limited("-S -n 64", *command))


_LOOKUPS = """
import asyncio, os
import uvloop
from crawler.nameservers import NameServers
from crawler.resolver import BlockingResolver, Resolver

async def main():
    resolver, blocking = Resolver(NameServers()), BlockingResolver(Resolver(NameServers()))

    async def both(host):
        answers = await resolver.resolve(host), await asyncio.wrap_future(blocking.ask(host))
        return [getattr(answer, "error_class", "found") for answer in answers]

    before = await both("localhost")
    held = []
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        pass
    without = await both("unknown.invalid")
    for descriptor in held:
        os.close(descriptor)
    print(*before, *without)
    await resolver.close()
    blocking.close()

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""


def test_a_lookup_without_descriptors_is_no_dns_failure() -> None:
    """c-ares calls it a refusal of the name servers: it is `local`."""
    assert "found found local local" == said(limited("-n 64", sys.executable, "-c", _LOOKUPS))


# --- Ports.

_NAMESPACE = ("unshare", "-rn")
_ALLOWED = bool(shutil.which("unshare")) and not subprocess.run((*_NAMESPACE, "true"), capture_output=True).returncode

_FEW_PORTS = 'ip link set lo up && echo "40000 40015" > /proc/sys/net/ipv4/ip_local_port_range && exec "$@"'

# Where no namespace is allowed, this stands for one: sockets that refuse to be more than 15 that are connected.
_SUBSTITUTE = """
import errno, os, socket, weakref

connected, connect = weakref.WeakSet(), socket.socket.connect

def refuse(self, address):
    if self.type == socket.SOCK_STREAM and self.family == socket.AF_INET:
        if sum(sock.fileno() >= 0 for sock in list(connected)) >= 15:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        connected.add(self)
    connect(self, address)

socket.socket.connect = refuse
"""

_PORTS = """
import subprocess, sys
from pathlib import Path
from command import write_list
from conftest import running_origin

engine, folder, *command = sys.argv[1:]
with running_origin(Path(folder)) as origin:
    write_list(Path(folder), *(origin.url(f"/slow-head?s=0.05&n={n}") for n in range(150)))
    sys.exit(subprocess.run([*command, "--engine", engine], cwd=folder).returncode)
"""


@pytest.mark.parametrize(
    ("engine", "allowed"),
    # libcurl connects in C, where there is nothing to put in place of a namespace.
    [
        *itertools.product(["curl", "asyncio", "threads"], [True] if _ALLOWED else []),
        ("asyncio", False),
        ("threads", False),
    ],
)
def test_few_ports(engine: str, allowed: bool, tmp_path: Path) -> None:
    """With 16 local ports and 64 wanted in flight every page is fetched; who met the limit has tried again."""
    (tmp_path / "sitecustomize.py").write_text("" if allowed else _SUBSTITUTE)
    script = [sys.executable, "-c", _PORTS, engine, str(tmp_path)]
    command = [*script, *RUN, "urls.txt", "--out", "out", "--conc", "64", *FLAGS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(HERE)))}
    done = subprocess.run(
        [*_NAMESPACE, "sh", "-c", _FEW_PORTS, "sh", *command] if allowed else command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert [("fetched", None, 200, 150)] == rows(tmp_path / "out", "outcome, error_class, status, count(*)")
    assert [] != rows(tmp_path / "out", "seq", "attempts > 1")


def test_a_port_that_is_lacking_is_told_from_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """EADDRNOTAVAIL means both (connect(2)): where a datagram has no way either, no port is lacking."""
    error = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    assert "no local port is free (net.ipv4.ip_local_port_range)" == shortage(plain(error, "127.0.0.1"))

    def no_way(sock: socket.socket, address: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", no_way)
        unreachable = plain(error, "::1")
    assert (errno.ENETUNREACH, None) == (unreachable.errno, shortage(unreachable))


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES])
def test_what_a_site_or_a_network_does_is_no_limit_of_ours(number: int) -> None:
    """Other errors stay as they are."""
    error = OSError(number, "x")

    assert (error, None) == (plain(error, "127.0.0.1"), shortage(error))


# --- Memory.


class Full(Body):
    """A body for whose bytes there is no memory."""

    def feed(self, data: bytes) -> Verdict:
        raise MemoryError


@pytest.mark.parametrize("engine", ["curl", "asyncio", "threads"])
def test_memory_that_runs_out_over_a_body(engine: str, origin: Origin) -> None:
    """It is a failure of this exchange alone, `local`, whose request was sent; the next one goes as ever."""
    bench = make_bench(engine, insecure=False, conc=1)
    failure = bench.do(ask(origin.url("/page/1"), body=Full(max_bytes=1000)))
    assert isinstance(failure, Failure)
    assert isinstance(bench.do(ask(origin.url("/page/1"))), Reply)
    bench.close()

    assert ("local", True, MEMORY) == (failure.error_class, failure.sent, failure.message)


@pytest.mark.parametrize("engine", ["curl", "asyncio", "threads"])
def test_a_failure_lets_go_of_its_body(engine: str, origin: Origin) -> None:
    """The part that came is free at once, and does not wait for the garbage collector: memory may be short."""
    bench = make_bench(engine, insecure=False, conc=1)
    gc.disable()
    try:
        exchange = ask(origin.url("/close-in-body"))
        body = weakref.ref(exchange.body)
        assert isinstance(bench.do(exchange), Failure)
        assert isinstance(bench.do(ask(origin.url("/page/1"))), Reply)
        del exchange
        assert body() is None
    finally:
        gc.enable()
        bench.close()


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


@pytest.mark.parametrize("engine", ["curl", "asyncio", "gevent"])
def test_memory_that_is_short(engine: str, origin: Origin) -> None:
    """Where there is less room than the budget of bodies takes, all of them come in the end, whole."""
    before = children()
    with crawler.Pool(procs=1, conc=16, per_host=0, engine=engine, allow_private=True) as pool:
        list(pool.fetch([origin.url("/bytes/1")]))
        (worker,) = children() - before
        (size,) = (int(line.split()[1]) << 10 for line in status(worker) if line.startswith("VmSize:"))
        resource.prlimit(worker, resource.RLIMIT_AS, (size + (60 << 20), resource.RLIM_INFINITY))
        pages = list(pool.fetch(origin.url(f"/bytes/10000000?n={n}-{engine}") for n in range(16)))
        replaced = {worker} != children() - before

    assert [("fetched", 10_000_000)] * 16 == [(page.outcome, len(page.body)) for page in pages]
    assert replaced or sum(page.row.attempts for page in pages) > 16


def status(process: int) -> list[str]:
    """The lines of proc_pid_status(5)."""
    return Path(f"/proc/{process}/status").read_text().splitlines()
