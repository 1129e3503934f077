"""Which addresses may be fetched from: public ones, and what the user opened.

The table follows the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), the multicast and the
reserved space. The standard library's `is_global` is not enough: it answers True for `64:ff9b::7f00:1`,
`2002:7f00:1::` and `224.0.0.1` in some of the versions that we run on.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

# The most specific network stands first where one is a part of another.
_SPECIAL = {
    "0.0.0.0/8": "this network",  # RFC 791 §3.2
    "10.0.0.0/8": "private use",  # RFC 1918
    "100.100.100.200/32": "cloud metadata",  # Alibaba Cloud's, in the shared space
    "100.64.0.0/10": "shared address space of carriers",  # RFC 6598
    "127.0.0.0/8": "loopback",  # RFC 1122 §3.2.1.3
    "168.63.129.16/32": "cloud metadata",  # Azure's wire server, a public number that never leaves the host
    "169.254.169.254/32": "cloud metadata",
    "169.254.0.0/16": "link local",  # RFC 3927
    "172.16.0.0/12": "private use",  # RFC 1918
    "192.0.0.0/24": "IETF protocol assignments",  # RFC 6890 §2.1
    "192.0.2.0/24": "documentation",  # RFC 5737
    "192.31.196.0/24": "AS112",  # RFC 7535
    "192.52.193.0/24": "automatic multicast tunneling",  # RFC 7450
    "192.88.99.0/24": "6to4 relay",  # RFC 7526
    "192.168.0.0/16": "private use",  # RFC 1918
    "192.175.48.0/24": "AS112",  # RFC 7534
    "198.18.0.0/15": "benchmarking",  # RFC 2544
    "198.51.100.0/24": "documentation",  # RFC 5737
    "203.0.113.0/24": "documentation",  # RFC 5737
    "224.0.0.0/4": "multicast",  # RFC 5771
    "255.255.255.255/32": "broadcast",  # RFC 919
    "240.0.0.0/4": "reserved",  # RFC 1112 §4
    "::/128": "unspecified",  # RFC 4291 §2.5.2
    "::1/128": "loopback",  # RFC 4291 §2.5.3
    "::ffff:0:0:0/96": "IPv4-translated",  # RFC 2765 §2.1
    "64:ff9b:1::/48": "local-use NAT64",  # RFC 8215
    "100::/64": "discard only",  # RFC 6666
    "100:0:0:1::/64": "dummy prefix",  # RFC 9780
    "2001::/32": "Teredo",  # RFC 4380
    "2001:2::/48": "benchmarking",  # RFC 5180
    "2001:10::/28": "ORCHID",  # RFC 4843
    "2001:20::/28": "ORCHIDv2",  # RFC 7343
    "2001:30::/28": "drone remote identification",  # RFC 9374
    "2001::/23": "IETF protocol assignments",  # RFC 2928
    "2001:db8::/32": "documentation",  # RFC 3849
    "2620:4f:8000::/48": "AS112",  # RFC 7534
    "3fff::/20": "documentation",  # RFC 9637
    "5f00::/16": "segment routing",  # RFC 9602
    "fd00:ec2::254/128": "cloud metadata",
    "fc00::/7": "unique local",  # RFC 4193
    "fe80::/10": "link local",  # RFC 4291 §2.5.6
    "fec0::/10": "site local",  # RFC 3879
    "ff00::/8": "multicast",  # RFC 4291 §2.7
}
_TABLE: tuple[tuple[_Network, str], ...] = tuple((ip_network(net), name) for net, name in _SPECIAL.items())
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_TEREDO = IPv6Network("2001::/32")
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 §2.5.5.1
_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291 §2.5.5.2
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214 §6.1


class AddressRule:
    """Which addresses may be connected to. Raises ValueError for an `allow_net` that is no network."""

    def __init__(self, allow_private: bool = False, allow_net: tuple[str, ...] = ()) -> None:
        self._allow_private = allow_private
        self._allow_net = tuple(_unmapped_network(ip_network(net, strict=False)) for net in allow_net)
        self._judged = functools.lru_cache(maxsize=65_536)(self._judge)

    def refuses(self, address: str) -> str | None:
        """Why `address` is refused, as a phrase, or None.

        An IPv4 address within an IPv6 one (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) is
        judged too: refused like itself, and opened where `allow_net` holds it. `allow_private` opens all that
        is an address; what is none, and one with a zone id, is always refused.
        """
        return self._judged(address)

    def _judge(self, text: str) -> str | None:
        try:
            address = ip_address(text)
        except ValueError:
            return "not an IP address"
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return "an address with a zone id"
            address = address.ipv4_mapped or address
        if self._allow_private:
            return None
        inner = tuple(_embedded(address)) if isinstance(address, IPv6Address) else ()
        for each in inner:
            reason = self._refused(each)
            if reason is not None:
                return f"holds {each}, {reason}"
        if any(self._is_opened(each) for each in inner):
            return None
        return self._refused(address)

    def _refused(self, address: _Address) -> str | None:
        return None if self._is_opened(address) else _special(address)

    def _is_opened(self, address: _Address) -> bool:
        return any(address in network for network in self._allow_net)


def _special(address: _Address) -> str | None:
    """The special purpose of an address, or None for a public one."""
    for network, name in _TABLE:
        if address in network:
            return f"{name} ({network})"
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST and address not in _NAT64:
        return "reserved (outside 2000::/3)"
    return None


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address (none that is mapped) carries: where its packets may end up."""
    number = int(address)
    last = number & 0xFFFF_FFFF
    if number > 1 and any(address in network for network in (_COMPATIBLE, _TRANSLATED, _NAT64)):
        yield IPv4Address(last)  # :: and ::1 carry none
    elif address in _NAT64_LOCAL:
        yield _local_nat64(number)
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address in _TEREDO:
        yield IPv4Address(number >> 64 & 0xFFFF_FFFF)  # the server (RFC 4380 §4)
        yield IPv4Address(last ^ 0xFFFF_FFFF)  # the client, its bits inverted
    if number >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(last)


def _local_nat64(number: int) -> IPv4Address:
    """RFC 6052 §2.2: behind a /48 the address goes around bits 64 to 71, zeros follow; else it is last."""
    if number & 0xFF_FFFF_FFFF:
        return IPv4Address(number & 0xFFFF_FFFF)
    return IPv4Address((number >> 64 & 0xFFFF) << 16 | (number >> 40 & 0xFFFF))


def _unmapped_network(network: _Network) -> _Network:
    """A network of mapped addresses as the IPv4 network that it is: `::ffff:10.0.0.0/104` is 10.0.0.0/8."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return network
