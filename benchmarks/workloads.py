"""What is fetched: six lists, each with the origin that serves it and what every entry of it must bring."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator
from pathlib import Path

from benchmarks.origin import EVERYWHERE, Origin, started_origin
from benchmarks.site import PAGE_BYTES, wild_kind

_WAIT_S = 2
_WAIT_BYTES = 1024
_PARSED_BYTES = 65_536
_WILD_MISSED = frozenset(("missing", "broken", "dropped", "oversized"))


@dataclasses.dataclass(frozen=True, slots=True)
class Workload:
    """A list of URLs.

    `path` is that of entry N on its host, and ends with N: files are named by it. `hosts` is how many loopback
    addresses the entries go round. `flags` are what `crawl run` needs to send what the others send; `size` is that
    of a good page in bytes. `urls`, `procs` and `conc` (in flight a process) are what is measured if nothing is said.
    """

    name: str
    title: str
    path: str
    urls: int
    flags: tuple[str, ...]
    hosts: int = 1
    size: int = PAGE_BYTES
    procs: int = 2
    conc: int = 64
    tls: bool = False
    parses: bool = False
    wild: bool = False
    wait_s: float = 0.0

    def lines(self, origin: Origin, count: int) -> Iterator[str]:
        """The URLs of the first `count` entries."""
        scheme = "https" if self.tls else "http"
        for number in range(count):
            yield f"{scheme}://{_address(number % self.hosts)}:{origin.port}{self.path.format(number)}"

    def good(self, count: int) -> int:
        """How many of the first `count` entries are good pages: 2xx and whole."""
        return sum(map(self.is_good, range(count))) if self.wild else count

    def is_good(self, number: int) -> bool:
        """Whether an entry is a good page."""
        return not self.wild or wild_kind(number) not in _WILD_MISSED


_PLAIN = ("--no-robots", "--allow-net", "127.0.0.0/8", "--per-host", "0")

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("near", "one host, keep-alive, pages of 8 KB", "/page/{}", 20_000, _PLAIN),
        Workload(
            "hosts",
            "10,000 hosts, a new connection each, pages of 8 KB",
            "/close/{}",
            20_000,
            ("--no-robots", "--allow-net", "127.0.0.0/8"),
            hosts=10_000,
        ),
        Workload("tls", "a new TLS 1.3 handshake each, own CA", "/close/{}", 5_000, _PLAIN, hosts=64, tls=True),
        Workload(
            "patient",
            "2 s before the first byte, pages of 1 KB",
            f"/wait/{_WAIT_S}/{{}}?size={_WAIT_BYTES}",
            20_000,
            _PLAIN,
            hosts=16,
            size=_WAIT_BYTES,
            conc=1000,
            wait_s=_WAIT_S,
        ),
        Workload(
            "wild",
            "a mix: 404, 500, redirects, gzip, slow, dropped, oversized, robots.txt",
            "/wild/{}",
            5_000,
            ("--allow-net", "127.0.0.0/8", "--max-body", "256K", "--retries", "0"),
            hosts=64,
            wild=True,
        ),
        Workload(
            "cpu",
            "each page, of 64 KB, is parsed for milliseconds",
            f"/page/{{}}?size={_PARSED_BYTES}",
            2_000,
            _PLAIN,
            size=_PARSED_BYTES,
            parses=True,
        ),
    )
}


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One case: a workload's first `count` entries, how they are fetched, and where what comes of them goes.

    `urls` is the list, a URL a line; `out` is a folder that is empty, on the same file system for all; `ca` is the
    certificate to trust, in PEM.
    """

    workload: Workload
    urls: Path
    out: Path
    count: int
    procs: int
    conc: int
    ca: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What makes each of the usual libraries trust `ca`."""
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if self.ca else ()
        return dict.fromkeys(names, str(self.ca))


@contextlib.contextmanager
def serving(workload: Workload, folder: Path, procs: int) -> Iterator[tuple[Origin, Path | None]]:
    """The workload's origin, for as long as the block lasts, and the certificate to trust; its files are in `folder`.

    Raises ModuleNotFoundError for a workload with TLS where the extra `bench` is not installed.
    """
    ca, key = _certificates(folder, workload.hosts) if workload.tls else (None, None)
    with started_origin(EVERYWHERE, procs=procs, tls=key) as origin:
        yield origin, ca


def _address(number: int) -> str:
    """The loopback address of a host by its number, below 16 million."""
    return f"127.{number // 62_500 + 1}.{number // 250 % 250}.{number % 250 + 1}"


def _certificates(folder: Path, hosts: int) -> tuple[Path, Path]:
    try:
        import trustme
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("This workload needs trustme: pip install 'crawler[bench]'.") from error
    authority = trustme.CA()
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)
    issued = authority.issue_cert(*map(_address, range(hosts)), not_after=until)
    ca, key = folder / "ca.pem", folder / "origin.pem"
    authority.cert_pem.write_to_path(str(ca))
    issued.private_key_and_cert_chain_pem.write_to_path(str(key))
    return ca, key
