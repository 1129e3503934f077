"""What tests share: a real origin server, one for each test process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import settings
from served import served

# A busy machine is no failure: every test has one time limit, pytest's.
settings.register_profile("crawler", deadline=None)
settings.load_profile("crawler")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: two a core, but for very many; half of a test's time waits for real peers and leases."""
    cores = len(os.sched_getaffinity(0))
    return cores + min(cores, 8)


ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""Where the origin listens; nobody does on any other loopback address."""

_NAMES = ("pinned.test", "localhost", "127.0.0.1")


class Origin:
    """The running origin (`tests/origin.py` lists what it serves)."""

    def __init__(self, port: int, tls_port: int, certificate: Path) -> None:
        self.port = port
        self.tls_port = tls_port
        self.certificate = certificate

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The URL of a path, over plain HTTP."""
        return f"http://{host}:{self.port}{path}"

    def tls_url(self, path: str, host: str = "127.0.0.1") -> str:
        """The URL of a path, over TLS; nobody trusts its certificate, which names pinned.test and 127.0.0.1."""
        return f"https://{host}:{self.tls_port}{path}"

    def ask(self, path: str) -> bytes:
        """What the origin answers to a test's own request."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse().read()

    def hits(self, target: str) -> int:
        """How often a path (with its query) was requested."""
        return int(json.loads(self.ask("/_hits")).get(target, 0))

    def log(self, address: str) -> list[tuple[float, str]]:
        """When and for which target each request to an address came, in seconds on a clock of its own."""
        return [(moment, target) for moment, target in json.loads(self.ask(f"/_log/{address}"))]

    def stats(self) -> dict[str, Any]:
        """`requests`, `in_flight`, `most_in_flight`, `connections` made so far and `open`, the asking one included."""
        stats: dict[str, Any] = json.loads(self.ask("/_stats"))
        return stats

    def release(self, key: str) -> None:
        """Let `/hold/KEY` answer."""
        self.ask(f"/release/{key}")


@contextlib.contextmanager
def running_origin(folder: Path, addresses: Sequence[str] = ADDRESSES) -> Iterator[Origin]:
    """An origin as a child process; it ends when its standard input does."""
    authority = trustme.CA()
    issued = authority.issue_cert(*_NAMES)
    root, cert, key = (folder / name for name in ("root.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(root)
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    options = ["--addresses", ",".join(addresses), "--cert", str(cert), "--key", str(key)]
    with served([sys.executable, str(Path(__file__).with_name("origin.py")), *options]) as line:
        ports = json.loads(line)
        yield Origin(ports["port"], ports["tls_port"], root)


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """The origin server, for as long as this test process lives."""
    with running_origin(tmp_path_factory.mktemp("origin")) as running:
        yield running
