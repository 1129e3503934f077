"""`crawl retry` from end to end: failures are fetched again into the crawl that recorded them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from command import complaints, crawl, recorded, rows, running, until, write_list
from conftest import Origin
from test_cli_run import check_archive

import crawler
from crawler.config import CrawlConfig
from crawler.crew import _condemned
from crawler.errors import FolderError
from crawler.executors.base import Died
from crawler.intake import Intake
from crawler.job import run_retry
from crawler.records import FlowState, Row
from crawler.results import open_crawl
from crawler.sources.recorded import RecordedSource
from crawler.store.selection import Selection

# Without robots.txt the first page has a fresh connection: a kept one that is reset is tried again within one attempt.
FLAGS = ("--allow-private", "--no-robots", "--retries", "0", "--procs", "1")
AN_HOUR = ("--procs", "1", "--delay", "3600")
"""One request to each host, and then none for as long as any test lasts: a retry that stops in the middle."""


@pytest.fixture
def key(tmp_path: Path) -> str:
    """What makes a test's paths its own at the shared origin."""
    return f"{tmp_path.parent.name}-{tmp_path.name}"


def crawled(folder: Path, *urls: str, flags: tuple[str, ...] = FLAGS) -> Path:
    """A finished crawl of these URLs."""
    write_list(folder, *urls)
    ran = crawl("urls.txt", *flags, cwd=folder)
    assert (0, "") == (ran.returncode, complaints(ran.stderr))
    return folder / "urls.crawl"


def retried(folder: Path, *flags: str) -> str:
    """What a retry prints that goes well."""
    ran = crawl("retry", "urls.crawl", *flags, cwd=folder)
    assert (0, "") == (ran.returncode, complaints(ran.stderr))
    return ran.stdout


def meta(out: Path, name: str) -> Any:
    """A value of the table `meta`."""
    with open_crawl(out) as results:
        ((value,),) = results.query("SELECT value FROM meta WHERE key = ?", (name,))
    return json.loads(value)


def counted(out: Path) -> dict[str, int]:
    """How many rows of each outcome there are, by the rows themselves."""
    found = dict(rows(out, "outcome, count(*)", "1 GROUP BY outcome"))
    return {outcome: found.get(outcome, 0) for outcome in crawler.records.OUTCOMES}


