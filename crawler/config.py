"""One validated, frozen configuration of a crawl, and for each field whether it is identity or tuning.

*Identity* is what is fetched and how it is recorded: it must match when a crawl is resumed. *Tuning* is how it
is done (processes, concurrency, engine): it may differ from run to run.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import ipaddress
import math
import os
import re
from pathlib import Path
from typing import Any, Literal

from crawler.errors import ConfigError
from crawler.function import ByValue, check_name, label
from crawler.headers import TOKEN
from crawler.proxy import parse_proxy
from crawler.version import __version__

Kind = Literal["identity", "tuning"]
FORMATS = ("txt", "csv", "tsv", "jsonl", "parquet")
ENGINES = ("auto", "curl", "asyncio", "gevent", "threads", "serial")
_HOSTS_AT_ONE_ADDRESS = 4
USER_AGENT = f"crawler/{__version__} (bulk fetcher; respects per-host limits)"


def available_cores() -> int:
    """The cores that the affinity mask and the cgroup quota grant, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, -(-int(quota) // int(period))))


def parse_size(text: str) -> int:
    """Bytes from `16M`, `64K`, `1G` or a plain number; raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+)\s*([KMG]?)i?B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text!r} is no size such as 500K, 16M or 1G")
    return int(match[1]) << 10 * "_KMG".index(match[2].upper() or "_")


def parse_names(text: str) -> tuple[str, ...]:
    """The names in a text such as `id, label`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _field(default: Any, kind: Kind, help_text: str) -> Any:
    metadata = {"kind": kind, "help": help_text}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CrawlConfig:
    """Every setting of a crawl, validated when it is made; raises ConfigError.

    The flags of `crawl run` and the keyword arguments of the library have the names and defaults of these fields.
    """

    procs: int = _field(available_cores, "tuning", "worker processes at most, started as chunks arrive")
    conc: int = _field(128, "tuning", "requests in flight in one process")
    engine: str = _field("auto", "tuning", "who does the exchanges")
    chunk_size: int = _field(1000, "tuning", "entries in a chunk at most")
    per_host: int = _field(4, "tuning", "requests in flight to one host; 0 lifts the limit")
    per_address: int | None = _field(
        None, "tuning", "requests in flight to one address, a process; 0 lifts the limit (default: 4 times --per-host)"
    )
    delay: float = _field(0.0, "tuning", "seconds between requests to one host")
    robots: bool = _field(True, "identity", "obey each site's robots.txt (RFC 9309), its Crawl-delay up to 30 s")
    max_time: float = _field(60.0, "identity", "seconds of exchange for one URL, redirects and retries included")
    connect_timeout: float = _field(10.0, "identity", "seconds to connect, TLS handshake included")
    min_speed: int = _field(100, "identity", "bytes a second that a body must bring, over 10 s; 0 lifts it")
    max_body: int = _field(16 * 1024**2, "identity", "bytes of a body that are kept, as 500K, 16M or 1G")
    max_redirects: int = _field(10, "identity", "redirects that are followed")
    retries: int = _field(2, "identity", "further tries after a failure that can pass")
    method: str = _field("GET", "identity", "the request method of every entry")
    resolver: str | None = _field(None, "tuning", "the DNS server to ask, as 192.0.2.53:53; else the system's")
    header: tuple[tuple[str, str], ...] = _field((), "identity", "a header field for every request, as 'Name: value'")
    proxy: str | None = _field(None, "identity", "the HTTP proxy to go through, as http://[user:password@]host:port")
    user_agent: str = _field(USER_AGENT, "identity", "the User-Agent; say who you are and how to reach you")
    insecure: bool = _field(False, "identity", "accept any TLS certificate")
    http2: bool = _field(False, "tuning", "HTTP/2 with https sites that have it; engine curl only")
    allow_private: bool = _field(False, "identity", "fetch from private, loopback and reserved addresses too")
    allow_net: tuple[str, ...] = _field((), "identity", "fetch from this network too, as 10.0.0.0/8")
    accept_type: tuple[str, ...] = _field((), "identity", "media types to keep, as text/html,text/*; others are denied")
    format: str | None = _field(
        None, "identity", "how the list is written, where its name does not tell: txt, csv, tsv, jsonl or parquet"
    )
    column: str = _field("url", "identity", "the column with the URLs; a number where a table has no header")
    carry: tuple[str, ...] = _field((), "identity", "columns to carry into each row's extra, as id,label")
    keep_duplicates: bool = _field(False, "identity", "fetch an entry again for each time that it stands in the list")
    no_bodies: bool = _field(False, "identity", "record the rows alone, without an archive")
    parse: str | ByValue | None = _field(  # noqa: RUF009 - as in every other field
        None, "identity", "call this function with each page, as module:function; its result goes to the row's parsed"
    )
    previous: str | None = _field(
        None, "identity", "the folder of the crawl before this one: ask servers for what has changed since"
    )
    parse_timeout: float = _field(30.0, "tuning", "seconds that it may take for one page; then its worker is ended")

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            check_range(name, getattr(self, name), least, most)
        if self.engine not in ENGINES:
            raise ConfigError(f"There is no engine {self.engine!r}; choose one of {', '.join(ENGINES)}.")
        _check_engine(self.engine, http2=self.http2)
        if self.format not in (None, *FORMATS):
            raise ConfigError(f"There is no format {self.format!r}; choose one of {', '.join(FORMATS)}.")
        for name in ("column", "proxy", "previous"):
            _check_text(name, getattr(self, name))
        if not self.column:
            raise ConfigError("column is empty; name the column with the URLs.")
        if not TOKEN.fullmatch(self.method):
            raise ConfigError(f"{self.method!r} is no request method; write one such as GET or HEAD.")
        for name, value in (*self.header, ("User-Agent", self.user_agent)):
            check_header(name, value)
        for pattern in self.accept_type:
            _check_media_type(pattern)
        for net in self.allow_net:
            _check_network(net)
        if self.resolver is not None:
            _check_resolver(self.resolver)
        if self.proxy is not None:
            parse_proxy(self.proxy)
        if isinstance(self.parse, str):
            check_name(self.parse)

    @property
    def places_at_one_address(self) -> int:
        """How many requests may be in flight from one process to one address; 0 is no limit.

        Many names share a machine, and none of them knows of the others: by default four of them get all that is
        theirs, and a limit that is lifted for hosts is lifted for their machines. Behind a proxy it is none: the only
        address that is connected is the proxy's.
        """
        if self.proxy is not None:
            return 0
        return _HOSTS_AT_ONE_ADDRESS * self.per_host if self.per_address is None else self.per_address

    @property
    def _place_of_previous(self) -> str | None:
        return None if self.previous is None else os.path.abspath(self.previous)  # noqa: PTH100 - links stay as they are

    def identity(self) -> dict[str, Any]:
        """The fields that must match when a crawl is resumed, by name."""
        fields = (field.name for field in dataclasses.fields(self) if field.metadata["kind"] == "identity")
        own = {"parse": label(self.parse), "previous": self._place_of_previous}
        return {name: getattr(self, name) for name in fields} | own


LONGEST_S = 10_000_000
"""Seconds, of whatever lasts: four months."""

# What is more than these is a slip, or meant as no limit; machines and libraries have theirs not far beyond.
_MANY = 1_000_000
_RANGES: dict[str, tuple[float, float]] = {
    "procs": (1, 10_000),
    "conc": (1, _MANY),
    "chunk_size": (1, _MANY),
    "per_host": (0, _MANY),
    "per_address": (0, _MANY),
    "delay": (0, LONGEST_S),
    "max_time": (0.001, LONGEST_S),
    "connect_timeout": (0.001, LONGEST_S),
    "min_speed": (0, 1 << 40),
    "max_body": (1, 1 << 31),
    "max_redirects": (0, 1_000),
    "retries": (0, _MANY),
    "parse_timeout": (0.001, LONGEST_S),
}


def check_range(name: str, value: float | None, least: float, most: float) -> None:
    """Raise ConfigError where a number is given that has no meaning, or no machine could follow."""
    if value is None:
        return
    if not least <= value < math.inf:
        raise ConfigError(f"{name} is {value}, but must be at least {least} and finite.")
    if value > most:
        raise ConfigError(f"{name} is {value}, but must be at most {most:,}.")


def _check_engine(name: str, *, http2: bool) -> None:
    """Raise ConfigError where the engine cannot do it; pycurl itself is not loaded to know."""
    has_curl = importlib.util.find_spec("pycurl") is not None
    if name == "curl" and not has_curl:
        raise ConfigError("The engine curl needs pycurl; install it with: pip install pycurl")
    if http2 and not has_curl:
        raise ConfigError("--http2 needs pycurl; install it with: pip install pycurl")
    if http2 and name not in ("auto", "curl"):
        raise ConfigError(f"--http2 is not for the engine {name}; leave out --engine, or choose --engine curl.")


def check_header(name: str, value: str) -> None:
    """Raise ConfigError where a header field could not be sent (RFC 9110 §5.1 and §5.5), or is for a proxy alone.

    Values are ASCII: beyond it the libraries disagree on the bytes, and servers on their meaning.
    """
    if not TOKEN.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a header field; write --header 'Name: value'.")
    if name.lower() == "proxy-authorization":
        raise ConfigError(
            "A header field Proxy-Authorization would reach the sites; name the proxy with --proxy "
            "http://user:password@host:port instead."
        )
    if re.search(r"[^\t\x20-\x7e]", value):
        raise ConfigError(
            f"The value of the header field {name!r} holds a character that cannot be sent; use ASCII only."
        )


def _check_media_type(pattern: str) -> None:
    """Raise ConfigError for a pattern that no media type fits, which have no parameters here (RFC 9110 §8.3.1)."""
    if not re.fullmatch(r"[^\s;,/]+/[^\s;,/]+|[^\s;,/]*\*[^\s;,/]*", pattern):
        raise ConfigError(f"{pattern!r} is no media type; write one such as text/html or text/*, without parameters.")


def _check_text(name: str, value: str | None) -> None:
    """Raise ConfigError where it is not UTF-8, which it must be to travel."""
    try:
        (value or "").encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is {value!r}, which is not UTF-8; use a name that is.") from error


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no network; write one such as 10.0.0.0/8 or fd00::/8.") from error


def _check_resolver(text: str) -> None:
    host, _, port = text.rpartition(":")
    bracketed = host[:1] + host[-1:] == "[]"
    try:
        version = ipaddress.ip_address(host.strip("[]")).version
        fits = version == (6 if bracketed else 4) and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(
            f"{text!r} is no DNS server; write its address and its port, as 192.0.2.53:53 or [2001:db8::53]:53."
        )
