"""The benchmarks measure what they say: their origin serves the right bytes, and all of them run to their end."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import warcio
from hypothesis import given
from hypothesis import strategies as st

import crawler
from benchmarks import floor
from benchmarks.measure import measure
from benchmarks.origin import running_origin
from benchmarks.pages import url_list
from benchmarks.readers import READERS, verdict
from benchmarks.results import open_store, result_of
from benchmarks.site import page, served_files
from crawler import warc
from crawler.records import Entry, Request

ADDRESSES = ("127.0.0.1", "127.0.0.2")
FILES = {
    "index.html": b"<p>an index</p>",
    "deep/er/a page.html": b"<p>a name with a space</p>",
    "caf\u00e9 100%.txt": b"not ASCII",
    "empty.css": b"",
    "packed.tar.gz": b"\x1f\x8b not really",
    "no extension": bytes(range(256)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `FILES`, with a secret beside it and a link to that."""
    folder = tmp_path_factory.mktemp("benchmarks") / "pages"
    for name, body in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to("../secret.txt")
    return folder


@pytest.fixture(scope="module")
def bases(folder: Path) -> Iterator[tuple[str, ...]]:
    """An origin of two processes that serves the folder on two addresses."""
    with running_origin(ADDRESSES, procs=2, root=folder) as bases:
        yield bases


@contextlib.contextmanager
def connected(base: str) -> Iterator[http.client.HTTPConnection]:
    """A connection to an origin."""
    with contextlib.closing(http.client.HTTPConnection(urlsplit(base).netloc, timeout=30)) as connection:
        yield connection


def answer(base: str, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
    """Status, media type and body of what an origin answers."""
    with connected(base) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read()


def run(name: str, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, table and JSON line of a benchmark that is run as its users run it."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert "" == done.stderr
    *table, line = done.stdout.splitlines()
    return done.returncode, "\n".join(table), json.loads(line)


def test_origin_announces(bases: tuple[str, ...]) -> None:
    """An origin announces one base URL for each of its addresses, in their order."""
    assert ADDRESSES == tuple(urlsplit(base).hostname for base in bases)


def test_origin_ends() -> None:
    """An origin is gone, all of its processes, when the block that it was started for is left."""
    with running_origin(ADDRESSES[:1], procs=2) as (base,):
        assert 200 == answer(base, "/page/1")[0]
    with pytest.raises(ConnectionRefusedError):
        answer(base, "/page/1")


def test_origin_that_cannot_start() -> None:
    """An origin that cannot listen is an error, not a hang."""
    with pytest.raises(RuntimeError, match="did not start"), running_origin(["198.51.100.1"]):
        pass


@given(number=st.integers(0, 10**18 - 1), size=st.integers(0, 20_000))
def test_page_has_its_size(number: int, size: int) -> None:
    """A page has as many bytes as were asked for."""
    assert size == len(page(number, size))


def test_pages(bases: tuple[str, ...]) -> None:
    """A page is the same from every address and process; those of other numbers are others, 8 KB if nothing is said."""
    for base in bases * 4:
        assert (200, "text/html; charset=utf-8", page(7, 5000)) == answer(base, "/page/7?size=5000")
        assert (200, "text/html; charset=utf-8", page(8, 8192)) == answer(base, "/page/8")
    assert page(7, 8192) != page(8, 8192)


def test_wait(bases: tuple[str, ...]) -> None:
    """A page that is asked to wait comes no sooner."""
    started = time.monotonic()
    assert page(3, 100) == answer(bases[0], "/wait/0.05/3?size=100")[2]
    assert time.monotonic() - started >= 0.05


def test_keep_alive(bases: tuple[str, ...]) -> None:
    """A connection serves one request after the other until the client asks for its end."""
    with connected(bases[0]) as connection:
        sockets = set()
        for number in range(3):
            connection.request("GET", f"/page/{number}")
            assert page(number) == connection.getresponse().read()
            sockets.add(connection.sock)
        assert 1 == len(sockets)
        connection.request("GET", "/page/3", headers={"Connection": "close"})
        response = connection.getresponse()
        assert page(3) == response.read()


def test_pipelined(bases: tuple[str, ...]) -> None:
    """Responses come in the order of their requests, also when the first one waits (RFC 9112 §9.3.2)."""
    address = urlsplit(bases[0])
    first = b"GET /wait/0.05/1?size=200 HTTP/1.1\r\nHost: a\r\n\r\n"
    second = b"GET /page/2?size=200 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=30) as sock, sock.makefile("rb") as file:
        sock.sendall(first + second)
        received = file.read()
    assert [1, 2] == sorted((1, 2), key=lambda number: received.index(page(number, 200)))


def test_files(bases: tuple[str, ...], folder: Path) -> None:
    """Every file of the folder is served whole, under its own media type, whatever its name; a query says nothing."""
    types = {"html": "text/html", "txt": "text/plain", "css": "text/css", "gz": "application/gzip"}
    served = served_files(folder)
    assert set(FILES) == {str(file.relative_to(folder)) for file in served.values()}
    for path, file in served.items():
        expected = types.get(file.suffix[1:], "application/octet-stream")
        assert (200, expected, file.read_bytes()) == answer(bases[0], f"/file/{path}?repeat=1")


@pytest.mark.parametrize(
    "path",
    [
        "/file/../secret.txt",
        "/file/%2e%2e/secret.txt",
        "/file/deep/../../secret.txt",
        "/file//etc/passwd",
        "/file/%2Fetc/passwd",
        "/file/link.txt",
        "/file/deep",
        "/file/",
        "/nothing",
        "/page/-1",
        "/page/1?size=1e9",
        "/wait/nan/1",
    ],
)
def test_not_found(bases: tuple[str, ...], path: str) -> None:
    """What is no page and no file of the folder is 404: no path and no link leads out of it."""
    assert (404, b"") == answer(bases[0], path)[::2]


def test_other_methods(bases: tuple[str, ...]) -> None:
    """The origin serves GET and says so."""
    assert 405 == answer(bases[0], "/page/1", method="HEAD")[0]


def test_measure_counts_the_tree() -> None:
    """CPU time and memory are those of the whole tree of processes, and of no other child of ours."""
    subprocess.run([sys.executable, "-c", _BURN.format(cpu_s=0.5)], check=True)
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_BURN.format(cpu_s=0.3)!r}])"
    found = measure([sys.executable, "-c", f"held = bytearray(b'a') * 40_000_000; {child}"], interval_s=0.02)
    assert 0.3 <= found.cpu_s < 0.3 + 0.5
    assert 80 <= found.peak_mb < 200