class TestSelection:
    @pytest.fixture
    def mixed(self, origin: Origin, tmp_path: Path, key: str) -> Path:
        """A page, a 503, a reset, a 404, a port where nobody listens, a duplicate, and what is no URL."""
        # On a connection that was kept alive a reset is no failure yet: the engine asks once more.
        reset = origin.url(f"/flaky-reset/{key}/1", "127.0.0.2")
        first = (origin.url(f"/page/1?{key}"), origin.url(f"/flaky/{key}/1"), reset, origin.url(f"/status/404?{key}"))
        more = (f"http://127.0.0.1:1/{key}", origin.url(f"/page/1?{key}#again"), "http://[")
        return crawled(tmp_path, *first, *more)

    @pytest.mark.parametrize(
        ("flags", "again"),
        [
            ("", {3, 5}),
            ("--error reset", {3}),
            ("--error reset,connect", {3, 5}),
            ("--status 5xx", {2}),
            ("--status 404 --status 503,500", {2, 4}),
            ("--error dns --error reset --status 4XX", {3, 4}),
        ],
    )
    def test_what_is_fetched_again(
        self, origin: Origin, tmp_path: Path, key: str, mixed: Path, flags: str, again: set[int]
    ) -> None:
        """Rows that a class or a status names, or all that failed; no other entry is asked for."""
        targets = {1: f"/page/1?{key}", 2: f"/flaky/{key}/1", 3: f"/flaky-reset/{key}/1", 4: f"/status/404?{key}"}
        first = {seq: origin.hits(target) for seq, target in targets.items()}
        retried(tmp_path, *flags.split())

        assert dict.fromkeys(targets, 1) == first
        assert {seq: 2 if seq in again else 1 for seq in targets} == {s: origin.hits(t) for s, t in targets.items()}
        assert [(seq, 2 if seq in again else 1) for seq in range(1, 6)] == rows(mixed, "seq, attempts", "seq < 6")

    def test_a_row_is_replaced(self, origin: Origin, tmp_path: Path, key: str, mixed: Path) -> None:
        """The new row stands where the old one stood, the counts are right, and the archive has only grown."""
        archive = mixed / "warc" / "00001.warc.gz"
        old = archive.read_bytes()
        before = check_archive(mixed)
        retried(tmp_path, "--error", "reset", "--status", "503")

        assert [
            (1, f"/page/1?{key}", "fetched", 200, 1, None),
            (2, f"/flaky/{key}/1", "fetched", 200, 2, None),
            (3, f"/flaky-reset/{key}/1", "fetched", 200, 2, None),
            (4, f"/status/404?{key}", "fetched", 404, 1, None),
        ] == rows(mixed, f"source_line, substr(url, {len(origin.url('')) + 1}), outcome, status, attempts, error",
                  "seq < 5")  # fmt: skip
        expected = {"fetched": 4, "failed": 1, "denied": 0, "duplicate": 1, "invalid": 1}
        assert expected == meta(mixed, "counts") == counted(mixed)
        assert meta(mixed, "finished") is True
        assert old == archive.read_bytes()[: len(old)]
        assert {**before, "response": before["response"] + 2, "request": before["request"] + 2} == check_archive(mixed)
        assert [True, True] == [offset >= len(old) for (offset,) in rows(mixed, "warc_offset", "seq IN (2, 3)")]
        with open_crawl(mixed) as results:
            assert "Page 3" in results.get(origin.url(f"/flaky/{key}/1")).text

    def test_nothing_matches(self, origin: Origin, tmp_path: Path, mixed: Path) -> None:
        """Where no row matches, one sentence says so; with --quiet none."""
        assert "No row of urls.crawl matches; nothing was fetched again.\n" == retried(tmp_path, "--error", "tls")
        assert "" == retried(tmp_path, "--error", "tls", "--quiet")
        assert 0 == json.loads(retried(tmp_path, "--error", "tls", "--log-format", "json"))["recorded"]

    def test_the_summary_counts_what_was_replaced(self, tmp_path: Path, mixed: Path) -> None:
        """`recorded` are the rows that this run replaced, `entries` those of the whole crawl."""
        summary = json.loads(retried(tmp_path, "--log-format", "json"))

        assert (2, 7, True) == (summary["recorded"], summary["entries"], summary["finished"])

    def test_fail(self, tmp_path: Path, mixed: Path) -> None:
        """`--fail` speaks of the whole crawl, as it does for a run."""
        assert 3 == crawl("retry", "urls.crawl", "--error", "reset", "--fail", cwd=tmp_path).returncode


def test_tries_are_limited_anew_and_counted_on(origin: Origin, tmp_path: Path, key: str) -> None:
    """Each retry has its own `--retries`; the row has the sum: no URL is hit more often than its attempts."""
    out = crawled(tmp_path, origin.url(f"/reset?{key}"), flags=(*FLAGS, "--retries", "1"))
    attempts = rows(out, "attempts")
    for _ in range(2):
        retried(tmp_path)
        attempts += rows(out, "attempts")

    assert [(2,), (4,), (6,)] == attempts
    assert 6 == origin.hits(f"/reset?{key}")


def test_a_crawl_that_keeps_duplicates(origin: Origin, tmp_path: Path, key: str) -> None:
    """What was fetched twice is fetched again twice: each entry has its own row."""
    url = origin.url(f"/reset?{key}")
    out = crawled(tmp_path, url, url, flags=(*FLAGS, "--keep-duplicates"))
    retried(tmp_path)

    assert [("failed", 2), ("failed", 2)] == rows(out, "outcome, attempts")


