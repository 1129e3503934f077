"""`crawl run` from end to end: the real command against the real origin."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fastwarc.warc
import pytest
from command import complaints, crawl, members, recorded, rows, running, until, workers, write_list
from conftest import Origin
from warcio.archiveiterator import ArchiveIterator

from crawler import progress
from crawler.cli.main import main
from crawler.config import CrawlConfig
from crawler.errors import InputError
from crawler.job import run_job
from crawler.records import OUTCOMES
from crawler.results import open_crawl


class Kind(NamedTuple):
    """One line of a list, and the row that it must become."""

    line: bytes
    outcome: str
    error_class: str | None = None
    status: int | None = None
    attempts: int = 0


def kinds(origin: Origin, key: str) -> list[Kind]:
    """Every kind of entry, some of them under a `key` that the origin has not seen yet."""
    base = origin.url("").encode()
    elsewhere = origin.url("/page/1", host="127.0.0.2").encode()
    return [
        Kind(base + b"/page/1", "fetched", None, 200, 1),
        Kind(base + b"/status/404", "fetched", None, 404, 1),
        Kind(base + b"/204", "fetched", None, 204, 1),
        Kind(base + b"/bytes/300000", "fetched", None, 200, 1),
        Kind(base + b"/chunked", "fetched", None, 200, 1),
        Kind(base + b"/redirect/2", "fetched", None, 200, 1),
        Kind(base + b"/loop", "failed", "redirect", 302, 1),
        Kind(base + b"/gzip", "fetched", None, 200, 1),
        Kind(base + b"/gzip-truncated", "failed", "decode", 200, 1),
        Kind(base + b"/reset", "failed", "reset", None, 2),
        Kind(base + b"/close-in-body", "failed", "incomplete", 200, 2),
        Kind(base + b"/garbage", "failed", "protocol", None, 1),
        Kind(base + b"/huge-headers?n=400000", "failed", "headers_too_large", None, 1),
        Kind(base + b"/flaky/%b/1" % key.encode(), "fetched", None, 200, 2),
        Kind(base + b"/hold/%b" % key.encode(), "failed", "timeout", None, 1),
        Kind(base + b"/drip?s=9", "failed", "timeout", 200, 1),
        Kind(origin.tls_url("/page/1").encode(), "failed", "tls", None, 1),
        Kind(b"http://127.0.0.1:1/", "failed", "connect", None, 2),
        Kind(base.removeprefix(b"http://") + b"/page/2", "fetched", None, 200, 1),
        Kind(base + b"/page/1#again", "duplicate"),
        Kind(b"  HTTP:" + base.removeprefix(b"http:") + b"/x/../page/1\t", "duplicate"),
        Kind(b"http://[", "invalid", "invalid_url"),
        Kind(base + b"/a\x1b[31mb", "invalid", "invalid_url"),
        Kind(base + b"/\xff", "invalid", "invalid_url"),
        Kind(base + b"/" + b"a" * 2**20, "invalid", "invalid_url"),
        Kind(b"ftp://127.0.0.1/file", "denied", "scheme"),
        Kind(elsewhere, "denied", "blocked_address"),
        Kind(base + b"/redirect-to?url=" + elsewhere, "denied", "blocked_address", None, 1),
        Kind(base + b"/page/3", "fetched", None, 200, 1),
    ]


SAME = (
    "seq, source_line, outcome, error_class, status, attempts, redirects, duplicate_of, truncated, digest, body_digest"
)
"""What a row holds that the way of fetching does not change."""
FLAGS = ("--allow-net", "127.0.0.1/32", "--max-time", "1.5", "--retries", "1", "--max-body", "100K")


def write_kinds(path: Path, found: list[Kind]) -> None:
    """A list with a byte order mark, comments, blank lines, CRLF, and no end of its last line."""
    lines = [b"\xef\xbb\xbf# every kind of entry", b"", *(kind.line for kind in found[:2]), b" ", b"  # more"]
    path.write_bytes(b"\r\n".join(lines) + b"\r\n" + b"\n".join(kind.line for kind in found[2:]))


class Ran(NamedTuple):
    """A crawl of every kind of entry."""

    out: Path
    kinds: list[Kind]
    printed: str


@pytest.fixture(scope="module")
def ran(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("kinds")
    found = kinds(origin, folder.name)
    write_kinds(folder / "urls.txt", found)
    done = crawl("urls.txt", "--procs", "2", *FLAGS, cwd=folder)
    assert (0, "") == (done.returncode, complaints(done.stderr))
    return Ran(folder / "urls.crawl", found, done.stdout)


def records(out: Path) -> Iterator[Any]:
    """The records of a crawl's archive as warcio reads them, digests checked."""
    for path in sorted((out / "warc").iterdir()):
        with path.open("rb") as stream:
            yield from ArchiveIterator(stream, check_digests="raise")


