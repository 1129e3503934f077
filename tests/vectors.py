"""`python tests/vectors.py`: every way to write an address that is not public, through `urls.parse` and the rule.

Names that are none of the DNS go through the DNS stage too, with a name server that hears what is asked. It prints how
many were tried and how many got through, by kind; exit status 1 if any did. The table of special networks stands here
once more, as the IANA registries have it (RFC 6890 and its updates), and is not the one that is tested.
"""

# ruff: noqa: RUF001 - digits that look like others are the point

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from names import running_name_server

from crawler import urls
from crawler.addresses import AddressRule
from crawler.nameservers import NameServers, NotFoundError

SPECIAL_4 = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24
    203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32
    168.63.129.16/32 169.254.169.254/32 100.100.100.200/32
""".split()  # noqa: SIM905 - a registry reads better than forty quotes
SPECIAL_6 = """
    ::/128 ::1/128 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 2001:1::1/128
    2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28
    2001:db8::/32 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 fd00:ec2::254/128
""".split()  # noqa: SIM905 - as above

LOOPBACK = [
    "127.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "2130706433", "017700000001", "0x7f000001", "0X7F000001",
    "0x7f.1", "0x7F.0.1", "0177.1", "0177.0.0.1", "0177.0.0.01", "00000177.0.0.1", "0x7f.0x0.0x0.0x1",
    "0x000000007f.0.0.1", "127.0x0.0.01", "127.0.0.0x1", "①②⑦.⓪.⓪.①", "127。0。0。1", "127.0.0.1", "127｡0｡0｡1",
    "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "%E2%91%A0②⑦.0.0.1", "1\u00ad27.0.0.1", "12\u200b7.0.0.1",
    "𝟏𝟐𝟕.0.0.1", "𝟭𝟮𝟳.𝟬.𝟬.𝟭", "0", "0x0", "0.0", "0.0.0.0", "127.255.255.254", "127.127.127.127",
    "8.8.8.8@127.0.0.1", "user:pw@127.1", "8.8.8.8%40@127.0.0.1", "127.0.0.1\\@8.8.8.8", "127.0.0.1#@8.8.8.8",
    "127.0.0.1?@8.8.8.8", "127.0.0.1/@8.8.8.8", "8.8.8.8:80@127.0.0.1", "@127.0.0.1", ":@127.0.0.1",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]", "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:1::1]", "[::ffff:0:127.0.0.1]",
    "[2001:0:7f00:1::f7f7:f7f7]", "[2001:0:808:808::80ff:fffe]", "[2a00:1450::5efe:127.0.0.1]",
    "127.1.", "127.0.1.", "2130706433.", "017700000001.", "0x7f000001.", "0x7f.1.", "0177.0.0.01.", "0.", "0x0.",
    "①②⑦.⓪.⓪.①.", "127.0.0.1。", "127.1｡", "127.0.0.1%2e", "127.0.0.1%E3%80%82", "0x7F。1。", "user:pw@127.0.0.1.",
]  # fmt: skip
"""Spellings of this machine, as in public lists of what has got through somewhere, and more of their kind."""

NOT_A_HOST = "no host"
NO_HOST = [
    "[::1%25lo]", "[::1%lo]", "[fe80::1%25eth0]", "[fe80::1%251]", "[::1", "::1]", "[127.0.0.1]", "[::ffff:127.1]",
    "[::ffff:0x7f.0.0.1]", "256.0.0.1", "0x100000000", "4294967296", "127.0.0.0x100", "127.0.0.256", "1.2.3.4.5",
    "08.0.0.1", "127.0.0.09", "127.0.0.1.1", "0x7g.1", "127..1", "127.0.0.1%00", "127.0.0.1%0a", "127.0.0.1%20",
    "127.0.0.1\x00.example", "127.0.0.1\r\n.example", "127.0.0.1\t", "%00127.0.0.1", "127.0.0.1 .example",
    "example.test\x00@127.0.0.1",
]  # fmt: skip
"""What is no host by the standard: it must be refused as no URL, and never be looked up as a name."""

THIS_MACHINE = "names of this machine"
LOCALHOST = [
    "localhost", "localhost.", "LOCALHOST", "LocalHost.", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ．", "localhost。",
    "localhost｡", "loc%61lhost", "%6c%6f%63%61%6c%68%6f%73%74%2e", "local\u00adhost", "local\u200bhost.", "𝐥𝐨𝐜𝐚𝐥𝐡𝐨𝐬𝐭",
    "user@localhost.",
    "a.localhost", "a.localhost.", "www.a.b.localhost.", "8.8.8.8.localhost", "127.0.0.1.localhost.", "a。localhost。",
    "-.localhost", "*.localhost", "_.localhost.", "xn--a.localhost", ".localhost", "a..localhost",
]  # fmt: skip
"""Its names (RFC 6761 §6.3): loopback, and so refused, and no server is asked."""

NO_NAME = "names that no server is asked for"
UNASKED = [
    "printer.local", "printer.local.", "PRINTER.LOCAL.", "a.b.local", "ｐｒｉｎｔｅｒ．ｌｏｃａｌ",
    "printer。local。", "local.", "x.invalid", "x.invalid.", "X.%69nvalid", "invalid.", "x.onion", "x.onion.",
    "www.x.onion", "ⓞnion.onion", "onion.", "x.alt", "x.alt.", "alt.",
    "127.0.0.1..", "127.1..", "0x7f.1..", "0..", "1..", "localhost..", "a..local", "printer.local..", "..", "a..b",
    "127.0.0.1%2e.", "127.0.0.1。。", f"{'x' * 64}.example", f"127.0.0.1.{'x.' * 130}example",
]  # fmt: skip
"""What is no name of the DNS, by its end (RFC 6761, 6762, 7686, 9476) or by its form (RFC 1035 §2.3.4)."""

_PUBLIC_4 = IPv4Address("8.8.8.8")


def _six(high: int, shift: int = 0) -> Callable[[int], IPv6Address]:
    return lambda number: IPv6Address(high | number << shift)


EMBEDDINGS: dict[str, Callable[[int], IPv6Address]] = {
    "mapped": _six(0xFFFF << 32),
    "compatible": lambda number: IPv6Address(number),
    "translated": _six(0xFFFF << 48),
    "NAT64": _six(0x0064_FF9B << 96),
    "local NAT64 /48": lambda number: IPv6Address(
        0x0064_FF9B_0001 << 80 | number >> 16 << 64 | (number & 0xFFFF) << 40
    ),
    "local NAT64 /96": _six(0x0064_FF9B_0001 << 80),
    "local NAT64 /96, deep": _six(0x0064_FF9B_0001_FFFE << 64 | 7 << 32),
    "6to4": _six(0x2002 << 112, 80),
    "6to4, host part": lambda number: IPv6Address(0x2002 << 112 | number << 80 | 0x1_2345),
    "Teredo server": lambda number: IPv6Address(0x2001 << 112 | number << 64 | int(_PUBLIC_4) ^ 0xFFFF_FFFF),
    "Teredo client": lambda number: IPv6Address(0x2001 << 112 | int(_PUBLIC_4) << 64 | number ^ 0xFFFF_FFFF),
    "ISATAP": _six(0x2A00_1450 << 96 | 0x5EFE << 32),
    "ISATAP, global bit": _six(0x2A00_1450 << 96 | 0x0200_5EFE << 32),
    "ISATAP within 6to4": _six(0x2002_0808_0808 << 80 | 0x5EFE << 32),
}
"""Each transition form, from an IPv4 address as a number."""


def _samples(network: str) -> Iterator[int]:
    """The ends of a network, what stands next to them, and some within."""
    found = ip_network(network)
    first, count = int(found.network_address), found.num_addresses
    steps = {0, 1, count // 3, count // 2, count - 2, count - 1}
    yield from sorted({first + step for step in steps if 0 <= step < count})


def _spellings_4(number: int) -> Iterator[str]:
    """An IPv4 address in every form that a URL may give it."""
    parts = list(number.to_bytes(4, "big"))
    bases = ("{}".format, "0x{:x}".format, "0{:o}".format)
    for one, other in itertools.product(bases, repeat=2):
        yield f"{one(parts[0])}.{other(parts[1])}.{one(parts[2])}.{other(parts[3])}"
        yield f"{one(parts[0])}.{other(parts[1])}.{one(number & 0xFFFF)}"
        yield f"{one(parts[0])}.{other(number & 0xFF_FFFF)}"
    dotted = str(IPv4Address(number))
    yield from (base(number) for base in bases)
    yield from (f"{dotted}.", dotted.translate({n: n + 0xFEE0 for n in range(0x2E, 0x3A)}))
    yield "".join(f"%{ord(character):02x}" for character in dotted)


def _spellings_6(address: IPv6Address) -> Iterator[str]:
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    yield f"[{address}]"
    yield f"[{address.exploded.upper()}]"
    yield f"[{address.exploded[:30]}{last}]"


def vectors() -> Iterator[tuple[str, str]]:
    """Kind and host of each."""
    yield from (("spellings of this machine", host) for host in LOOPBACK)
    yield from ((NOT_A_HOST, host) for host in NO_HOST)
    yield from ((THIS_MACHINE, host) for host in LOCALHOST)
    yield from ((NO_NAME, host) for host in UNASKED)
    for number in (number for network in SPECIAL_4 for number in _samples(network)):
        yield from (("IPv4, special", host) for host in _spellings_4(number))
        for kind, around in EMBEDDINGS.items():
            yield from ((f"IPv4 within IPv6: {kind}", host) for host in _spellings_6(around(number)))
    for number in (number for network in SPECIAL_6 for number in _samples(network)):
        yield from (("IPv6, special", host) for host in _spellings_6(IPv6Address(number)))
    for number in _samples_outside():
        yield from (("IPv6, not given out", host) for host in _spellings_6(IPv6Address(number)))


def _samples_outside() -> Iterator[int]:
    """Of all that lies outside 2000::/3, but for NAT64, which may hold what is public."""
    for top in [*range(1, 0x20), *range(0x40, 0x100)]:
        yield from ((top << 120) + step for step in (1, 1 << 64, 1 << 100))


def host_of(text: str) -> str | None:
    """The host of the URL that has this for a host; None where that is no URL."""
    try:
        return urls.parse(f"http://{text}/").host
    except urls.UrlError:
        return None


def verdict(host: str | None, looked_up: dict[str, str]) -> str:
    """`refused` by the rule, `no URL`, or what became of a name."""
    if host is None:
        return "no URL"
    if host in looked_up:
        return looked_up[host]
    return "refused" if AddressRule().refuses(host) is not None else f"through as {host}"


def _is_literal(host: str) -> bool:
    """A name would be looked up, whatever the rule says of it as an address."""
    return ":" in host or host.rpartition(".")[2].isdigit()


async def _look_up(hosts: set[str]) -> dict[str, str]:
    """What the DNS stage makes of each name, with a server that would hear of it and that knows none."""
    with running_name_server() as server:
        lookup, said = NameServers(server.address), dict[str, str]()
        for host in hosts:
            try:
                found = await lookup(host)
                inside = all(AddressRule().refuses(address) for address in found.addresses)
                said[host] = "refused" if inside else f"through as {found.addresses}"
            except NotFoundError:
                said[host] = "no address"
            if server.asked:
                said[host] = f"asked for as {server.asked[0][0]}"
                server.asked.clear()
        lookup.close()
    return said


def through() -> list[tuple[str, str, str]]:
    """Kind, host and verdict of all that got through: those of which something else came than should."""
    hosts = {text: host_of(text) for _, text in vectors()}
    looked_up = asyncio.run(_look_up({host for host in hosts.values() if host is not None and not _is_literal(host)}))
    judged = [(kind, text, verdict(hosts[text], looked_up)) for kind, text in vectors()]
    return [each for each in judged if each[2] != {NOT_A_HOST: "no URL", NO_NAME: "no address"}.get(each[0], "refused")]


def main() -> int:
    """Try all, and say it."""
    tried, bad = dict[str, int](), through()
    for kind, _ in vectors():
        tried[kind] = tried.get(kind, 0) + 1
    for kind, count in tried.items():
        print(f"{kind:<44} {count:>6} tried  {sum(kind == each for each, _, _ in bad):>3} through")
    print(f"{'all':<44} {sum(tried.values()):>6} tried  {len(bad):>3} through")
    for _, host, said in bad:
        print(f"  {host!r}: {said}")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