def test_a_killer_of_workers_keeps_its_attempts() -> None:
    """An entry that is condemned in a retry has the tries of both runs."""
    state = FlowState(1, "list", 1, "a.com", "http://a.com/", "a.com", attempts=1, earlier_attempts=4)

    assert 8 == _condemned(state, 3, Died(0, "was killed", (state,), ())).row.attempts


def test_rows_become_entries() -> None:
    """An entry has the seq, the place in the list, the attempts and the `extra` of its row, on both ends of a walk."""
    extra = {"id": [7]}
    whole = Row(9, "a.txt", 12, "a.com", None, None, "failed", attempts=3, extra=json.dumps(extra))
    many = [Row(seq, "a.txt", seq, "a.com", None, None, "failed") for seq in range(10, 3_000, 2)]
    source = RecordedSource("out", [whole, *many], 1 + len(many))
    batches = list(source)
    (state, *_), _ = Intake(CrawlConfig(), b"k" * 16).admit(batches[0])

    assert [9, *range(10, 3_000, 2)] == [entry.seq for batch in batches for entry in batch]
    assert (9, "a.txt", 12, "a.com", extra, 3) == (
        state.seq, state.source, state.source_line, state.url, state.extra, state.earlier_attempts
    )  # fmt: skip
    assert (source.length, 2_999, None) == (source.position, source.next_seq, source.mark())


class TestInterrupted:
    """A retry can be stopped anywhere: what was replaced is not fetched again, what was not stands as it stood."""

    PAGES = 12
    HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")

    @pytest.fixture
    def out(self, origin: Origin, tmp_path: Path, key: str) -> Path:
        """Pages that were 503 the first time, over three hosts, and one that is always 404."""
        hosts = [self.HOSTS[n % 3] for n in range(self.PAGES)]
        pages = [origin.url(f"/flaky/{key}/1?{n}", host) for n, host in enumerate(hosts)]
        return crawled(tmp_path, *pages, origin.url(f"/status/404?{key}"))

    def hits(self, origin: Origin, key: str) -> list[int]:
        return [origin.hits(f"/flaky/{key}/1?{n}") for n in range(self.PAGES)]

    def stop(self, folder: Path, number: signal.Signals) -> tuple[int, str]:
        """Retry what was 503 until one page of each host is replaced and the rest waits, then stop it with a signal."""
        out = folder / "urls.crawl"
        with running("retry", "urls.crawl", "--status", "5xx", *AN_HOUR, cwd=folder) as child:
            until(lambda: len(rows(out, "seq", "attempts = 2")) == len(self.HOSTS))
            os.killpg(child.pid, number)
            printed, _ = child.communicate()
        return child.returncode, printed

    def test_sigkill(self, origin: Origin, tmp_path: Path, key: str, out: Path) -> None:
        """After SIGKILL the same command replaces what is left, each row once, by other tuning if that is given."""
        self.stop(tmp_path, signal.SIGKILL)
        stopped = rows(out, "status, attempts")
        summary = json.loads(retried(tmp_path, "--status", "5xx", "--log-format", "json", "--procs", "2"))

        assert [(200, 2)] * 3 + [(503, 1)] * 9 + [(404, 1)] == stopped
        assert [(200, 2)] * 12 + [(404, 1)] == rows(out, "status, attempts")
        assert [2] * self.PAGES == self.hits(origin, key)
        assert self.PAGES - 3 == summary["recorded"]
        assert {"warcinfo": 1, "response": 25, "request": 25} == check_archive(out)
        assert meta(out, "counts") == counted(out)
        assert meta(out, "finished") is True

    def test_many_sigkills(self, origin: Origin, tmp_path: Path, key: str, out: Path) -> None:
        """Killed again and again, each run goes on where the one before was, until nothing is left."""
        for done in range(3, self.PAGES + 1, 3):
            with running("retry", "urls.crawl", "--status", "503", *AN_HOUR, cwd=tmp_path) as child:
                until(lambda done=done: len(rows(out, "seq", "attempts = 2")) == done)  # type: ignore[misc]
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()

        assert [2] * self.PAGES == self.hits(origin, key)
        assert "No row of urls.crawl matches; nothing was fetched again.\n" == retried(tmp_path, "--status", "503")
        check_archive(out)

    def test_interrupt(self, origin: Origin, tmp_path: Path, key: str, out: Path) -> None:
        """Ctrl-C is exit status 130, and the same command goes on."""
        status, printed = self.stop(tmp_path, signal.SIGINT)
        retried(tmp_path, "--status", "5xx")

        assert 130 == status
        assert "Stopped; what is recorded is safe in urls.crawl. The same command goes on." == printed.splitlines()[-1]
        assert [2] * self.PAGES == self.hits(origin, key)

    def test_the_list_itself_goes_on(self, origin: Origin, tmp_path: Path, key: str, out: Path) -> None:
        """The plain command on the folder of a stopped retry fetches nothing: the old rows stand, and wait on."""
        self.stop(tmp_path, signal.SIGKILL)
        hits = self.hits(origin, key)
        again = crawl("urls.txt", *FLAGS, cwd=tmp_path)

        assert (0, hits) == (again.returncode, self.hits(origin, key))
        assert [(503, 1)] * 9 == rows(out, "status, attempts", "status = 503")
        retried(tmp_path, "--status", "5xx")
        assert [2] * self.PAGES == self.hits(origin, key)

    def test_another_selection(self, origin: Origin, tmp_path: Path, key: str, out: Path) -> None:
        """A retry of another selection takes the place of the stopped one, whose old rows stand."""
        self.stop(tmp_path, signal.SIGKILL)
        hits = self.hits(origin, key)
        retried(tmp_path, "--status", "404")

        assert (hits, 2) == (self.hits(origin, key), origin.hits(f"/status/404?{key}"))
        assert [(503, 1)] * 9 == rows(out, "status, attempts", "status = 503")
        retried(tmp_path, "--status", "5xx")
        assert [2] * self.PAGES == self.hits(origin, key)

    def test_two_at_once(self, origin: Origin, tmp_path: Path, key: str, out: Path) -> None:
        """A folder has one run at a time, whichever they are."""
        with running("retry", "urls.crawl", "--status", "5xx", *AN_HOUR, cwd=tmp_path):
            until(lambda: len(rows(out, "seq", "attempts = 2")) == len(self.HOSTS))
            refused = [crawl(*a, cwd=tmp_path) for a in (("retry", "urls.crawl"), ("urls.txt", *FLAGS))]

        for each in refused:
            assert (2, "") == (each.returncode, each.stdout)
            assert "Another run is writing to urls.crawl" in each.stderr