_BURN = "import time\nheld = bytearray(b'a') * 40_000_000\nwhile time.process_time() < {cpu_s}: pass"


def test_measure_tells_the_end() -> None:
    """A command's exit status and what it wrote are told, however much it was."""
    found = measure([sys.executable, "-c", "import sys; print('a' * 100_000); sys.exit('wrong')"])
    assert (1, "a" * 100_000 + "\n", "wrong\n") == (found.exit_status, found.stdout, found.stderr)


def test_url_list(folder: Path) -> None:
    """Every file is in the list as often as was asked for, each time under another URL, on all of the bases."""
    files = served_files(folder)
    urls = url_list(["http://a", "http://b/c"], files, 3)
    assert 3 * len(files) == len(urls)
    assert sorted([*files.values()] * 3) == sorted(urls.values())
    assert {"http://a/index.html", "http://b/c/index.html"} >= {u for u in urls if u.endswith("/index.html")}


@pytest.mark.parametrize("engine", ["curl", "asyncio", "threads"])
def test_memory_runs(engine: str) -> None:
    """The memory benchmark fetches its whole list and tells memory, pace, cost and the sum of outcomes."""
    status, table, line = run("memory", "--urls", "40", "--conc", "8", "--engine", engine)
    assert 0 == status
    assert "40 fetched + 0 failed + 0 denied + 0 duplicate + 0 invalid = 40" in table
    for words in ("memory at 10 %", "memory at 50 %", "memory at 100 %", "peak", "pages a second", "CPU a page"):
        assert words in table
    assert {"benchmark", "machine", "versions", "settings", "figures"} == set(line)
    assert (40, engine) == (line["figures"]["fetched"], line["settings"]["engine"])
    assert all(line["figures"][name] > 0 for name in ("pages_per_s", "cpu_us_per_page", "peak_mb", "memory_mb_at_100"))


