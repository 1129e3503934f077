"""From a host to its addresses, and what is remembered of it; no network (`test_nameservers.py` has one)."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from crawler import descriptors
from crawler.answers import Answer
from crawler.descriptors import limit
from crawler.exchange import Addresses, Failure
from crawler.nameservers import Found, NotFoundError
from crawler.resolver import BlockingResolver, Resolver

MISSING = NotFoundError("there is no such name", final=True)


class FakeNames:
    """A lookup without a network: answers or errors by name, and which names were asked for."""

    def __init__(self, answers: dict[str, Found | Exception] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[str] = []
        self.closed = False

    async def __call__(self, host: str) -> Found:
        self.asked.append(host)
        await asyncio.sleep(0)
        answer = self.answers.get(host, MISSING)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


def found(*addresses: str, ttl_s: float = 60) -> Found:
    return Found(addresses or ("1.1.1.1",), ttl_s)


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


Ask = Callable[[str], Answer]
Make = Callable[..., tuple[Resolver | BlockingResolver, Ask]]


@pytest.fixture(params=["loop", "threads"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes either resolver over fake names, with a function that asks it."""
    blocking: list[BlockingResolver] = []

    def build(fake: FakeNames, **settings: object) -> tuple[Resolver | BlockingResolver, Ask]:
        resolver = Resolver(fake, **settings)  # type: ignore[arg-type]
        if request.param == "loop":
            return resolver, lambda host: asyncio.run(resolver.resolve(host))
        blocking.append(of_threads := BlockingResolver(resolver))
        return blocking[-1], lambda host: of_threads.ask(host).result()

    yield build
    for resolver in blocking:
        resolver.close()


def test_order_and_twins(make: Make) -> None:
    """The addresses keep their order, each stands once, and the lookup's time is beside them."""
    _, ask = make(FakeNames({"a.com": found("::2", "1.1.1.1", "::2")}), clock=Clock())
    assert Addresses(("::2", "1.1.1.1"), 0.0) == ask("a.com")


def test_literals(make: Make) -> None:
    """An IP literal is its own answer, without a lookup; a name that looks like one is looked up."""
    names = FakeNames({"host1": found()})
    resolver, ask = make(names)
    assert [Addresses(("127.0.0.1",)), Addresses(("::1",))] == [ask("127.0.0.1"), ask("::1")]
    assert Addresses(("::1",)) == resolver.cached("::1")
    ask("host1")
    assert ["host1"] == names.asked


@pytest.mark.parametrize(("ttl_s", "good_for"), [(300, 300), (0, 5), (1, 5), (86_400, 3600)])
def test_time_to_live(make: Make, ttl_s: float, good_for: float) -> None:
    """An answer is good for its own time, but never less than 5 s or more than an hour, and keeps what it took."""
    clock, names = Clock(), FakeNames({"a.com": found(ttl_s=ttl_s)})
    resolver, ask = make(names, clock=clock)
    assert resolver.cached("a.com") is None
    ask("a.com")
    clock.now = good_for - 0.1
    assert [Addresses(("1.1.1.1",), 0.0)] * 2 == [ask("a.com"), resolver.cached("a.com")]
    clock.now = good_for
    assert resolver.cached("a.com") is None
    ask("a.com")
    assert ["a.com"] * 2 == names.asked


@pytest.mark.parametrize(("final", "good_for"), [(True, 10), (False, 0.2)])
def test_negative_answers(make: Make, final: bool, good_for: float) -> None:
    """That there is no such name is remembered; what can pass only for less than a retry's back-off, 0.25 s."""
    clock, names = Clock(), FakeNames({"a.com": NotFoundError("why", final=final)})
    resolver, ask = make(names, clock=clock)
    assert Failure("dns", "a.com: why", sent=False, final=final, dns_ms=0.0) == ask("a.com")
    clock.now = good_for - 0.01
    assert ask("a.com") == resolver.cached("a.com")
    clock.now = good_for
    assert resolver.cached("a.com") is None
    ask("a.com")
    assert ["a.com"] * 2 == names.asked


def test_remembers_the_recently_used(make: Make) -> None:
    """When there are too many names, the one that was not asked for longest is forgotten."""
    resolver, ask = make(FakeNames(dict.fromkeys("abc", found())), names=2)
    for name in "abac":
        ask(name)
    assert [True, False, True] == [resolver.cached(name) is not None for name in "abc"]


