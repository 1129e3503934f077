"""Which addresses may be fetched from."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import urls
from crawler.addresses import AddressRule

_SPECIAL = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
    "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1",
    "192.168.0.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::2", "::ffff:0:8.8.8.8", "64:ff9b:1::8.8.8.8", "64:ff9b:2::1", "100::1", "100:0:0:1::1",
    "2001::1", "2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1",
    "2001:30::1", "2001:db8::1", "2620:4f:8000::1", "3fff::1", "3fff:fff::1", "4000::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe00::1", "fe80::1", "febf::1", "fec0::1", "feff::1", "ff02::1", "ffff::1",
    "::ffff:127.0.0.1", "::ffff:a00:1", "::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::127.0.0.1", "64:ff9b:1:7f00:0:100::",
    "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1", "2001:0:7f00:1::f7f7:f7f7",
    "2001:0:808:808::80ff:fffe", "2a00:1450::5efe:10.0.0.1", "2a00:1450::200:5efe:7f00:1",
    "2002:808:808::5efe:127.0.0.1",
]  # fmt: skip
_PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255",
    "128.0.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.167.255.255", "192.169.0.1",
    "198.17.255.255", "198.20.0.1", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2001:db9::1",
    "2606:4700::1111", "2a00:1450::1", "3ffe:ffff::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
    "2002:808:808::1", "2a00:1450::5efe:8.8.8.8",
]  # fmt: skip
_WIDE = "127.0.0.1".translate({code: code - 0x20 + 0xFF00 for code in range(0x21, 0x7F)})  # full-width forms
_NO_ADDRESS = [
    "",
    "localhost",
    "1",
    "127.1",
    "0x7f.0.0.1",
    "127.0.0.01",
    "1.2.3.4.5",
    "[::1]",
    "::1 ",
    "1.2.3.4/32",
]


@pytest.mark.parametrize("address", _SPECIAL)
def test_refuses_special(address: str) -> None:
    """An address with a special purpose, or with one inside it, is refused, and the reason is one line."""
    reason = AddressRule(False, ()).refuses(address)
    assert reason is not None
    assert reason.isprintable()


@pytest.mark.parametrize("address", _PUBLIC)
def test_allows_public(address: str) -> None:
    """An ordinary public address is allowed, and so is one that holds a public IPv4 address."""
    assert AddressRule(False, ()).refuses(address) is None


@pytest.mark.parametrize("address", [*_NO_ADDRESS, "fe80::1%eth0", "::1%1", "2a00:1450::1%eth0"])
@pytest.mark.parametrize("allow_private", [False, True])
def test_refuses_what_is_none(address: str, allow_private: bool) -> None:
    """What is no address, or has a zone id, is refused whatever is allowed."""
    assert AddressRule(allow_private, ("0.0.0.0/0", "::/0")).refuses(address) is not None


@pytest.mark.parametrize("address", _SPECIAL)
def test_allow_private(address: str) -> None:
    """`allow_private` opens everything that is an address."""
    assert AddressRule(True, ()).refuses(address) is None


@pytest.mark.parametrize(
    ("net", "opened", "closed"),
    [
        (
            "10.0.0.0/8",
            ["10.1.2.3", "::ffff:10.1.2.3", "::10.1.2.3", "64:ff9b::10.1.2.3"],
            ["127.0.0.1", "::1"],
        ),
        ("10.0.0.0/8", ["2002:a01:203::1", "64:ff9b:1::10.1.2.3", "fe80::5efe:10.1.2.3"], ["192.168.0.1"]),
        ("10.0.0.0/8", ["2001:0:808:808::f5fe:fdfc"], ["2001:0:7f00:1::f5fe:fdfc", "2001::1"]),
        ("10.1.2.3/8", ["10.255.0.1"], ["11.0.0.1.1"]),
        ("::1/128", ["::1"], ["::", "127.0.0.1", "::2"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["127.0.0.1"]),
        ("fd00::/8", ["fd00::1", "fd00:ec2::254"], ["fd00::5efe:127.0.0.1", "fc00::1"]),
        ("64:ff9b:1::/48", ["64:ff9b:1::8.8.8.8", "64:ff9b:1:808:8:800::"], ["64:ff9b:1::10.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]),
    ],
)
def test_allow_net(net: str, opened: list[str], closed: list[str]) -> None:
    """A network opens its addresses, also inside an IPv6 one, and no other that stands beside them in it."""
    rule = AddressRule(False, (net,))
    assert [None] * len(opened) == [rule.refuses(address) for address in opened]
    assert None not in [rule.refuses(address) for address in closed]


def test_bad_network() -> None:
    """What is no network is an error when the rule is made."""
    with pytest.raises(ValueError, match="10/8"):
        AddressRule(False, ("10/8",))


@given(st.ip_addresses())
def test_is_stricter_than_the_library(address: IPv4Address | IPv6Address) -> None:
    """Nothing is allowed that the library knows to be special, but what is judged by its inner address."""
    judged_inside = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.sixtofour)
    if AddressRule(False, ()).refuses(str(address)) is None and not judged_inside:
        assert address.is_global


@given(st.ip_addresses(v=4))
def test_carries_the_inner_reason(inner: IPv4Address) -> None:
    """An IPv6 address around an IPv4 one is refused where that one is."""
    rule, number = AddressRule(False, ()), int(inner)
    around = [0x0064FF9B << 96 | number, 0xFFFF << 32 | number, 0x2002 << 112 | number << 80 | 1]
    for outer in map(IPv6Address, around):
        assert (rule.refuses(str(inner)) is None) == (rule.refuses(str(outer)) is None)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7F.1", "0177.0.0.1",
        "0x7f.0x0.0x0.0x1", "127.0.0.1.", "①②⑦.⓪.⓪.①", _WIDE, "127。0。0。1", "127.0.0.1%2e",
        "%31%32%37.0.0.1", "0", "0x0", "00000000000", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "169.254.169.254", "2852039166", "0xA9FEA9FE",
        "0251.0376.0251.0376", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "10.1", "192.168.257",
        "user:pw@127.0.0.1", "8.8.8.8@127.0.0.1", "127.0.0.1\\@8.8.8.8", "127.0.0.1#@8.8.8.8",
        "127.0.0.1?@8.8.8.8", "127.0.0.1:80", "1\u00ad27.0.0.1",
    ],
)  # fmt: skip
def test_no_spelling_gets_through(host: str) -> None:
    """However a private address is spelled in a URL, the host that is connected to is judged, and refused."""
    assert AddressRule(False, ()).refuses(urls.parse(f"http://{host}/").host) is not None


@pytest.mark.parametrize("host", ["256.0.0.1", "0x100000000", "127.0.0.0x100", "1.2.3.4.5", "08.0.0.1", "[::1%25lo]"])
def test_impossible_spellings(host: str) -> None:
    """A host that ends in a number is an IPv4 address or no URL: it never becomes a name to look up."""
    with pytest.raises(urls.UrlError):
        urls.parse(f"http://{host}/")


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{0}", "0x{0:x}", "0{0:o}"]))
def test_numbers_are_addresses(number: int, spelling: str) -> None:
    """A number in any base is judged like the dotted address that it stands for."""
    rule, host = AddressRule(False, ()), urls.parse(f"http://{spelling.format(number)}/").host
    assert rule.refuses(str(ip_address(number))) == rule.refuses(host)