def test_parse_runs() -> None:
    """The benchmark of parsing has a result for every page, with one worker and with two."""
    status, table, line = run("parse", "--urls", "20", "--conc", "4")
    assert 0 == status
    assert 4 == table.count("CPU a page")
    assert (20, 0, 2) == (line["figures"]["fetched"], line["figures"]["without_result"], line["settings"]["procs"])


def test_pages_run(folder: Path) -> None:
    """The pages benchmark finds every stored payload equal to its file, and every reader content."""
    status, table, line = run("pages", str(folder), "--repeat", "5", "--conc", "4")
    assert 0 == status
    assert "30 compared, 0 differing" in table
    assert dict.fromkeys(READERS, True) == line["figures"]["readers"]
    assert 61 == int(table.split("read by warcio")[1].split()[1])  # warcinfo, responses and requests


def test_pages_notices(folder: Path, tmp_path: Path) -> None:
    """A payload that is not its file's, or a page that is missing, is told and is exit status 1."""
    for name, body in FILES.items():
        if name != "empty.css":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"another index" if name == "index.html" else body)
    with running_origin(ADDRESSES[:1], root=tmp_path) as (base,):
        status, table, _ = run("pages", str(folder), "--repeat", "1", "--procs", "1", "--base", f"{base}/file/")
    assert 1 == status
    assert "6 compared, 2 differing" in table
    assert f"differs: {base}/file/index.html" in table
    assert f"differs: {base}/file/empty.css" in table


def test_resume_runs() -> None:
    """The resume benchmark tells what each run costs, and that each ended with a fetched page for every entry."""
    status, table, line = run("resume", "--entries", "250", "--conc", "8")
    assert 0 == status
    assert "the list's check alone" in table
    assert [250, 250, 251] == [line["figures"][name]["entries"] for name in ("missing", "nothing", "more")]
    assert [3, 0, 1] == [line["figures"][name]["recorded"] for name in ("missing", "nothing", "more")]


def test_http2_run() -> None:
    """No transfer over HTTP/2 hangs: the long form of this runs 100,000 of them."""
    status, table, line = run("http2", "--urls", "2000", "--hosts", "20", "--conc", "64", "--origin-procs", "1")

    assert (0, 0, 2000) == (status, line["figures"]["stalls"], line["figures"]["over_http2"])
    assert "stalls" in table


def test_names_run() -> None:
    """The names benchmark finds every name, with one query for each family, by the resolver of each kind of worker."""
    status, table, line = run("names", "--names", "200", "--at-once", "20")
    assert 0 == status
    assert "cpu_us_per_name, threads" in table
    assert [(200, 400)] * 2 == [(figures["found"], figures["distinct"]) for figures in line["figures"].values()]


def test_commit_runs(tmp_path: Path) -> None:
    """The commit benchmark syncs only where it says so, commits as often as it says, and leaves nothing behind."""
    arguments = ("--pages", "100", "--crawl-pages", "20", "--rounds", "1", "--folder", str(tmp_path))
    status, table, line = run("commit", *arguments)
    assert (0, []) == (status, list(tmp_path.iterdir()))
    assert line["settings"]["file_system"] in table
    stored, crawled = line["figures"]["stored"], line["figures"]["crawled"]
    assert [1, 3] == [stored[name]["commits"] for name in ("one commit, not synced", "a commit for each page")]
    assert [100, 100, 100, 2] == [cost["pages"] for cost in stored.values()]
    assert [True, False, False, True] == [cost["syncs"] > 0 for cost in stored.values()]
    assert [True, False] == [cost["syncs"] > 0 for cost in crawled.values()]


def test_parent_runs() -> None:
    """The parent benchmark tells what a page costs the parent, at both paces, and dedupe alone."""
    status, table, line = run("parent", "--pages", "300", "--rounds", "1", "--pace", "1000")
    assert 0 == status
    assert "1,000 pages a second a worker" in table
    assert 4 == len(line["figures"])


@pytest.mark.parametrize("workload", ["near", "hosts"])
def test_floor_runs(workload: str) -> None:
    """The floor benchmark tells what a page costs by libcurl alone, with its archive, and with its row."""
    status, _, line = run("floor", "--workload", workload, "--pages", "300", "--runs", "1")

    assert (0, 3) == (status, len(line["figures"]))
    assert all(figure > 0 for figure in line["figures"].values())


