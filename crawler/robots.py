"""What a robots.txt says to us (RFC 9309): bytes in, rules out.

Which lines are for us is read here, as §2.2.1 has it: groups, product tokens, records that nobody knows. What a path
pattern matches (§2.2.2: the longest wins, `*`, `$`, percent-encoding) is Protego's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from protego import Protego

LIMIT_BYTES = 512 * 1024
"""How much of a robots.txt is read; RFC 9309 §2.5 asks for 500 KiB at least."""
CRAWL_DELAY_MOST_S = 30.0
"""The longest `Crawl-delay` that is honoured (no RFC has it; many sites do)."""

_DISALLOW = "disallow dissallow dissalow disalow diasllow disallaw"  # as they are misspelt, and meant
_KINDS = {name.encode(): "Disallow" for name in _DISALLOW.split()} | {
    b"allow": "Allow",
    b"crawl-delay": "Crawl-delay",
    b"user-agent": "User-agent",
    b"useragent": "User-agent",
    b"user agent": "User-agent",
}
_TOKEN = re.compile(r"[a-z_-]+", re.IGNORECASE)
_UNPRINTABLE = re.compile(rb"[^\x21-\x7e]")
_LINE_ENDS = re.compile(rb"\r\n?|\n")
_WORK_MOST = 200_000_000  # about 0.2 s for the worst patterns that were tried


class Rules:
    """The rules of one origin for one crawler.

    `crawl_delay` is in seconds, at most `CRAWL_DELAY_MOST_S`; `count` is the number of rules, which are what takes
    memory.
    """

    __slots__ = ("_protego", "_wild_bytes", "count", "crawl_delay")

    def __init__(self, records: list[tuple[str, str]]) -> None:
        paths = [value for kind, value in records if kind != "Crawl-delay" and value]
        lines = ["User-agent: *", *(f"{kind}: {value}" for kind, value in records)]
        found = Protego.parse("\n".join(lines)) if records else None
        self.crawl_delay = min(found.crawl_delay("*") or 0.0, CRAWL_DELAY_MOST_S) if found is not None else 0.0
        self.count = len(paths)
        self._protego = found if paths else None
        self._wild_bytes = sum(len(path) for path in paths if "*" in path)

    def refusal(self, url: str) -> str | None:
        """Why the normalised `url` may not be fetched, as a sentence; None where it may.

        A URL so long that so many patterns would take a worker's time is refused rather than judged.
        """
        if self._protego is None:
            return None
        if self._wild_bytes * len(url) > _WORK_MOST:
            return "robots.txt has too many patterns to judge a URL of this length."
        return None if self._protego.can_fetch(url, "*") else "robots.txt disallows this URL."


NO_RULES = Rules([])
"""Everything may be fetched: there is no robots.txt (RFC 9309 §2.3.1.3), or none that says anything to us."""


def product_token(user_agent: str) -> str:
    """What a robots.txt calls us: the letters, `-` and `_` that the User-Agent begins with; may be empty.

    RFC 9309 §2.2.1. Compared in lower case.
    """
    match = _TOKEN.match(user_agent)
    return match[0].lower() if match else ""


def parse(data: bytes, token: str, *, cut: bool = False) -> Rules:
    """The rules that `data` has for the crawler with this product token, else those for all; never raises.

    `cut` where it is only the beginning of a robots.txt: then its last line is none, as half a path is another path.
    """
    lines = _LINE_ENDS.split(data.removeprefix(b"\xef\xbb\xbf"))
    groups = _groups(lines[:-1] if cut else lines, token)
    records = groups.get(token) if token in groups else groups.get("*")
    return Rules(records) if records else NO_RULES


def _groups(lines: list[bytes], token: str) -> dict[str, list[tuple[str, str]]]:
    """The records of all groups that name us, and of all that name everybody (`*`), in their order.

    Lines that are no records that we know are as if they were not there: they end no group.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    named: set[str] = set()
    in_head = False
    for kind, value in _records(lines):
        if kind == "User-agent":
            named = named if in_head else set()
            in_head = True
            agent = "*" if value == "*" else product_token(value)
            if agent and agent in (token, "*"):
                named.add(agent)
                groups.setdefault(agent, [])
            continue
        in_head = in_head and kind == "Crawl-delay"
        for agent in named:
            groups[agent].append((kind, value))
    return groups


def _records(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    """Kind and value of each line that has one, the value as printable ASCII.

    Every other octet is percent-encoded, whatever encoding it was meant in: that is how it stands in a URL.
    """
    for line in lines:
        text = line.partition(b"#")[0].strip()
        for separator in (b":", None):  # some forget the colon
            name, *rest = text.split(separator, 1) or [b""]
            kind = _KINDS.get(name.strip().lower())
            if kind is not None:
                value = rest[0].strip() if rest else b""
                yield kind, _UNPRINTABLE.sub(lambda octet: b"%%%02X" % octet[0][0], value).decode("ascii")
                break
