"""`python tests/threats.py`: each threat of the open web, and the row that comes of it under each engine.

A case is an entry of a list, the settings it is fetched with, and the row that must come; `tests/test_threats.py` holds
every engine to them. Cases with the same settings are one call of `crawler.fetch`, through one real worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from conftest import Origin, running_origin
from hostile import DOOR, INSIDE, Hostile, running_hostile
from names import NameServer, first, holds, running_name_server
from test_engines import MALFORMED
from vectors import LOOPBACK, NO_HOST

import crawler
from crawler.escape import printable

ENGINES = ("curl", "asyncio", "threads", "gevent")
COLUMNS = ("outcome", "error_class", "truncated", "status")
PUBLIC_DOOR: dict[str, Any] = {"allow_net": (f"{DOOR}/32",)}
"""The door stands for the public network; all else is as in any crawl."""
BARE = {**PUBLIC_DOOR, "robots": False, "retries": 1, "max_body": 100_000}
HASTY = {**BARE, "retries": 0, "max_time": 3.0, "conc": 1}
DRIPPING = {**BARE, "retries": 0, "max_time": 1.0}

_OTHERS = ("127.0.0.3", "10.0.0.1", "192.168.257", "172.16.0.1", "169.254.169.254", "0251.0376.0251.0376",
           "2852039166", "100.100.100.200", "168.63.129.16", "[fd00:ec2::254]", "[fe80::1]", "[fc00::1]",
           "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "224.0.0.1",
           "255.255.255.255", "[ff02::1]", "localhost", "localhost.", "a.localhost", "a.localhost.")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class World:
    """Whom the cases talk to."""

    hostile: Hostile
    origin: Origin
    names: NameServer


@dataclasses.dataclass(frozen=True)
class Case:
    """One entry and its row: `outcome`, `error_class`, `truncated`, `status`; `by` is what single engines say instead.

    `path` follows the hostile server at `host`, or is a whole entry; `origin` says that it is the origin's.
    """

    threat: str
    path: str
    row: tuple[str, str | None, str | None, int | None]
    settings: dict[str, Any] = dataclasses.field(default_factory=lambda: BARE)
    host: str = DOOR
    origin: bool = False
    by: dict[str, tuple[str, str | None, str | None, int | None]] = dataclasses.field(default_factory=dict)

    def entry(self, world: World) -> str:
        """The line of the list."""
        path = self.path.replace("PORT", str(world.hostile.port))
        if self.origin:
            return world.origin.url(path, DOOR)
        return world.hostile.url(path, self.host) if path.startswith("/") else path

    def expected(self, engine: str) -> tuple[str, str | None, str | None, int | None]:
        """Its row under an engine."""
        return self.by.get(engine, self.row)


DENIED = ("denied", "blocked_address", None, None)
SCHEME = ("denied", "scheme", None, None)
INVALID = ("invalid", "invalid_url", None, None)
CUT = ("fetched", None, "length", 200)
FINE = ("fetched", None, None, 200)


def _failed(error_class: str, truncated: str | None = None, status: int | None = None) -> Any:
    return ("failed", error_class, truncated, status)


def _to(target: str) -> str:
    return "/go?to=" + quote(target, safe="", encoding="latin-1", errors="xmlcharrefreplace")


def _utf_8(target: str) -> str:
    """As its bytes stand in a header."""
    return _to(target.encode().decode("latin-1"))


_LITERALS = [*LOOPBACK, *_OTHERS]
_NAMED = {
    "v4.test": "A 127.0.0.1",
    "v6.test": "AAAA ::1",
    "mapped.test": "AAAA ::ffff:127.0.0.1",
    "compatible.test": "AAAA ::127.0.0.1",
    "nat64.test": "AAAA 64:ff9b::7f00:1",
    "sixtofour.test": "AAAA 2002:7f00:1::1",
    "teredo.test": "AAAA 2001:0:808:808::80ff:fffe",
    "link.test": "AAAA fe80::1",
    "private.test": "A 10.0.0.7",
    "metadata.test": "A 169.254.169.254",
    "zero.test": "A 0.0.0.0",
}
_NAMELESS = ("printer.local", "printer.local.", "x.onion", "x.invalid.", "127.0.0.1..", "localhost..")
NAMED = {**BARE, "resolver": "NAMES"}


def _malformed(path: str) -> Case:
    rows = {
        name: _failed(said) if isinstance(said, str) else ("fetched", None, None, said)
        for name in ENGINES
        for said in [MALFORMED[path].get(name, MALFORMED[path][""])]
    }
    if path.startswith("/bad-chunk"):
        rows = dict.fromkeys(ENGINES, _failed("protocol", "disconnect", 200))
    return Case("bytes that lie", path, rows["threads"], origin=True, by=rows, settings=ORIGINS)


ORIGINS = {**BARE, "conc": 4}

CASES = [
    *(Case("address in the list", "/echo", DENIED, PUBLIC_DOOR, host=host) for host in _LITERALS),
    *(Case("no host in the list", "/echo", INVALID, PUBLIC_DOOR, host=host) for host in NO_HOST),
    *(Case("address behind a redirect", _utf_8(f"http://{host}:PORT/echo"), DENIED) for host in _LITERALS),
    *(
        Case("no host behind a redirect", _to(f"http://{host}:PORT/echo"), _failed("redirect", None, 302))
        for host in ("[::1%25lo]", "256.0.0.1", "0x100000000", "1.2.3.4.5", "127.0.0.1%00", "127..1")
    ),
    *(Case("name that leads inside", "/echo", DENIED, NAMED, host=name) for name in _NAMED),
    *(Case("name that is none of the DNS", "/echo", _failed("dns"), NAMED, host=name) for name in _NAMELESS),
    Case("name that leads inside, behind a redirect", _to("http://v4.test:PORT/echo"), DENIED, NAMED),
    Case("name of both kinds: public one used", "/echo", FINE, NAMED, host="mixed.test"),
    Case("name that changes before the connection", "/echo", FINE, NAMED, host="rebound.test"),
    Case("name that changes before a retry", "/busy", DENIED, {**NAMED, "retries": 1}, host="rebinding.test"),
    *(
        Case("scheme in the list", text, SCHEME)
        for text in (
            "file:///etc/passwd",
            "ftp://127.0.0.2/",
            "gopher://127.0.0.2:70/_x",
            "data:text/html,x",
            "javascript:alert(1)",
            "dict://127.0.0.2:11211/stat",
            "ws://127.0.0.2/",
            "about:blank",
        )
    ),
    *(
        Case("scheme behind a redirect", _to(text), ("denied", "scheme", None, 302))
        for text in (
            "file:///etc/passwd",
            "FILE:/etc/passwd",
            "ftp://127.0.0.2/",
            "gopher://127.0.0.2:70/_x",
            "data:text/html,x",
            "javascript:alert(1)",
            "dict://127.0.0.2/",
            "view-source:http://127.0.0.2/",
            "jar:http://127.0.0.2!/",
            "unix:/run/x.sock",
            "http+unix://x/",
            "about:blank",
        )
    ),
    Case("1xx flood", "/1xx", _failed("protocol"), HASTY),
    Case("1xx flood", "/1xx-fields", _failed("protocol"), HASTY, by={"curl": _failed("headers_too_large")}),
    Case("endless status line", "/status-line", _failed("headers_too_large"), HASTY),
    Case("endless headers", "/fields", _failed("headers_too_large"), HASTY),
    Case("endless headers", "/field", _failed("headers_too_large"), HASTY),
    Case("endless trailers", "/trailers", _failed("headers_too_large", "disconnect", 200), HASTY),
    Case(
        "endless chunk extension",
        "/chunk-extension",
        _failed("protocol", "disconnect", 200),
        HASTY,
        by={name: _failed("timeout", "time", 200) for name in ("curl", "asyncio")},
    ),
    Case("endless body", "/body", CUT),
    Case("endless body", "/chunks", CUT),
    Case("slow drip", "/drip-1xx", _failed("timeout"), DRIPPING),
    Case("slow drip", "/drip-head", _failed("timeout"), DRIPPING),
    Case("slow drip", "/drip-body", _failed("timeout", "time", 200), DRIPPING),
    *(Case("bomb", f"/bomb/{name}", CUT) for name in ("gzip", "deflate", "br", "zstd", "gzip-gzip")),
    *(Case("ratio", f"/bomb/{name}", CUT, {**BARE, "max_body": 2**26}) for name in ("br", "zstd", "gzip-gzip")),
    Case("layers of coding", "/gzip-2", FINE),
    Case("layers of coding", "/gzip-5", FINE),
    Case("layers of coding", "/gzip-6", _failed("decode", None, 200)),
    Case("truncated gzip, right length", "/gzip-cut", _failed("decode", None, 200)),
    *map(_malformed, MALFORMED),
    Case("NUL bytes", "/nul-body", FINE),
    Case("NUL bytes", "/nul-field", _failed("protocol")),
    Case("NUL bytes", "http://127.0.0.2:PORT/a\0b", INVALID),
    Case("NUL bytes", _to("/echo?a\0b"), _failed("protocol")),
    Case("header injection by the list", "http://127.0.0.2:PORT/a\r\nX-Injected: yes", INVALID),
    Case("header injection by the list", "http://127.0.0.2:PORT/a HTTP/1.1\nX-Injected: yes\n\n", INVALID),
    Case("header injection by the list", "/echo?%0d%0aX-Injected:%20yes", FINE),
    Case("header injection by the list", "/echo?\u560d\u560aX-Injected:yes", FINE),
    Case("header injection by a redirect", _to("/echo?%0d%0aX-Injected:%20yes"), FINE),
    Case("header injection by a redirect", _utf_8("/echo?\u560d\u560aX-Injected:yes"), FINE),
    Case("header injection by a redirect", _utf_8("/echo?\u010d\u010aX-Injected:yes"), FINE),
    Case("header injection in an answer", "/bare-cr", _failed("protocol")),
    Case("a field of blanks", "/blanks", FINE),
    Case("a field of blanks", "/blanks-cr", _failed("protocol"), HASTY),
    Case("fields that are not UTF-8", "/no-utf-8", FINE),
    Case("reason that is not UTF-8", "/no-utf-8-reason", FINE),
    Case("control characters in fields", "/escapes", FINE),
]


def told(names: NameServer) -> None:
    """Give the zone its names anew: some change what they say."""
    names.zone = {name: holds(f"{name} 30 {record}") for name, record in _NAMED.items()}
    names.zone["mixed.test"] = holds(f"mixed.test 30 A {INSIDE}", f"mixed.test 30 A {DOOR}")
    for name in ("rebound.test", "rebinding.test"):
        names.zone[name] = first(holds(f"{name} 0 A {DOOR}"), 1, holds(f"{name} 0 A {INSIDE}"))


def run(world: World, engine: str) -> list[crawler.Page]:
    """All cases under one engine: the page of each."""
    told(world.names)
    found = dict[int, crawler.Page]()
    for settings in {id(case.settings): case.settings for case in CASES}.values():
        numbers = [number for number, case in enumerate(CASES) if case.settings is settings]
        given = {**settings, "procs": 1, "engine": engine, "keep_duplicates": True}
        if "resolver" in given:
            given["resolver"] = world.names.address
        pages = crawler.fetch([CASES[number].entry(world) for number in numbers], ordered=True, **given)
        found.update(zip(numbers, pages, strict=True))
    return [found[number] for number in range(len(CASES))]


def row(page: crawler.Page) -> tuple[str, str | None, str | None, int | None]:
    """What a case says of a page."""
    return page.outcome, page.error_class, page.row.truncated, page.status


@contextlib.contextmanager
def running() -> Iterator[World]:
    """Everybody whom the cases talk to, for a block."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="threats-")))
        origin = stack.enter_context(running_origin(folder, ("127.0.0.1", DOOR, "127.0.0.3")))
        yield World(stack.enter_context(running_hostile()), origin, stack.enter_context(running_name_server()))


