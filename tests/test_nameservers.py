"""The DNS stage against a real server on loopback: what it asks, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import dns.rcode
import pycares
import pytest
from conftest import Origin
from names import (
    NameServer,
    after_lies,
    by_type,
    first,
    holds,
    over_tcp_only,
    running_name_server,
    says,
    silent,
)
from scripted import World, answer, state

import crawler
from benchmarks.nameserver import running_name_server as running_name_server_of_its_own
from crawler.config import ENGINES, CrawlConfig
from crawler.errors import ConfigError
from crawler.exchange import Addresses, Failure
from crawler.frontier import Frontier
from crawler.nameservers import SPECIAL, Found, NameServers, NotFoundError
from crawler.resolver import LOOKUPS, Resolver
from crawler.throttle import Throttle

SERVFAIL, REFUSED = dns.rcode.SERVFAIL, dns.rcode.REFUSED
NO_NAME, NO_ADDRESS = "there is no such name", "the name has no address"


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A DNS server that knows what a test tells it."""
    with running_name_server() as running:
        yield running


async def ask(server: NameServer, *hosts: str) -> list[Found | str]:
    """What a stage of its own makes of each host, one after the other; a failure as its words, `!` where final."""
    lookup, said = NameServers(server.address), list[Found | str]()
    for host in hosts:
        try:
            said.append(await lookup(host))
        except NotFoundError as error:
            said.append(f"{error}{'!' * error.final}")
    lookup.close()
    return said


async def test_both_families(server: NameServer) -> None:
    """A and AAAA are asked for once each; all addresses are given, with the shortest time of their records."""
    server.zone["a.test"] = holds("a.test 30 A 192.0.2.1", "a.test 30 A 192.0.2.2", "a.test 20 AAAA 2001:db8::1")
    ((addresses, ttl_s),) = await ask(server, "a.test")

    assert ({"192.0.2.1", "192.0.2.2", "2001:db8::1"}, 20) == (set(addresses), ttl_s)
    assert [("a.test", "A", "udp"), ("a.test", "AAAA", "udp")] == sorted(server.asked)


async def test_one_family(server: NameServer) -> None:
    """A name with addresses of one family only has these."""
    server.zone["four.test"] = holds("four.test 30 A 192.0.2.1")
    server.zone["six.test"] = holds("six.test 30 AAAA 2001:db8::1")

    assert [Found(("192.0.2.1",), 30), Found(("2001:db8::1",), 30)] == await ask(server, "four.test", "six.test")


async def test_aliases(server: NameServer) -> None:
    """A chain of CNAMEs ends at its addresses, which are good for the shortest time in the chain."""
    server.zone["a.test"] = holds("a.test 60 CNAME b.test.", "b.test 7 CNAME c.test.", "c.test 300 A 192.0.2.9")

    assert [Found(("192.0.2.9",), 7)] == await ask(server, "a.test")


async def test_no_such_name(server: NameServer) -> None:
    """That a name or its addresses do not exist is final, and stands as long as its zone says: asked for once."""
    server.zone["empty.test"] = holds()
    said = await ask(server, "no.test", "empty.test", "no.test", "empty.test")

    assert [f"{NO_NAME}!", f"{NO_ADDRESS}!"] * 2 == said
    assert (2, 2) == (server.count("no.test"), server.count("empty.test"))


async def test_what_can_pass(server: NameServer) -> None:
    """SERVFAIL and REFUSED are failures that can pass; a server that is alone is not asked again at once."""
    server.zone |= {"a.test": says(SERVFAIL), "b.test": says(REFUSED)}
    said = await ask(server, "a.test", "b.test")

    assert ["the name server could not find it out (SERVFAIL)", "the name server refuses to answer"] == said
    assert (2, 2) == (server.count("a.test"), server.count("b.test"))


async def test_trouble_passes(server: NameServer) -> None:
    """After a SERVFAIL the next one who asks is told what the server says then."""
    server.zone["a.test"] = first(says(SERVFAIL), 1, holds("a.test 30 A 192.0.2.1"))

    assert Found(("192.0.2.1",), 30) == (await ask(server, "a.test", "a.test"))[1]


async def test_half_an_answer(server: NameServer) -> None:
    """The addresses of one family are enough where the other one's query fails, or is never answered."""
    half = holds("a.test 30 A 192.0.2.1")
    server.zone |= {"a.test": by_type(half, says(SERVFAIL)), "b.test": by_type(half, silent)}

    assert [Found(("192.0.2.1",), 30)] * 2 == await ask(server, "a.test", "b.test")