def test_the_floor_is_an_archive() -> None:
    """The records that the floor is measured with are such as the product's: they are read, and their digests fit."""
    archive = io.BytesIO()
    floor.write_page(archive, "http://a.example/", [b"HTTP/1.1 200 OK\r\n", b"\r\n"], [b"a ", b"page"])
    archive.seek(0)
    records = [
        (record.rec_type, record.content_stream().read(), record.digest_checker.passed)
        for record in warcio.ArchiveIterator(archive, check_digests=True)
    ]

    assert [("response", b"a page", True), ("request", b"", True)] == records


def test_growth_runs() -> None:
    """The growth benchmark ends with a row for each entry, and says what a further one takes."""
    _, table, line = run("growth", "--entries", "300", "--against", "100")
    assert "a further entry" in table
    assert {"100", "300"} == set(line["figures"]["peak_mb"])


def test_orders_run() -> None:
    """The orders benchmark sends each entry through a Redis, and samples that from the first to the last."""
    _, table, line = run("orders", "--entries", "3000", "--machines", "1", "--chunk-size", "100")
    assert "Redis, most in each quarter" in table
    assert [4, 4] == [len(line["figures"][name]) for name in ("redis_mb", "coordinator_mb")]


def test_joining_runs() -> None:
    """The joining benchmark counts what is sent before, beside and after the second machine, and loses no page."""
    status, table, line = run("joining", "--urls", "400", "--wait", "0.1", "--after", "3", "--conc", "8")
    assert (0, True) == (status, "400 fetched" in table)
    assert {"one machine", "two machines", "one again"} <= line["figures"].keys()


def test_startup_runs() -> None:
    """The start-up benchmark compares help and a crawl of one page with an interpreter that does nothing."""
    status, table, line = run("startup", "--runs", "1")
    assert 0 == status
    assert "1.0 x" in table
    assert {"python -c pass", "crawl --help", "crawl, one URL"} == set(line["figures"])


def test_results_are_real(tmp_path: Path) -> None:
    """A result that was made without a fetch is read back out of the archive as the page that it stands for."""
    entry = Entry(1, "urls.txt", 1, Request("http://a.test/page/1"))
    with contextlib.closing(open_store(tmp_path)) as store:
        store.add(result_of(entry))
        store.commit(finished=True)
    with crawler.open(tmp_path) as results:
        assert page(1) == results.get("http://a.test/page/1").body


def record(digest: str) -> bytes:
    """A response record of the payload `page` whose payload digest is `digest`."""
    headers = (("Content-Type", "text/html"),)
    about = {"record_id": warc.new_id(), "url": "http://a.test/", "date": "2026-01-31T12:00:00Z", "ip": None}
    answer = {"status": 200, "reason": "OK", "version": "HTTP/1.1", "headers": headers, "payload": b"page"}
    return warc.response(**about, **answer, digest=digest)  # type: ignore[arg-type]


_RIGHT = "sha1:OZYBHTQO4D3NPIDVQ6IS5ORRATH2VPAV"


@pytest.mark.parametrize("name", READERS)
def test_readers_accept(name: str, tmp_path: Path) -> None:
    """Every reader finds whole records with right digests right."""
    (tmp_path / "a.warc.gz").write_bytes(record(_RIGHT) * 3)
    assert verdict(name, tmp_path.iterdir())[0]


@pytest.mark.parametrize("name", ["warcio", "FastWARC"])
def test_readers_refuse_a_wrong_digest(name: str, tmp_path: Path) -> None:
    """Those that know WARC refuse a record whose digest is not that of its payload."""
    (tmp_path / "a.warc.gz").write_bytes(record(_RIGHT) + record(_RIGHT.replace("OZ", "PZ")))
    assert (False, True) == (verdict(name, tmp_path.iterdir())[0], verdict("gzip", tmp_path.iterdir())[0])


def test_readers_refuse_half_a_file(tmp_path: Path) -> None:
    """A file that is cut inside a record is refused by one of them at least."""
    data = record(_RIGHT) * 2
    (tmp_path / "a.warc.gz").write_bytes(data[: len(data) * 3 // 4])
    assert not all(verdict(name, tmp_path.iterdir())[0] for name in READERS)