def said(found: tuple[str, str | None, str | None, int | None]) -> str:
    """A row in few words."""
    return " ".join(str(word) for word in found if word is not None)


def main() -> int:
    """Print the table; exit status 1 where a row is another than the case says, or a packet went inside."""
    with running() as world:
        pages = {engine: run(world, engine) for engine in ENGINES}
        inside = {address: count for address, count in world.hostile.connections.items() if address != DOOR}
    wrong = 0
    print("| threat | case |", *(f"{engine} |" for engine in ENGINES))
    print("| --- | --- |", *("--- |" for _ in ENGINES))
    for number, case in enumerate(CASES):
        rows = [row(pages[engine][number]) for engine in ENGINES]
        bad = [case.expected(engine) != found for engine, found in zip(ENGINES, rows, strict=True)]
        wrong += sum(bad)
        cells = [said(found) + " (!)" * is_bad for found, is_bad in zip(rows, bad, strict=True)]
        where = "" if case.host == DOOR else f"{case.host!r} "
        print("| " + " | ".join([case.threat, f"`{where}{printable(case.path, 80)}`", *cells]) + " |")
    print(f"\n{len(CASES)} cases, {wrong} rows that are wrong, connections to denied addresses: {sum(inside.values())}")
    return int(bool(wrong or inside))


if __name__ == "__main__":
    sys.exit(main())