async def test_lost_datagrams(server: NameServer) -> None:
    """A query without an answer is sent again."""
    server.zone["a.test"] = first(silent, 1, holds("a.test 30 A 192.0.2.1"))

    assert [Found(("192.0.2.1",), 30)] == await ask(server, "a.test")
    assert 4 == server.count("a.test")


async def test_silence_ends(server: NameServer) -> None:
    """A server that never answers is no answer in time, which can pass; no socket is watched after that."""
    server.zone["a.test"] = silent
    resolver = Resolver(NameServers(server.address), deadline_s=0.3, clock=lambda: 7.0)
    failure = await resolver.resolve("a.test")
    await resolver.close()

    assert Failure("dns", "a.test: no answer in time", sent=False, dns_ms=0.0) == failure


async def test_nobody_listens() -> None:
    """A port where no server is, is told at once, as a failure that can pass."""
    with running_name_server() as gone:
        pass

    assert ["no name server can be reached"] == await ask(gone, "a.test")


async def test_long_answers(server: NameServer) -> None:
    """An answer that does not fit into a datagram is fetched over TCP (RFC 7766)."""
    many = [f"192.0.2.{n}" for n in range(1, 200)]
    server.zone["a.test"] = over_tcp_only(holds(*(f"a.test 30 A {address}" for address in many)))
    ((addresses, _),) = await ask(server, "a.test")

    assert many == sorted(addresses, key=many.index)
    assert {"udp", "tcp"} == {transport for *_, transport in server.asked}


async def test_lies(server: NameServer) -> None:
    """Answers with another id than the query's are nobody's."""
    lie, truth = holds("a.test 30 A 203.0.113.6"), holds("a.test 30 A 192.0.2.1")
    server.zone["a.test"] = after_lies(lie, truth)

    assert [Found(("192.0.2.1",), 30)] == await ask(server, "a.test")


@pytest.mark.parametrize("wire", [b"\0", b"\xff" * 40, b"\0" * 12])
async def test_nonsense(server: NameServer, wire: bytes) -> None:
    """A server that says what is no answer is a failure that can pass."""
    server.zone["a.test"] = lambda query, transport: [wire]

    assert ["the name server's answer makes no sense"] == await ask(server, "a.test")


LOCALHOSTS = ("localhost", "localhost.", "app.localhost", "app.localhost.", "a.b.localhost", "127.0.0.1.localhost.")


@pytest.mark.parametrize("host", LOCALHOSTS)
async def test_localhost(server: NameServer, host: str) -> None:
    """It is this machine, also with a dot at its end, and no server is asked for it (RFC 6761 §6.3)."""
    ((addresses, _),) = await ask(server, host)

    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert [] == server.asked


@pytest.mark.parametrize("host", LOCALHOSTS)
def test_localhost_is_denied(host: str, server: NameServer, origin: Origin) -> None:
    """A list that names this machine is refused at once, in all spellings of its name."""
    before = origin.stats()["requests"]
    (page,) = crawler.fetch([origin.url("/bytes/1", host)], procs=1, resolver=server.address)

    assert ("denied", "blocked_address", 0) == (page.outcome, page.row.error_class, page.row.attempts)
    assert ([], before) == (server.asked, origin.stats()["requests"])


@pytest.mark.parametrize("top", [top for top in SPECIAL if top != "localhost"])
async def test_special_names(server: NameServer, top: str) -> None:
    """What is no name of the DNS has no address, and no server is asked for it; that is final."""
    said = await ask(server, f"a.{top}", f"a.b.{top}.", f"{top}.")

    assert [f"{SPECIAL[top]}!"] * 3 == said
    assert [] == server.asked


@pytest.mark.parametrize("host", ["a.test", "a.example", "a.home.arpa", "a.internal", "local", "a.local.test"])
async def test_names_that_are_not_special(server: NameServer, host: str) -> None:
    """Names that are the servers' to answer (RFC 6761 §6.2 and §6.5, RFC 8375 §4) are asked for as any other."""
    server.zone[host] = holds(f"{host} 30 A 192.0.2.1")

    assert [Found(("192.0.2.1",), 30)] == await ask(server, host)


_ENV_HOSTS = 1 << 8  # ARES_AI_ENVHOSTS of ares.h


