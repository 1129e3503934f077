"""The parts of a host as Common Crawl's index has them: labels from the right, suffixes, domains."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


class HostParts(NamedTuple):
    """Columns of the index, in its order, each without its `url_host_`.

    Of an address all but the name is None; a suffix or a domain is where the public suffix list has none.
    """

    name: str
    tld: str | None = None
    second_last_part: str | None = None
    third_last_part: str | None = None
    fourth_last_part: str | None = None
    fifth_last_part: str | None = None
    registry_suffix: str | None = None
    registered_domain: str | None = None
    private_suffix: str | None = None
    private_domain: str | None = None
    name_reversed: str | None = None


@functools.lru_cache(maxsize=65_536)
def host_parts(host: str) -> HostParts:
    """The parts of a normalised host (`urls.Url.host`)."""
    if ":" in host:
        return HostParts(f"[{host}]")
    name = host.removesuffix(".")
    labels = name.split(".")[::-1]
    if labels[0].isdigit():  # then it is an IPv4 address (WHATWG URL Standard, §3.5)
        return HostParts(name)
    registry, private = _lists()
    first, second, third, fourth, fifth = [*labels, None, None, None, None][:5]
    return HostParts(
        name,
        first,
        second,
        third,
        fourth,
        fifth,
        registry.publicsuffix(name),
        registry.privatesuffix(name),
        private.publicsuffix(name),
        private.privatesuffix(name),
        ".".join(labels),
    )


@functools.cache
def _lists() -> tuple[PublicSuffixList, PublicSuffixList]:
    """The suffixes of registries alone, and with those under which others hand out names."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True), PublicSuffixList(accept_unknown=False)