def check_archive(out: Path) -> Counter[str]:
    """How many records of each type an archive holds that gzip, warcio and FastWARC find whole."""
    for path in sorted((out / "warc").iterdir()):
        subprocess.run(["gzip", "-t", str(path)], check=True, capture_output=True)
        with path.open("rb") as stream:
            for record in fastwarc.warc.ArchiveIterator(stream, parse_http=False):
                record.freeze()
                assert record.verify_block_digest()
                record.parse_http()
                assert "WARC-Payload-Digest" not in record.headers or record.verify_payload_digest()
    found: Counter[str] = Counter()
    for record in records(out):
        record.raw_stream.read()
        found[record.rec_type] += 1
    return found


def ask(url: str) -> bytes:
    """The payload that the origin serves under a URL, as it comes over the wire."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", parts._replace(scheme="", netloc="").geturl(), headers={"Connection": "close"})
    payload = connection.getresponse().read()
    connection.close()
    return payload


class TestEveryKind:
    def test_rows(self, ran: Ran) -> None:
        """Each entry has exactly one row, in the order of the list, with the fate that its kind must have."""
        found = rows(ran.out, "seq, outcome, error_class, status, attempts")

        assert [(seq, *kind[1:]) for seq, kind in enumerate(ran.kinds, 1)] == found

    def test_source_lines(self, ran: Ran) -> None:
        """Blank lines and comments count as lines and are no entries."""
        found = rows(ran.out, "source, source_line")

        assert [("urls.txt", line) for line in (3, 4, *range(7, 7 + len(ran.kinds) - 2))] == found

    def test_printed_sum(self, ran: Ran) -> None:
        """The outcomes that are printed sum up to the entries of the list."""
        line = ran.printed.splitlines()[0]
        expected = Counter(kind.outcome for kind in ran.kinds)

        assert f"{len(ran.kinds)} entries" == line.split(" = ")[1]
        assert {name: expected[name] for name in OUTCOMES} == {
            name: int(count) for count, name in re.findall(r"(\d+) (\w+)", line.split(" = ")[0])
        }

    def test_archive(self, ran: Ran) -> None:
        """The archive is whole; it begins with a warcinfo and has a request for each response."""
        found = check_archive(ran.out)

        assert {"warcinfo", "request", "response"} == set(found)
        assert 1 == found["warcinfo"]
        assert found["response"] == found["request"]
        assert "warcinfo" == next(records(ran.out)).rec_type

    def test_payloads(self, ran: Ran) -> None:
        """Each stored payload is what the origin serves, encoded as it came; a cut one is its beginning."""
        where = "outcome = 'fetched' AND status = 200 AND url NOT LIKE '%flaky%'"
        found = rows(ran.out, "final_url, truncated, warc_file, warc_offset, warc_length", where)
        for url, truncated, file, offset, length in found:
            member = (ran.out / "warc" / file).read_bytes()[offset : offset + length]
            payload = gzip.decompress(member).split(b"\r\n\r\n", 2)[2].removesuffix(b"\r\n\r\n")
            served = ask(url)

            assert served[: 100 * 1024] == payload
            assert ("length" if len(served) > len(payload) else None) == truncated
        assert ["length"] == [truncated for _, truncated, *_ in found if truncated]

    def test_parts(self, ran: Ran) -> None:
        """The part of a broken answer is stored, and says how it was cut."""
        where = "outcome = 'failed' AND warc_file IS NOT NULL AND error_class <> 'redirect'"
        found = rows(ran.out, "error_class, truncated", where)

        assert {("decode", None), ("incomplete", "disconnect"), ("timeout", "time")} == set(found)

    def test_redirects(self, ran: Ran, origin: Origin) -> None:
        """Every hop of a redirect is a record too, and stands in the row."""
        ((redirects,),) = rows(ran.out, "redirects", "url LIKE '%/redirect/2'")
        hops = [origin.url(f"/redirect/{n}") for n in (2, 1, 0)]
        targets = [each.rec_headers["WARC-Target-URI"] for each in records(ran.out) if each.rec_type == "response"]

        assert hops[:2] == [hop["url"] for hop in json.loads(redirects)]
        assert hops == [target for target in targets if "/redirect/" in target]

    def test_meta(self, ran: Ran) -> None:
        """`meta` counts what `pages` holds, and says that all is done."""
        with sqlite3.connect(ran.out / "crawl.db") as connection:
            meta = dict(connection.execute("SELECT key, value FROM meta"))
        connection.close()

        assert Counter(kind.outcome for kind in ran.kinds) == Counter(json.loads(meta["counts"]))
        assert "true" == meta["finished"]

    def test_again(self, ran: Ran, origin: Origin) -> None:
        """The same command again makes no request and changes neither a row nor the archive."""

        def state() -> list[Any]:
            archive = [path.read_bytes() for path in (ran.out / "warc").iterdir()]
            return [origin.ask("/_hits"), rows(ran.out, "*"), archive]

        before = state()
        again = crawl("urls.txt", "--procs", "2", *FLAGS, cwd=ran.out.parent)

        assert (0, ran.printed.splitlines()[0]) == (again.returncode, again.stdout.splitlines()[0])
        assert before == state()

    def test_again_reads_nothing(self, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
        """The hash of a list tells that all of it is done: none of its entries is looked at again, however many."""
        monkeypatch.setattr("crawler.job.Pipeline", None)

        assert 0 == main([str(ran.out.parent / "urls.txt"), "--out", str(ran.out), "--quiet", *FLAGS])

    @pytest.mark.parametrize(
        "flags",
        [
            ("--engine", "serial"),
            ("--engine", "threads"),
            ("--engine", "gevent"),
            ("--procs", "1", "--conc", "1"),
            ("--procs", "2", "--conc", "500", "--per-host", "0", "--chunk-size", "2"),
        ],
        ids=" ".join,
    )
    def test_other_tuning(self, ran: Ran, origin: Origin, tmp_path: Path, flags: tuple[str, ...]) -> None:
        """Engine, processes and concurrency change nothing of what is recorded."""
        write_kinds(tmp_path / "urls.txt", kinds(origin, f"{ran.out.parent.name}-{'-'.join(flags)}"))
        status = main([str(tmp_path / "urls.txt"), "--out", str(tmp_path / "out"), *FLAGS, *flags])

        assert 0 == status
        assert rows(ran.out, SAME) == rows(tmp_path / "out", SAME)
        assert check_archive(ran.out) == check_archive(tmp_path / "out")


class TestSecrets:
    HEADERS = ("--header", "Authorization: Basic c2VjcmV0LW9uZQ==", "--header", "X-Odd-Key: secret-two")

    def test_are_sent(self, origin: Origin, tmp_path: Path) -> None:
        """Fields given with --header reach the origin."""
        urls = write_list(tmp_path, origin.url("/echo"))
        main([str(urls), "--out", str(tmp_path / "out"), "--allow-private", *self.HEADERS])
        with open_crawl(tmp_path / "out") as results:
            sent = dict(json.loads(results.get(origin.url("/echo")).body)["headers"])

        assert ("Basic c2VjcmV0LW9uZQ==", "secret-two") == (sent["Authorization"], sent["X-Odd-Key"])

    def test_are_not_kept(self, origin: Origin, tmp_path: Path) -> None:
        """They are nowhere in the folder, redirected or not; that they were there is."""
        urls = write_list(tmp_path, origin.url("/page/1?secrets"), origin.url("/redirect/1"))
        main([str(urls), "--out", str(tmp_path / "out"), "--allow-private", *self.HEADERS])
        files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        kept = b"".join(
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files
        )

        assert (0, 0) == (kept.count(b"c2VjcmV0LW9uZQ"), kept.count(b"secret-two"))
        assert 3 == kept.count(b"\r\nX-Odd-Key: ")

    def test_are_compared(self, origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Another secret is another crawl; the refusal shows neither."""
        command = [str(write_list(tmp_path, origin.url("/page/1"))), "--out", str(tmp_path / "out"), "--header"]
        main([*command, "Authorization: secret-three"])
        capsys.readouterr()
        status = main([*command, "Authorization: secret-four"])
        said = capsys.readouterr().err

        assert (2, 1, 0) == (status, said.count("other settings"), said.count("secret-"))