class _OtherHosts(pycares.Channel):
    """Reads the file that CARES_HOSTS names instead of /etc/hosts."""

    def getaddrinfo(self, host: str, port: object, **rest: Any) -> None:  # type: ignore[override]
        super().getaddrinfo(host, None, flags=_ENV_HOSTS, **rest)


async def test_special_names_of_this_machine(server: NameServer, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """What /etc/hosts knows needs no server, also under a special name."""
    (tmp_path / "hosts").write_text("192.0.2.8 printer.local\n")
    monkeypatch.setenv("CARES_HOSTS", str(tmp_path / "hosts"))
    monkeypatch.setattr(pycares, "Channel", _OtherHosts)

    assert [Found(("192.0.2.8",), 0)] * 2 == await ask(server, "printer.local", "printer.local.")


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".test", ".".join(["x" * 60] * 5)])
async def test_impossible_names(server: NameServer, host: str) -> None:
    """A host that cannot stand in the DNS is a failure, final, and no exception; nobody is asked."""
    assert ["the DNS has no such names!"] == await ask(server, host)
    assert [] == server.asked


async def test_names_without_a_dot(server: NameServer) -> None:
    """A server that was named is asked for what stands in the URL: the machine's search domains are not tried."""
    server.zone["intranet"] = holds("intranet 30 A 192.0.2.1")

    assert [Found(("192.0.2.1",), 30), f"{NO_NAME}!"] == await ask(server, "intranet", "extranet")
    assert {"intranet", "extranet"} == {name for name, *_ in server.asked}


async def test_the_system_without_a_server() -> None:
    """What /etc/hosts and the system know needs no server that was named."""
    lookup = NameServers()
    found = await lookup("localhost")
    lookup.close()

    assert set(found.addresses) <= {"127.0.0.1", "::1"}


async def test_known_hosts_pass_a_dead_server(server: NameServer) -> None:
    """While as many lookups as there may be wait for a server that is dead, what is known needs no waiting."""
    server.zone["known.test"] = holds("known.test 300 A 192.0.2.1")
    resolver = Resolver(NameServers(server.address), clock=lambda: 7.0)
    await resolver.resolve("known.test")
    server.zone |= {f"{n}.test": silent for n in range(2 * LOOKUPS)}
    stuck = [asyncio.create_task(resolver.resolve(f"{n}.test")) for n in range(2 * LOOKUPS)]
    while len(server.asked) < 2 + 2 * LOOKUPS:  # noqa: ASYNC110 - a thread counts them
        await asyncio.sleep(0)

    assert Addresses(("192.0.2.1",), 0.0) == resolver.cached("known.test")
    assert Addresses(("::1",)) == await resolver.resolve("::1")
    await resolver.close()
    assert [True] * 2 * LOOKUPS == [task.cancelled() for task in (await asyncio.wait(stuck))[0]]


@pytest.mark.parametrize("robots", [True, False])
def test_what_lookups_took(robots: bool, server: NameServer, origin: Origin) -> None:
    """Each row has what the lookup took whose answer it used, also where that was no address; a literal needs none."""
    server.zone["a.test"] = holds("a.test 30 A 127.0.0.1")
    hosts = ["a.test", "a.test", "no.test", "x.invalid", "127.0.0.1"]
    urls = [origin.url(f"/bytes/{size}", host) for size, host in enumerate(hosts)]
    settings = {"resolver": server.address, "allow_private": True, "robots": robots, "ordered": True}
    rows = [page.row for page in crawler.fetch(urls, procs=1, **settings)]

    expected = [(None, True), (None, True), ("dns", True), ("dns", True), (None, False)]
    assert expected == [(row.error_class, row.dns_ms is not None) for row in rows]
    assert all(row.dns_ms is None or 0 <= row.dns_ms < 10_000 for row in rows)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "auto"])
def test_every_engine(engine: str, server: NameServer, origin: Origin) -> None:
    """Every worker asks the server that was named, tries all addresses in turn, and makes the same of what it says."""
    here = by_type(holds("a.test 30 A 127.0.0.1"), holds("a.test 30 AAAA ::1"))  # nobody listens on the second
    server.zone |= {"a.test": here, "b.test": first(says(SERVFAIL), 1, holds("b.test 30 A 127.0.0.1"))}
    urls = [origin.url("/bytes/1", host) for host in ("a.test", "b.test", "no.test")]
    settings = {"engine": engine, "resolver": server.address, "allow_private": True, "robots": False}
    pages = crawler.fetch(urls, procs=1, **settings)
    rows = {page.row.host: page.row for page in pages}

    expected = {"a.test": ("fetched", None, 1), "b.test": ("fetched", None, 2), "no.test": ("failed", "dns", 1)}
    assert expected == {host: (row.outcome, row.error_class, row.attempts) for host, row in rows.items()}
    assert {"127.0.0.1"} == {rows[host].ip for host in ("a.test", "b.test")}
    assert all(row.dns_ms is not None for row in rows.values())
    assert (2, 4, 2) == tuple(server.count(host) for host in ("a.test", "b.test", "no.test"))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254"])
