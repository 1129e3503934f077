"""From a host to its addresses, and what is remembered of it."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from crawler import descriptors
from crawler.descriptors import limit
from crawler.exchange import Addresses, Failure
from crawler.resolver import Answer, BlockingResolver, Resolver

Ask = Callable[[str], Answer]


class FakeNames:
    """A lookup without a network: answers or errors by name, and which names were asked for."""

    def __init__(self, answers: dict[str, Iterable[str] | Exception]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, host: str) -> Iterable[str]:
        self.asked.append(host)
        answer = self.answers.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def later(self, host: str) -> Iterable[str]:
        """The same as a coroutine that gives way first."""
        await asyncio.sleep(0)
        return self(host)


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["loop", "threads"])
def make(request: pytest.FixtureRequest) -> Callable[..., tuple[Resolver | BlockingResolver, Ask]]:
    """Makes either resolver over fake names, with a function that asks it."""

    def build(fake: FakeNames, **settings: object) -> tuple[Resolver | BlockingResolver, Ask]:
        if request.param == "threads":
            blocking = BlockingResolver(fake, **settings)  # type: ignore[arg-type]
            return blocking, blocking.resolve
        resolver = Resolver(fake.later, **settings)  # type: ignore[arg-type]
        return resolver, lambda host: asyncio.run(resolver.resolve(host))

    return build


Make = Callable[..., tuple[Resolver | BlockingResolver, Ask]]


def test_order_and_twins(make: Make) -> None:
    """The addresses keep their order, each stands once, and the lookup's time is beside them."""
    clock = Clock()
    _, ask = make(FakeNames({"a.com": ["::2", "1.1.1.1", "::2"]}), clock=clock)
    assert Addresses(("::2", "1.1.1.1"), 0.0) == ask("a.com")


def test_literals(make: Make) -> None:
    """An IP literal is its own answer, without a lookup; a name that looks like one is looked up."""
    names = FakeNames({"host1": ["1.1.1.1"]})
    resolver, ask = make(names)
    assert [Addresses(("127.0.0.1",)), Addresses(("::1",))] == [ask("127.0.0.1"), ask("::1")]
    assert Addresses(("::1",)) == resolver.cached("::1")
    ask("host1")
    assert ["host1"] == names.asked


def test_ttl(make: Make) -> None:
    """An answer is remembered for its time, a failure for a shorter one; what is remembered took no time."""
    clock, names = Clock(), FakeNames({"a.com": ["1.1.1.1"]})
    resolver, ask = make(names, clock=clock, ttl_s=60, negative_ttl_s=10)
    assert resolver.cached("a.com") is None
    missing = ask("b.com")
    ask("a.com")
    clock.now = 9.9
    assert (Addresses(("1.1.1.1",)), missing) == (ask("a.com"), ask("b.com"))
    assert Addresses(("1.1.1.1",)) == resolver.cached("a.com")
    clock.now = 10
    assert resolver.cached("b.com") is None
    ask("b.com")
    clock.now = 60
    assert resolver.cached("a.com") is None
    assert ["b.com", "a.com", "b.com"] == names.asked


def test_remembers_the_recently_used(make: Make) -> None:
    """When there are too many names, the one that was not asked for longest is forgotten."""
    resolver, ask = make(FakeNames({name: ["1.1.1.1"] for name in "abc"}), names=2)
    for name in "abac":
        ask(name)
    assert [True, False, True] == [resolver.cached(name) is not None for name in "abc"]


@pytest.mark.parametrize(
    ("error", "error_class", "message"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "dns",
            "a.com: Name or service not known",
        ),
        (socket.gaierror(socket.EAI_AGAIN, "Try\nagain"), "dns", "a.com: Try\\x0aagain"),
        (UnicodeError("label empty"), "dns", "a.com: the DNS has no such names"),
        (TimeoutError(), "dns", "a.com: no answer in time"),
        (OSError(errno.ECONNREFUSED, "Connection refused"), "dns", "a.com: Connection refused"),
        (OSError(errno.EMFILE, "x"), "local", f"no file descriptor is left (ulimit -n is {limit()})"),
        (OSError(errno.EBUSY, "x"), "local", f"no file descriptor is left (ulimit -n is {limit()})"),
        (OSError(errno.ENFILE, "x"), "local", "the system has no file descriptor left (fs.file-max)"),
        (socket.gaierror(socket.EAI_MEMORY, "x"), "local", "memory is short (ulimit -v, or the container's limit)"),
        (MemoryError(), "local", "memory is short (ulimit -v, or the container's limit)"),
    ],
)
def test_errors(make: Make, error: Exception, error_class: str, message: str) -> None:
    """What a lookup raises is a Failure of one line: dns, or local where this machine ran out."""
    _, ask = make(FakeNames({"a.com": error}))
    assert Failure(error_class, message, sent=False) == ask("a.com")  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