def test_a_crawl_that_is_not_finished(origin: Origin, tmp_path: Path, key: str) -> None:
    """A retry reads no list: a crawl that was stopped is refused while it runs, and is no more finished afterwards."""
    urls = [origin.url(f"/flaky/{key}/1"), origin.url(f"/hold/{key}")]
    write_list(tmp_path, *urls)
    with running("urls.txt", *FLAGS, cwd=tmp_path) as child:
        until(lambda: recorded(tmp_path / "urls.crawl") == 1 and origin.hits(f"/hold/{key}"))
        refused = crawl("retry", "urls.crawl", "--status", "5xx", cwd=tmp_path)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    mark = meta(tmp_path / "urls.crawl", "mark")
    retried(tmp_path, "--status", "5xx")
    stopped = meta(tmp_path / "urls.crawl", "finished"), meta(tmp_path / "urls.crawl", "mark")
    origin.release(key)
    ended = crawl("urls.txt", *FLAGS, cwd=tmp_path)

    assert 2 == refused.returncode
    assert "Another run is writing to urls.crawl" in refused.stderr
    assert ((False, mark), 0) == (stopped, ended.returncode)
    assert [(200, 2), (200, 1)] == rows(tmp_path / "urls.crawl", "status, attempts")
    assert 2 == origin.hits(f"/flaky/{key}/1")