_NO_DESCRIPTOR = f"no file descriptor is left (ulimit -n is {limit()})"
_NO_MEMORY = "memory is short (ulimit -v, or the container's limit)"


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (MISSING, Failure("dns", "a.com: there is no such name", sent=False, final=True)),
        (NotFoundError("Try\nagain", final=False), Failure("dns", "a.com: Try\\x0aagain", sent=False)),
        (TimeoutError(), Failure("dns", "a.com: no answer in time", sent=False)),
        (OSError("not set up"), Failure("dns", "a.com: not set up", sent=False)),
        (OSError(errno.EMFILE, "x"), Failure("local", _NO_DESCRIPTOR, sent=False)),
        (
            OSError(errno.ENFILE, "x"),
            Failure("local", "the system has no file descriptor left (fs.file-max)", sent=False),
        ),
        (MemoryError(), Failure("local", _NO_MEMORY, sent=False)),
    ],
)
def test_errors(make: Make, error: Exception, failure: Failure) -> None:
    """What a lookup raises is a Failure of one line: dns, or local where this machine ran out; with its time."""
    _, ask = make(FakeNames({"a.com": error}), clock=Clock())
    assert msgspec.structs.replace(failure, dns_ms=0.0) == ask("a.com")


@pytest.mark.parametrize("final", [True, False])
def test_nothing_is_said_of_a_name_without_descriptors(
    make: Make, final: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is left, a lookup may say anything of any name: that is `local`, and not remembered."""
    _, ask = make(FakeNames({"a.com": NotFoundError("x", final=final)}), clock=Clock())
    ask("b.com")  # the loop of threads takes some
    with monkeypatch.context() as patched:
        patched.setattr(descriptors, "left", lambda: 0)
        answer = ask("a.com")

    assert Failure("local", _NO_DESCRIPTOR, sent=False, dns_ms=0.0) == answer
    assert "dns" == getattr(ask("a.com"), "error_class", None)


def test_local_limits_are_forgotten(make: Make) -> None:
    """A limit of this machine says nothing about the name: the next one who asks looks it up."""
    names = FakeNames({"a.com": OSError(errno.EMFILE, "Too many open files")})
    _, ask = make(names)
    ask("a.com")
    names.answers["a.com"] = found()
    assert isinstance(ask("a.com"), Addresses)


class Gate(FakeNames):
    """A lookup that waits until it is opened, and counts who is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.inside = 0
        self.most = 0

    async def __call__(self, host: str) -> Found:
        self.asked.append(host)
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        self.inside -= 1
        return found()


class Endless(FakeNames):
    """A lookup that never ends."""

    async def __call__(self, host: str) -> Found:
        return await asyncio.get_running_loop().create_future()


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


def test_deadline(make: Make) -> None:
    """A lookup that does not end is a failure of class dns that may pass, and frees its slot."""
    _, ask = make(Endless(), deadline_s=0, lookups=1, clock=Clock())
    for name in ("a.com", "b.com"):
        assert Failure("dns", f"{name}: no answer in time", sent=False, dns_ms=0.0) == ask(name)


async def test_close() -> None:
    """Closing ends the lookups that are under way, and closes what they were done with."""
    gate = Gate()
    resolver = Resolver(gate)
    task = asyncio.create_task(resolver.resolve("a.com"))
    for _ in range(3):
        await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.closed


def test_threads_share_a_lookup() -> None:
    """Threads that ask for a name at the same time share one lookup, and lookups are bounded."""
    everyone = threading.Barrier(8)
    names = FakeNames({f"{n}.com": found() for n in range(4)})
    resolver = BlockingResolver(Resolver(names, lookups=1))

    def ask(host: str) -> Answer:
        everyone.wait()
        return resolver.ask(host).result()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [f"{n % 4}.com" for n in range(8)]))
    resolver.close()
    assert [("1.1.1.1",)] * 8 == [each.addresses for each in answers if isinstance(each, Addresses)]
    assert ["0.com", "1.com", "2.com", "3.com"] == sorted(names.asked)


def test_nobody_asked() -> None:
    """A resolver of threads that was never asked has no thread, and nothing to close."""
    before = threading.active_count()
    resolver = BlockingResolver(Resolver(FakeNames()))
    assert Addresses(("127.0.0.1",)) == resolver.ask("127.0.0.1").result()
    assert before == threading.active_count()
    resolver.close()


@pytest.mark.parametrize(
    ("refusal", "limit_met"),
    [
        (RuntimeError("can't start new thread"), "no thread can be started (ulimit -u, or the pids limit)"),
        (MemoryError(), _NO_MEMORY),
    ],
)
def test_no_more_threads(refusal: Exception, limit_met: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its thread cannot be started, that is a limit of this machine, and the next one who asks tries again."""

    def refuse(thread: threading.Thread) -> None:
        raise refusal

    resolver = BlockingResolver(Resolver(FakeNames({"a.com": found()})))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        answer = resolver.ask("a.com").result()
    assert Failure("local", limit_met, sent=False) == answer
    assert isinstance(resolver.ask("a.com").result(), Addresses)
    resolver.close()