class TestLists:
    def test_standard_input(self, origin: Origin, tmp_path: Path) -> None:
        """`-` reads standard input; the same input again asks for nothing."""
        text = "".join(f"{origin.url(f'/page/{n}?stdin')}\n" for n in range(20))
        statuses = [crawl("-", "--allow-private", cwd=tmp_path, text=text).returncode for _ in range(2)]

        assert [0, 0] == statuses
        assert [("-", n + 1, 200) for n in range(20)] == rows(tmp_path / "stdin.crawl", "source, source_line, status")
        assert {1} == {origin.hits(f"/page/{n}?stdin") for n in range(20)}

    def test_name_that_is_not_utf_8(self, origin: Origin, tmp_path: Path) -> None:
        """A list may have any name that the system allows; the rows have it in a printable form."""
        urls = write_list(tmp_path, origin.url("/page/1"), name=os.fsdecode(b"b\xff.txt"))

        assert 0 == main([str(urls), "--out", str(tmp_path / "out"), "--allow-private"])
        assert [(f"{tmp_path}/b\\udcff.txt",)] == rows(tmp_path / "out", "source")

    def test_appended_lines(self, origin: Origin, tmp_path: Path) -> None:
        """Lines that were added since extend the crawl; those before are not asked for again."""
        pages = [origin.url(f"/page/{n}?appended") for n in range(6)]
        command = [str(tmp_path / "urls.txt"), "--out", str(tmp_path / "out"), "--allow-private"]
        write_list(tmp_path, *pages[:3])
        first = main(command)
        write_list(tmp_path, *pages, pages[0])
        second = main(command)

        assert (0, 0) == (first, second)
        assert [*((url, None) for url in pages), (pages[0], 1)] == rows(tmp_path / "out", "url, duplicate_of")
        assert [1] * 6 == [origin.hits(f"/page/{n}?appended") for n in range(6)]

    def test_changed_list(self, origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A list that was changed where it was read already is refused, and nothing is touched."""
        command = [str(tmp_path / "urls.txt"), "--out", str(tmp_path / "out"), "--allow-private"]
        write_list(tmp_path, origin.url("/page/1?changed"))
        main(command)
        write_list(tmp_path, origin.url("/page/2?changed"))

        assert 2 == main(command)
        assert "differs from what this crawl began with" in capsys.readouterr().err
        assert (1, 0) == (recorded(tmp_path / "out"), origin.hits("/page/2?changed"))

    def test_restart(self, origin: Origin, tmp_path: Path) -> None:
        """`--restart` begins anew."""
        command = [str(tmp_path / "urls.txt"), "--out", str(tmp_path / "out"), "--allow-private"]
        write_list(tmp_path, origin.url("/page/1?restart"))
        main(command)
        write_list(tmp_path, origin.url("/page/2?restart"))

        assert 0 == main([*command, "--restart"])
        assert [(origin.url("/page/2?restart"),)] == rows(tmp_path / "out", "url")

    def test_keep_duplicates(self, origin: Origin, tmp_path: Path) -> None:
        """`--keep-duplicates` fetches an entry for each time that it stands there."""
        urls = write_list(tmp_path, *[origin.url("/page/1?twice")] * 3)
        main([str(urls), "--out", str(tmp_path / "out"), "--allow-private", "--keep-duplicates"])

        assert [("fetched", 200)] * 3 == rows(tmp_path / "out", "outcome, status")
        assert 3 == origin.hits("/page/1?twice")

    def test_what_was_read_stays_read(self, origin: Origin, tmp_path: Path) -> None:
        """A run that reads the list again and is stopped early does not forget how far it had been read before."""
        lines = [origin.url("/page/1?again"), *(f"ftp://127.0.0.1/{n}" for n in range(50_000))]
        urls, out = write_list(tmp_path, *lines), tmp_path / "out"
        config = CrawlConfig(allow_private=True, procs=1, robots=False)
        run_job(str(urls), out, config)
        write_list(tmp_path, *lines, "ftp://127.0.0.1/one-more")
        stopped = run_job(str(urls), out, config, watch=lambda pipeline, batch: False)
        assert not stopped.finished
        write_list(tmp_path, *lines[:40_000], origin.url("/page/1?changed"), *lines[40_001:])

        with pytest.raises(InputError, match="differs from what this crawl began with"):
            run_job(str(urls), out, config)


class TestSettings:
    def test_identity(self, origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Another way of recording is refused; the sentence says which setting differs."""
        command = [str(write_list(tmp_path, origin.url("/page/1"))), "--out", str(tmp_path / "out"), "--allow-private"]
        main(command)

        assert 2 == main([*command, "--max-body", "1M"])
        assert "max_body was 16777216 and is now 1048576" in capsys.readouterr().err

    def test_tuning(self, origin: Origin, tmp_path: Path) -> None:
        """Another way of doing it resumes."""
        urls = write_list(tmp_path, origin.url("/page/1?tuning"))
        command = [str(urls), "--out", str(tmp_path / "out"), "--allow-private"]
        main(command)
        write_list(tmp_path, origin.url("/page/1?tuning"), origin.url("/page/2?tuning"))

        assert 0 == main([*command, "--conc", "7", "--procs", "3", "--engine", "threads", "--per-host", "1"])
        assert [("curl",), ("threads",)] == rows(tmp_path / "out", "engine")
        assert 1 == origin.hits("/page/1?tuning")

    @pytest.mark.parametrize(("path", "status"), [("/status/404", 3), ("/page/2", 0)])
    def test_fail(self, origin: Origin, tmp_path: Path, path: str, status: int) -> None:
        """`--fail` tells a page that is not ok by the exit status; a duplicate is no failure."""
        urls = write_list(tmp_path, origin.url("/page/1"), origin.url("/page/1"), origin.url(path))

        assert status == main([str(urls), "--out", str(tmp_path / "out"), "--allow-private", "--fail"])

    def test_no_bodies(self, origin: Origin, tmp_path: Path) -> None:
        """`--no-bodies` records the same rows, and no archive."""
        urls = write_list(tmp_path, origin.url("/gzip"))
        same = "outcome, status, bytes_wire, bytes_body, digest, body_digest, content_type"
        main([str(urls), "--out", str(tmp_path / "with"), "--allow-private"])
        main([str(urls), "--out", str(tmp_path / "without"), "--allow-private", "--no-bodies"])

        assert rows(tmp_path / "with", same) == rows(tmp_path / "without", same)
        assert [(None, None, None)] == rows(tmp_path / "without", "warc_file, warc_offset, warc_length")
        assert not (tmp_path / "without" / "warc").exists()


class TestInterrupted:
    """Whatever ends a run, the same command goes on: nothing is lost, nothing that was recorded is fetched again."""

    PAGES = 60
    FLAGS = ("--allow-private", "--procs", "2", "--per-host", "0", "--chunk-size", "4")

    @pytest.fixture
    def key(self, tmp_path: Path) -> str:
        return f"{tmp_path.parent.name}-{tmp_path.name}"

    @pytest.fixture
    def urls(self, origin: Origin, tmp_path: Path, key: str) -> list[str]:
        """Pages, and among them four that the origin holds back."""
        pages = [origin.url(f"/page/{n}?{key}") for n in range(self.PAGES)]
        for n in range(4):
            pages.insert(2 + 5 * n, origin.url(f"/hold/{key}?{n}"))
        write_list(tmp_path, *pages)
        return pages

    @pytest.fixture
    def held(self, origin: Origin, tmp_path: Path, key: str, urls: list[str]) -> Iterator[subprocess.Popen[str]]:
        """A run that has recorded what it can, and waits for the rest with both workers."""
        with running("urls.txt", *self.FLAGS, cwd=tmp_path) as child:
            until(lambda: recorded(tmp_path / "urls.crawl") == self.PAGES)
            until(lambda: all(origin.hits(f"/hold/{key}?{n}") for n in range(4)))
            yield child

    def goes_on(self, origin: Origin, folder: Path, key: str, urls: list[str]) -> None:
        origin.release(key)
        again = crawl("urls.txt", *self.FLAGS, cwd=folder)

        assert (0, "") == (again.returncode, complaints(again.stderr))
        assert [(url, 200) for url in urls] == rows(folder / "urls.crawl", "url, status")
        assert {1} == {origin.hits(f"/page/{n}?{key}") for n in range(self.PAGES)}
        assert {"warcinfo": 1, "response": len(urls), "request": len(urls)} == check_archive(folder / "urls.crawl")

    def test_sigkill_of_everyone(
        self, origin: Origin, tmp_path: Path, key: str, urls: list[str], held: subprocess.Popen[str]
    ) -> None:
        """A run that is killed with all its workers goes on from what was committed."""
        os.killpg(held.pid, signal.SIGKILL)
        assert -signal.SIGKILL == held.wait()
        self.goes_on(origin, tmp_path, key, urls)

    def test_sigkill_of_the_parent(
        self, origin: Origin, tmp_path: Path, key: str, urls: list[str], held: subprocess.Popen[str]
    ) -> None:
        """Workers whose parent is gone end by themselves."""
        held.kill()
        held.wait()
        until(lambda: not members(held.pid))
        self.goes_on(origin, tmp_path, key, urls)

    def test_sigkill_of_a_worker(
        self, origin: Origin, tmp_path: Path, key: str, urls: list[str], held: subprocess.Popen[str]
    ) -> None:
        """A worker that dies is replaced: the same run goes on, and every entry has its page."""
        os.kill(min(workers(held)), signal.SIGKILL)
        until(lambda: max(origin.hits(f"/hold/{key}?{n}") for n in range(4)) == 2)
        origin.release(key)
        _, said = held.communicate()

        assert (0, "", set()) == (held.returncode, complaints(said), members(held.pid))
        assert [(url, 200) for url in urls] == rows(tmp_path / "urls.crawl", "url, status")
        check_archive(tmp_path / "urls.crawl")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("whom", [os.kill, os.killpg], ids=["parent", "group"])
    def test_interrupt(
        self,
        origin: Origin,
        tmp_path: Path,
        key: str,
        urls: list[str],
        held: subprocess.Popen[str],
        whom: Any,
        number: signal.Signals,
    ) -> None:
        """Ctrl-C (a terminal signals the whole group) stops in order, says how to go on, and leaves nobody behind."""
        whom(held.pid, number)
        printed, said = held.communicate()

        assert (130, "", set()) == (held.returncode, complaints(said), members(held.pid))
        assert "Stopped; what is recorded is safe in urls.crawl. The same command goes on." == printed.splitlines()[-1]
        self.goes_on(origin, tmp_path, key, urls)

    def test_interrupt_finishes_what_is_in_flight(
        self, origin: Origin, tmp_path: Path, key: str, held: subprocess.Popen[str]
    ) -> None:
        """An exchange that ends in time after Ctrl-C is recorded: nothing that was asked for is asked for twice."""
        os.kill(held.pid, signal.SIGINT)
        origin.release(key)
        held.communicate()

        assert (130, self.PAGES + 4) == (held.returncode, recorded(tmp_path / "urls.crawl"))

    def test_two_interrupts(
        self, origin: Origin, tmp_path: Path, key: str, urls: list[str], held: subprocess.Popen[str]
    ) -> None:
        """A second Ctrl-C waits for nothing; the run is resumable all the same."""
        while held.poll() is None:
            os.kill(held.pid, signal.SIGINT)
        _, said = held.communicate()

        assert (130, set()) == (held.returncode, members(held.pid))
        assert "Traceback" not in said
        self.goes_on(origin, tmp_path, key, urls)

    def test_interrupt_of_workers_that_start(self, origin: Origin, tmp_path: Path, key: str, urls: list[str]) -> None:
        """Ctrl-C in the moment in which a worker starts is as good as any later one."""
        with running("urls.txt", *self.FLAGS, cwd=tmp_path) as child:
            until(lambda: workers(child))
            os.killpg(child.pid, signal.SIGINT)
            _, said = child.communicate()

        assert (130, "", set()) == (child.returncode, complaints(said), members(child.pid))


class TestProcesses:
    @pytest.mark.parametrize("pages", [4, 3000])
    def test_count(self, origin: Origin, tmp_path: Path, pages: int) -> None:
        """There are as many workers as --procs says, however long the list, and none when the run is over."""
        key = tmp_path.name
        held = [origin.url(f"/hold/{key}?{n}") for n in range(4)]
        write_list(tmp_path, *held, *(origin.url(f"/204?{n}") for n in range(pages)))
        flags = (
            "--allow-private",
            "--no-robots",
            "--procs",
            "2",
            "--per-host",
            "0",
            "--chunk-size",
            "2",
            "--no-bodies",
        )
        with running("urls.txt", *flags, cwd=tmp_path) as child:
            until(lambda: all(origin.hits(f"/hold/{key}?{n}") for n in range(4)))
            found = len(workers(child))
            origin.release(key)
            child.communicate()

            assert (2, 0, set()) == (found, child.returncode, members(child.pid))
        assert [(0,), (1,)] == rows(tmp_path / "urls.crawl", "DISTINCT worker", "seq <= 4")

    def test_the_parent_stays_small(self, origin: Origin, tmp_path: Path) -> None:
        """The engines' libraries, and the display's where there is no terminal, are not imported by the parent."""
        write_list(tmp_path, origin.url("/page/1"))
        code = (
            "import sys; from crawler.cli.main import main; main(['urls.txt', '--allow-private']); "
            "print({'gevent', 'aiohttp', 'pycurl', 'requests', 'uvloop', 'rich', 'pyarrow'} & set(sys.modules))"
        )
        ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

        assert "set()" == ran.stdout.splitlines()[-1]


class TestOutput:
    @pytest.mark.parametrize("log_format", ["text", "json"])
    def test_nothing_of_a_server(self, origin: Origin, tmp_path: Path, log_format: str) -> None:
        """What servers send reaches no output unescaped: not while it runs, not from the rows."""
        odd = "%1b[31m%07%c2%9b"
        paths = (f"/bytes/9?type=text/x{odd}", f"/redirect-to?url=/{odd}", f"/redirect-to?url=x:{odd}", "/odd-reason")
        write_list(tmp_path, *map(origin.url, (*paths, "/garbage", "/nul-header")))
        ran = crawl("urls.txt", "--allow-private", "--log-format", log_format, cwd=tmp_path)
        shown = [
            crawl(*arguments, cwd=tmp_path)
            for arguments in (("report", "urls.crawl"), ("query", "urls.crawl", "SELECT * FROM pages"))
        ]

        assert [0, 0, 0] == [each.returncode for each in (ran, *shown)]
        for each in (ran, *shown):
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", each.stdout + each.stderr)

    def test_log_lines_are_json(
        self, origin: Origin, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With --log-format json, each line on standard error is an object, and so is the summary."""
        monkeypatch.setattr(progress, "_LOG_S", 0.0)
        urls = write_list(tmp_path, *(origin.url(f"/page/{n}") for n in range(9)), origin.url("/status/404"))
        main([str(urls), "--out", str(tmp_path / "out"), "--allow-private", "--log-format", "json"])
        said = capsys.readouterr()
        lines = [json.loads(line) for line in said.err.splitlines()]
        summary = json.loads(said.out)

        assert {"progress"} == {line["event"] for line in lines}
        assert (10, 9, 0.9, 1.0) == tuple(lines[-1][name] for name in ("recorded", "ok", "success_rate", "fraction"))
        assert (10, 10, True) == (summary["entries"], summary["fetched"], summary["finished"])

    def test_quiet(self, origin: Origin, tmp_path: Path) -> None:
        """With --quiet, a run that goes well says nothing."""
        write_list(tmp_path, origin.url("/page/1"))
        ran = crawl("urls.txt", "--allow-private", "--quiet", cwd=tmp_path)

        assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)