def test_names_that_lead_inside(address: str, server: NameServer, origin: Origin) -> None:
    """A name whose address is not public is refused, whoever's name server says it (no packet goes there)."""
    server.zone["a.test"] = holds(f"a.test 30 A {address}")
    before = origin.stats()["requests"]
    (page,) = crawler.fetch([origin.url("/bytes/1", "a.test")], procs=1, resolver=server.address, robots=False)

    assert ("denied", "blocked_address") == (page.outcome, page.row.error_class)
    assert before == origin.stats()["requests"]


async def test_closing(server: NameServer) -> None:
    """What is under way when a stage is closed ends there and then, on every channel."""
    server.zone |= {f"{n}.test": silent for n in range(10)}
    lookup = NameServers(server.address, names_a_channel=3)
    under_way = [asyncio.create_task(lookup(f"{n}.test")) for n in range(10)]
    await asyncio.sleep(0)
    lookup.close()

    assert [NotFoundError] * 10 == [type(error) for error in await asyncio.gather(*under_way, return_exceptions=True)]


@pytest.mark.parametrize("server", ["192.0.2.53:53", "[2001:db8::53]:5353"])
def test_servers(server: str) -> None:
    """A name server is an address and a port; the choice is tuning: a crawl goes on with another one."""
    assert server == CrawlConfig(resolver=server).resolver
    assert CrawlConfig().identity() == CrawlConfig(resolver=server).identity()


NO_SERVERS = (
    "", "53", "192.0.2.53", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:+53", "192.0.2.53:٥٣",
    "dns.test:53", "2001:db8::53:53", "[192.0.2.53]:53", "[2001:db8::53]", "192.0.2.53:53,192.0.2.54:53",
)  # fmt: skip


@pytest.mark.parametrize("server", NO_SERVERS)
def test_what_is_no_server(server: str) -> None:
    """Anything else is refused, with what to write instead."""
    with pytest.raises(ConfigError, match=r"is no DNS server; write its address and its port, as 192\.0\.2\.53:53"):
        CrawlConfig(resolver=server)


def test_lookups_are_counted() -> None:
    """A frontier tells how many hosts its driver has to look up."""
    world = World({"http://a.test/": [answer()]})
    frontier = Frontier(world.rules(CrawlConfig(robots=False)), lambda host: None, Throttle(8))
    frontier.add([state("http://a.test/")])
    turn = frontier.next(world.now)
    assert turn is not None
    before = frontier.looking_up
    frontier.done(turn, world.do(turn.action), world.now)

    assert (1, 0) == (before, frontier.looking_up)


async def test_fresh_channels(server: NameServer) -> None:
    """What was asked for on a channel is answered there, also after a fresh one has taken over; nothing is lost."""
    names = [f"{n}.test" for n in range(40)]
    server.zone |= {name: holds(f"{name} 30 A 192.0.2.1") for name in names}
    lookup = NameServers(server.address, names_a_channel=3)
    found = await asyncio.gather(*map(lookup, names[:20]))
    found += [await lookup(name) for name in names[20:]]
    lookup.close()

    assert [Found(("192.0.2.1",), 30)] * 40 == found
    assert 80 == len(server.asked)


async def test_ten_thousand_names() -> None:
    """Each of 10,000 names is found, asked for once a family, whoever asks for it and however often."""
    names = [f"{n}.test" for n in range(10_000)]
    with running_name_server_of_its_own(address="192.0.2.7") as served:
        resolver = Resolver(NameServers(served.address))
        answers = await asyncio.gather(*(resolver.resolve(name) for name in [*names, *names]))
        await resolver.close()

    assert [("192.0.2.7",)] * 20_000 == [getattr(answer, "addresses", answer) for answer in answers]
    assert 20_000 == served.distinct
    assert served.queries < 1.1 * 20_000  # a few go twice, where this machine is busy