def test_nothing_is_said_of_a_name_without_descriptors(
    make: Make, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is left, getaddrinfo may say of any name that there is none: that is `local`, and not remembered."""
    names = FakeNames({"a.com": socket.gaierror(number, "x")})
    _, ask = make(names)
    with monkeypatch.context() as patched:
        patched.setattr(descriptors, "left", lambda: 0)
        answer = ask("a.com")

    assert Failure("local", f"no file descriptor is left (ulimit -n is {limit()})", sent=False) == answer
    assert "dns" == getattr(ask("a.com"), "error_class", None)


def test_no_address(make: Make) -> None:
    """A name without an address is a failure."""
    _, ask = make(FakeNames({"a.com": []}))
    assert Failure("dns", "a.com: the name has no address", sent=False) == ask("a.com")


def test_local_limits_are_forgotten(make: Make) -> None:
    """A limit of this machine says nothing about the name: the next one who asks looks it up."""
    names = FakeNames({"a.com": OSError(errno.EMFILE, "Too many open files")})
    _, ask = make(names)
    ask("a.com")
    names.answers["a.com"] = ["1.1.1.1"]
    assert isinstance(ask("a.com"), Addresses)


def test_impossible_names() -> None:
    """A host that cannot stand in the DNS is a failure, and no exception, with the system's lookup too."""
    assert "dns" == getattr(asyncio.run(Resolver().resolve("a..b")), "error_class", None)
    assert "dns" == getattr(BlockingResolver().resolve("x" * 64 + ".b"), "error_class", None)


def test_localhost() -> None:
    """The system's lookup gives addresses as text."""
    for answer in (asyncio.run(Resolver().resolve("localhost")), BlockingResolver().resolve("localhost")):
        assert isinstance(answer, Addresses)
        assert set(answer.addresses) <= {"127.0.0.1", "::1"}


class Gate:
    """A lookup for a loop that waits until it is opened, and counts who is in it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked: list[str] = []
        self.inside = 0
        self.most = 0

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        self.inside -= 1
        return ["1.1.1.1"]


async def test_one_lookup_a_name() -> None:
    """All who ask for a name at the same time share one lookup; one who gives up takes it from nobody."""
    gate = Gate()
    resolver = Resolver(gate)
    tasks = [asyncio.create_task(resolver.resolve("a.com")) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks[0].cancel()
    gate.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (["a.com"], asyncio.CancelledError) == (gate.asked, type(answers[0]))
    assert [("1.1.1.1",)] * 2 == [each.addresses for each in answers if isinstance(each, Addresses)]


async def test_bounded_lookups() -> None:
    """No more lookups run at once than the resolver was given."""
    gate = Gate()
    resolver = Resolver(gate, lookups=3)
    tasks = [asyncio.create_task(resolver.resolve(f"{n}.com")) for n in range(9)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert 3 == gate.inside
    gate.open.set()
    await asyncio.gather(*tasks)
    assert (9, 3) == (len(gate.asked), gate.most)


async def test_deadline() -> None:
    """A lookup that does not end is a failure of class dns, and frees its slot."""
    resolver = Resolver(Gate(), deadline_s=0, lookups=1)
    for name in ("a.com", "b.com"):
        assert Failure("dns", f"{name}: no answer in time", sent=False) == await resolver.resolve(name)


def test_blocking_deadline() -> None:
    """A thread's lookup that does not end is a failure for all who wait; what it brings later is dropped."""
    opened = threading.Event()

    def lookup(host: str) -> list[str]:
        opened.wait()
        return ["1.1.1.1"]

    resolver = BlockingResolver(lookup, deadline_s=0.01)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(resolver.resolve, ["a.com"] * 3))
    late = Failure("dns", "a.com: no answer in time", sent=False)
    assert [late] * 3 == answers
    opened.set()
    assert late == resolver.resolve("a.com")


def test_blocking_one_lookup_a_name() -> None:
    """Threads that ask for a name at the same time share one lookup, and lookups are bounded."""
    everyone = threading.Barrier(8)
    names = FakeNames({f"{n}.com": ["1.1.1.1"] for n in range(4)})
    resolver = BlockingResolver(names, lookups=1)

    def ask(host: str) -> Answer:
        everyone.wait()
        return resolver.resolve(host)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [f"{n % 4}.com" for n in range(8)]))
    assert [("1.1.1.1",)] * 8 == [each.addresses for each in answers if isinstance(each, Addresses)]
    assert ["0.com", "1.com", "2.com", "3.com"] == sorted(names.asked)


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, that is a limit of this machine, and the slot is free again."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = BlockingResolver(FakeNames({"a.com": ["1.1.1.1"]}), lookups=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        answer = resolver.resolve("a.com")
    limit_met = "no thread can be started (ulimit -u, or the pids limit)"
    assert Failure("local", limit_met, sent=False) == answer
    assert isinstance(resolver.resolve("a.com"), Addresses)