class TestSettings:
    @pytest.fixture
    def out(self, origin: Origin, tmp_path: Path, key: str) -> Path:
        """A crawl that sent a public field and a secret, and says what came."""
        header = ("--header", "Accept: text/x-odd", "--header", "X-Api-Key: s3cret", "--user-agent", "odd/1")
        return crawled(tmp_path, origin.url(f"/echo?{key}"), flags=(*FLAGS, *header))

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            ((), "urls.crawl was crawled with a header field X-Api-Key, whose value is not kept; give it again with"),
            (("--header", "X-Api-Key: 0ther"), "urls.crawl holds a crawl with other settings: header was [Accept: "),
        ],
        ids=["missing", "another"],
    )
    def test_a_secret_must_be_given_again(
        self, origin: Origin, tmp_path: Path, key: str, out: Path, header: tuple[str, ...], said: str
    ) -> None:
        """Without it, or with another one, a sentence says so, and no request is made."""
        ran = crawl("retry", "urls.crawl", "--status", "200", *header, cwd=tmp_path)

        assert (2, "", 1) == (ran.returncode, ran.stdout, origin.hits(f"/echo?{key}"))
        assert ran.stderr.startswith(f"crawl: {said}")
        assert "0ther" not in ran.stderr

    def test_the_crawls_own_settings(self, origin: Origin, tmp_path: Path, key: str, out: Path) -> None:
        """What is sent is what the crawl sent: public fields are known, the secret is given again."""
        with open_crawl(out) as results:
            before = json.loads(results.get(origin.url(f"/echo?{key}")).body)
        retried(tmp_path, "--status", "2xx", "--header", "x-api-key: s3cret")
        with open_crawl(out) as results:
            after = json.loads(results.get(origin.url(f"/echo?{key}")).body)

        assert [("Accept", "text/x-odd"), ("User-Agent", "odd/1"), ("X-Api-Key", "s3cret")] == [
            (name, value) for name, value in sorted(after["headers"]) if name in ("Accept", "User-Agent", "X-Api-Key")
        ]
        assert (sorted(before["headers"]), 2) == (sorted(after["headers"]), origin.hits(f"/echo?{key}"))


class TestRequests:
    """Crawls from a program, whose entries may be more than a URL."""

    SETTINGS: dict[str, Any] = {"allow_private": True, "robots": False, "retries": 0, "procs": 1}  # noqa: RUF012 - never changed

    @pytest.mark.parametrize("more", [{"method": "POST"}, {"headers": {"X-Key": "s3cret"}}, {"body": b"x"}])
    def test_what_is_not_kept_is_not_left_out(
        self, origin: Origin, tmp_path: Path, key: str, more: dict[str, Any]
    ) -> None:
        """A method, fields or a body of a Request's own are not in the folder: such a crawl is refused."""
        requests: list[Any] = [crawler.Request(origin.url(f"/reset?{key}"), **more), origin.url(f"/page/1?{key}")]
        crawler.crawl(requests, out=tmp_path / "out", **self.SETTINGS)
        hits = origin.hits(f"/reset?{key}")
        with pytest.raises(FolderError, match="was crawled from Requests with a method, header fields or a body of"):
            run_retry(tmp_path / "out", CrawlConfig(), Selection())

        assert hits == origin.hits(f"/reset?{key}")

    def test_what_is_kept_goes_along(self, origin: Origin, tmp_path: Path, key: str) -> None:
        """A Request with an `extra` alone is fetched again; its row keeps that; what was no Request is no hindrance."""
        requests: list[Any] = [
            crawler.Request(origin.url(f"/flaky-reset/{key}/1"), extra={"id": [7, "ö"]}),
            crawler.Request("http://a/", "BAD METHOD"),
            7,
        ]
        crawler.crawl(requests, out=tmp_path / "out", **self.SETTINGS)
        summary = run_retry(tmp_path / "out", CrawlConfig(procs=1), Selection())

        assert (1, True) == (summary.recorded, summary.finished)
        with contextlib.closing(open_crawl(tmp_path / "out")) as results:
            assert [("fetched", {"id": [7, "ö"]}), ("invalid", None), ("invalid", None)] == [
                (page.outcome, page.extra) for page in results.pages()
            ]
