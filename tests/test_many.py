"""The promise on many machines: whatever is killed, each entry has one row, and each row its whole page."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
import trustme
from buckets import BUCKET, running_buckets
from command import crawl, until
from conftest import Origin, running_origin
from fleet import Machine, Redis, environment, running_machine, running_redis

import crawler
from crawler.depot import open_depot
from crawler.store.database import open_reading, read_meta

FLAGS = ("--allow-private", "--no-robots", "--chunk-size", "20", "--quiet")
QUICK_PAGES = 240
HELD = 6


@dataclasses.dataclass
class Site:
    """One list, one broker, one store, one output."""

    folder: Path
    redis: Redis
    origin: Origin
    key: str
    store: str
    extra: dict[str, str]

    @property
    def out(self) -> Path:
        return self.folder / "out.crawl"

    def write(self, *more: str, pages: int = QUICK_PAGES, held: int = HELD) -> int:
        """A list of so many pages on two hosts, and on these and a third some that come only when they are released."""
        urls = [self.origin.url(f"/bytes/{n}?{self.key}", host=f"127.0.0.{1 + n % 2}") for n in range(1, pages + 1)]
        urls += [self.origin.url(f"/hold/{self.key}?{n}", host=f"127.0.0.{1 + n % 3}") for n in range(held)]
        urls += more
        (self.folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
        return len(urls)

    def command(self, *flags: str) -> list[str]:
        return [
            sys.executable, "-m", "crawler", "urls.txt", "--broker", self.redis.url, "--store", self.store,
            "--out", str(self.out), *FLAGS, *flags,
        ]  # fmt: skip

    def alone(self, out: str = "out.crawl") -> None:
        """The crawl on one machine."""
        command = [sys.executable, "-m", "crawler", "urls.txt", "--out", out, *FLAGS]
        subprocess.run(command, cwd=self.folder, check=True)

    def coordinator(self, *flags: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """The coordinator of the crawl."""
        return self.running(*self.command(*flags))

    def retry(self, *flags: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """The coordinator of a retry of all pages that are 2xx: a site that was 5xx would be given time to rest."""
        command = [sys.executable, "-m", "crawler", "retry", str(self.out), "--broker", self.redis.url]
        return self.running(*command, "--status", "2xx", "--log-format", "json", "--chunk-size", "10", *flags)

    @contextlib.contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A coordinator, in a session of its own."""
        child = subprocess.Popen(
            command, cwd=self.folder, env=environment(self.extra), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            yield child
        finally:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()

    def machine(self, *flags: str) -> contextlib.AbstractContextManager[Machine]:
        return running_machine(self.redis.url, self.folder, *flags, extra=self.extra)

    def recorded(self) -> int:
        """How many rows there are."""
        try:
            with contextlib.closing(open_reading(self.out / "crawl.db")) as connection:
                return int(connection.execute("SELECT count(*) FROM pages").fetchone()[0])
        except (crawler.CrawlerError, OSError):
            return 0

    def until_most(self, share: float = 0.5) -> None:
        """Until so much of what is quick is recorded, while what is held keeps the crawl from its end."""
        until(lambda: self.recorded() >= share * QUICK_PAGES)

    def finish(self, child: subprocess.Popen[str]) -> None:
        """Let the held pages come, and the crawl end."""
        self.origin.release(self.key)
        said, _ = child.communicate()
        assert 0 == child.returncode, said

    def judge(self, entries: int) -> None:
        """Each entry has one row, each row its page, byte for byte; and there is nothing else in the store."""
        with mock.patch.dict(os.environ, self.extra), crawler.open(self.out) as results:
            rows = collections.Counter((page.outcome, page.status) for page in results.pages())
            assert {("fetched", 200): entries} == rows
            for page in results.pages():
                if "/bytes/" in page.url:
                    length = int(page.url.partition("/bytes/")[2].partition("?")[0])
                    assert (length, length) == (len(page.body), page.row.bytes_body), page.url
            named = {str(file) for (file,) in results.query("SELECT DISTINCT warc_file FROM pages")}
        assert {"crawl", *named} == set(self.stored())

    def stored(self) -> list[str]:
        """The names of all that is in the store."""
        if not self.store.startswith("s3"):
            return [str(path.relative_to(self.store)) for path in Path(self.store).rglob("*") if path.is_file()]
        with mock.patch.dict(os.environ, self.extra):
            return [name for name, _ in open_depot(self.store).sizes("")]


@pytest.fixture(scope="module")
def buckets() -> Iterator[dict[str, str]]:
    with running_buckets() as environment:
        yield environment


@pytest.fixture
def site(request: pytest.FixtureRequest, origin: Origin, tmp_path: Path) -> Iterator[Site]:
    """A crawl on a broker of its own."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as redis:
        yield Site(tmp_path, redis, origin, tmp_path.name, str(tmp_path / "store"), {})
        origin.release(tmp_path.name)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_the_same_crawl_as_on_one_machine(kind: str, site: Site, request: pytest.FixtureRequest) -> None:
    """The same rows; every command reads them and their pages; and nothing of it is left at the broker."""
    if kind == "s3":
        site.extra = request.getfixturevalue("buckets")
        site.store = f"s3://{BUCKET}/{site.key}"
    entries = site.write(site.origin.url("/status/404"), held=0)
    site.alone("alone.crawl")
    with site.machine(), site.coordinator() as child:
        site.finish(child)
    columns = "seq, url, outcome, status, attempts, bytes_body, digest, body_digest, content_type"
    with crawler.open(site.folder / "alone.crawl") as one, crawler.open(site.out) as many:
        query = f"SELECT {columns} FROM pages ORDER BY seq"
        assert list(one.query(query)) == list(many.query(query))

    def say(*arguments: str) -> str:
        command = [sys.executable, "-m", "crawler", *arguments]
        return subprocess.run(
            command, cwd=site.folder, env={**os.environ, **site.extra}, check=True, capture_output=True, text=True
        ).stdout

    url = site.origin.url(f"/bytes/7?{site.key}", host="127.0.0.2")
    assert 7 == len(say("get", "out.crawl", url))
    say("export", "out.crawl", "--to", "jsonl", "out.jsonl")
    say("export", "out.crawl", "--to", "wacz", "out.wacz")
    say("export", "out.crawl", "--to", "cdxj", "out.cdxj")
    assert entries == len((site.folder / "out.cdxj").read_text().splitlines())
    assert entries == len((site.folder / "out.jsonl").read_text().splitlines())
    assert entries == json.loads(say("report", "out.crawl", "--json"))["entries"]
    say("retry", "out.crawl", "--status", "404", "--quiet")
    with crawler.open(site.out) as results:
        ((again, file),) = results.query("SELECT attempts, warc_file FROM pages WHERE status = 404")
    assert (2, "00001.warc.gz") == (again, file)


class TestRetry:
    """`crawl retry` on machines: as on one, whatever is killed."""

    PAGES = 90

    @pytest.fixture
    def targets(self, site: Site) -> list[str]:
        """A list of pages on three hosts, and of one that is 404."""
        targets = [f"/bytes/{n}?{site.key}" for n in range(1, self.PAGES + 1)]
        urls = [site.origin.url(target, host=f"127.0.0.{1 + n % 3}") for n, target in enumerate(targets)]
        urls.append(site.origin.url(f"/status/404?{site.key}"))
        (site.folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
        return targets

    def crawl(self, site: Site) -> None:
        with site.machine(), site.coordinator() as child:
            site.finish(child)

    def summary(self, child: subprocess.Popen[str]) -> dict[str, Any]:
        said, _ = child.communicate()
        assert 0 == child.returncode, said
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def judge(self, site: Site, targets: list[str], files: set[str]) -> None:
        """Each page was asked for twice in all; its row has the second answer and both attempts, the archive both."""
        with crawler.open(site.out) as results:
            found = list(results.query("SELECT status, attempts, warc_file FROM pages ORDER BY seq"))
            assert 1 == len(results.get(site.origin.url(targets[0])).body)
        assert [(200, 2)] * self.PAGES + [(404, 1)] == [row[:2] for row in found]
        assert [2] * self.PAGES == [site.origin.hits(target) for target in targets]
        assert 1 == site.origin.hits(f"/status/404?{site.key}")
        assert files | {file for *_, file in found[:-1]} == self.files(site)

    def files(self, site: Site) -> set[str]:
        return {path.relative_to(site.store).as_posix() for path in Path(site.store).glob("warc/*/*")}

    def test_the_same_as_on_one_machine(self, site: Site, targets: list[str]) -> None:
        """What is selected is fetched again, into the crawl's own store; what does not match asks nobody."""
        self.crawl(site)
        files = self.files(site)
        with site.machine(), site.retry() as child:
            summary = self.summary(child)
        nothing = [sys.executable, "-m", "crawler", "retry", "out.crawl", "--broker", site.redis.url]
        said = subprocess.run(nothing, cwd=site.folder, check=True, capture_output=True, text=True).stdout
        export = [sys.executable, "-m", "crawler", "export", "out.crawl", "--to", "cdxj", "out.cdxj"]
        subprocess.run(export, cwd=site.folder, check=True)

        assert (self.PAGES, self.PAGES + 1, True) == (summary["recorded"], summary["entries"], summary["finished"])
        assert "No row of out.crawl matches; nothing was fetched again.\n" == said
        assert 2 * self.PAGES + 1 == len((site.folder / "out.cdxj").read_text().splitlines())
        self.judge(site, targets, files)

    def test_its_coordinator_is_killed(self, site: Site, targets: list[str]) -> None:
        """Again and again: what machines did meanwhile is taken in, and replaces its row; nothing is asked twice."""
        self.crawl(site)
        files = self.files(site)
        with site.machine():
            for share in (0.1, 0.3, 0.5):  # half of it is left for seconds: a retry that was done would begin anew
                with site.retry("--delay", "0.15") as child:
                    until(lambda share=share: self.asked(site, targets) >= share * self.PAGES)  # type: ignore[misc]
                    child.kill()
            with site.retry() as child:
                self.summary(child)
        self.judge(site, targets, files)

    def asked(self, site: Site, targets: list[str]) -> int:
        return sum(site.origin.hits(target) == 2 for target in targets)

    def test_its_machine_is_killed(self, site: Site, targets: list[str]) -> None:
        """The old rows stand until another has done its chunks."""
        self.crawl(site)
        with site.retry("--delay", "0.05") as child:
            with site.machine() as one:
                until(lambda: self.asked(site, targets) >= self.PAGES // 3)
                one.kill()
            with site.machine():
                self.summary(child)
        with crawler.open(site.out) as results:
            assert [(200, self.PAGES), (404, 1)] == list(
                results.query("SELECT status, count(*) FROM pages GROUP BY status ORDER BY status")
            )

    def test_a_crawl_of_one_machine(self, site: Site, targets: list[str]) -> None:
        """It needs a store, which is then the crawl's; the archive of its own stays what it was."""
        site.alone()
        with site.retry() as child:
            said, _ = child.communicate()
            assert (2, True) == (child.returncode, "say with --store where they are to lie" in said)
        with site.machine(), site.retry("--store", site.store) as child:
            self.summary(child)

        self.judge(site, targets, set())


def test_what_others_have_in_the_store_stays(site: Site) -> None:
    """It may be a bucket for many things, or the crawl's own folder, where pages of one machine lie, too."""
    site.store = str(site.out)
    site.write(site.origin.url("/status/404"), pages=3, held=0)
    site.alone()
    others = [site.out / name for name in ("warc/2024/a", "rows/2024/1.a.0000", "runs/2024/plan", "runs/b")]
    for other in others:
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(b"another's")
    with site.machine(), site.retry("--store", site.store) as child:
        site.finish(child)

    assert [b"another's"] * 4 == [other.read_bytes() for other in others]
    with crawler.open(site.out) as results:
        assert [1, 2, 3, 10] == [len(page.body) for page in results.pages()]
        files = {str(file) for (file,) in results.query("SELECT DISTINCT warc_file FROM pages")}
    assert {"00001.warc.gz"} < files


def test_a_finished_crawl_asks_nobody(site: Site) -> None:
    """The same command again is done at once, and needs neither broker nor machine; what came too late goes."""
    entries = site.write(held=0)
    with site.machine(), site.coordinator() as child:
        site.finish(child)
    with crawler.open(site.out) as results:
        ((file,),) = results.query("SELECT warc_file FROM pages LIMIT 1")
    Path(site.store, f"{file}-of-a-frozen-machine").write_bytes(b"late")
    site.redis.kill()
    with site.coordinator() as child:
        site.finish(child)
    site.redis.start()
    site.judge(entries)


def test_a_worker_process_is_killed(site: Site) -> None:
    """Its machine goes on without it, and nobody else hears of it."""
    entries = site.write()
    with site.machine() as machine, site.coordinator() as child:
        site.until_most()
        os.kill(max(machine.workers()), signal.SIGKILL)
        site.finish(child)
    site.judge(entries)


def test_a_machine_is_killed(site: Site) -> None:
    """After its lease another does its chunks."""
    entries = site.write()
    with site.machine() as one, site.machine(), site.coordinator() as child:
        until(lambda: sum(site.origin.hits(f"/hold/{site.key}?{n}") for n in range(HELD)) == HELD)
        site.until_most()
        one.kill()
        site.finish(child)
    site.judge(entries)


def test_a_machine_freezes_and_thaws(site: Site) -> None:
    """It is taken for dead; when it wakes, it knows that its lease is over, and disturbs nobody."""
    entries = site.write()
    client = site.redis.client()
    with site.machine() as one, site.machine(), site.coordinator() as child:
        until(lambda: sum(site.origin.hits(f"/hold/{site.key}?{n}") for n in range(HELD)) == HELD)
        site.until_most()
        term = one.term(client)
        with one.frozen():
            until(lambda: sum(site.origin.hits(f"/hold/{site.key}?{n}") for n in range(HELD)) > HELD)
        until(lambda: one.term(client) > term)
        site.finish(child)
    site.judge(entries)


def test_a_machine_does_not_see_the_store(site: Site) -> None:
    """It says so, the coordinator says it once, and what it was ordered is done by another."""
    entries = site.write(pages=40, held=0)
    words = f"The store {site.folder}/unmounted does not hold run "
    loud = [word for word in site.command() if word != "--quiet"]
    with site.machine("--store", str(site.folder / "unmounted")) as blind, site.running(*loud) as child:
        assert child.stdout is not None
        said = next(line for line in child.stdout if words in line)
        with site.machine():
            rest, _ = child.communicate()
            assert 0 == child.returncode, rest
        assert 1 == blind.log.count(words)
    site.judge(entries)

    assert f": {words}" in said
    assert f": {words}" not in rest


def test_an_order_comes_again_while_its_machine_is_silent(site: Site) -> None:
    """By then another machine does it, since its lease was over: the late one drops it, and its rows are refused."""
    site.extra = {"CRAWL_TEST_VISIBILITY_S": "6"}  # a lease and its grace are five
    early = [f"/hold/{site.key}-early?{n}" for n in (1, 2, 3)]
    entries = site.write(*(site.origin.url(page, host=f"127.0.0.{page[-1]}") for page in early))
    pages = [*early, *(f"/hold/{site.key}?{n}" for n in range(HELD))]
    client = site.redis.client()
    with site.machine() as late, site.machine(), site.coordinator() as child:
        until(lambda: sum(map(site.origin.hits, pages)) == len(pages))
        orders, term = late.orders(client), late.term(client)
        with late.frozen():
            until(lambda: not orders & late.orders(client))
            until(lambda: sum(map(site.origin.hits, pages)) > len(pages))
            site.origin.release(f"{site.key}-early")  # the late one finds their pages when it wakes
        until(lambda: late.term(client) > term)
        until(lambda: not client.llen(late.queue))
        site.finish(child)
    site.judge(entries)


def test_all_machines_are_killed_and_another_comes(site: Site) -> None:
    """The coordinator waits for one."""
    entries = site.write()
    with site.coordinator() as child:
        with site.machine() as one:
            site.until_most()
            one.kill()
        with site.machine():
            site.finish(child)
    site.judge(entries)


def test_a_machine_leaves(site: Site) -> None:
    """It finishes or hands back what it has, and nobody waits for a lease."""
    entries = site.write()
    with site.machine() as one, site.coordinator() as child:
        site.until_most()
        assert 0 == one.leave()
        with site.machine():
            site.finish(child)
    site.judge(entries)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_coordinator_ends_and_comes_back(how: signal.Signals, site: Site) -> None:
    """The same command goes on; what machines did meanwhile is taken in, not fetched again."""
    entries = site.write()
    with site.machine():
        with site.coordinator() as child:
            site.until_most()
            os.kill(child.pid, how)
            child.wait()
        with site.coordinator() as child:
            site.finish(child)
    site.judge(entries)


def restart(redis: Redis) -> None:
    redis.kill()
    redis.start()


def flush(redis: Redis) -> None:
    redis.client().flushall()


@pytest.mark.parametrize("fault", [restart, flush])
def test_the_broker_forgets(fault: Callable[[Redis], None], site: Site) -> None:
    """Killed and started again with its file, or emptied: what was in it is in the store, or is sent again."""
    entries = site.write()
    with site.machine(), site.coordinator() as child:
        site.until_most()
        fault(site.redis)
        site.finish(child)
    site.judge(entries)


def test_the_broker_is_away_for_longer_than_a_lease(site: Site) -> None:
    """Machines let go of what may be others' by then, and take it up again when the broker is back."""
    entries = site.write()
    with site.machine() as machine, site.coordinator() as child:
        site.until_most()
        site.redis.kill()
        until(lambda: "hands back its chunks" in machine.log)
        site.redis.start()
        site.finish(child)
    site.judge(entries)


def test_what_the_queue_doubles_reaches_nobody(site: Site) -> None:
    """Every order that is being done comes once more, as after its visibility timeout: each page is fetched once."""
    entries = site.write()
    with site.machine(), site.coordinator() as child:
        until(lambda: sum(site.origin.hits(f"/hold/{site.key}?{n}") for n in range(HELD)) == HELD)
        client = site.redis.client()
        doubled = [json.loads(value) for value in client.hvals("unacked")]
        for message, _, queue in doubled:
            client.lpush(queue, json.dumps(message))
        until(lambda: not client.llen(doubled[0][2]))
        site.finish(child)
    site.judge(entries)

    assert [1] * HELD == [site.origin.hits(f"/hold/{site.key}?{n}") for n in range(HELD)]


def test_a_second_coordinator_is_refused(site: Site) -> None:
    """Of another crawl, while the first one leads; in one sentence."""
    entries = site.write()
    with site.machine(), site.coordinator() as child:
        site.until_most()
        command = [part.replace("out.crawl", "other.crawl") for part in site.command()]
        second = subprocess.run(
            command, cwd=site.folder, env=environment(), capture_output=True, text=True, check=False
        )
        site.finish(child)
    assert 2 == second.returncode
    assert second.stderr.startswith("crawl: Another crawl leads on this broker (run ")
    site.judge(entries)


def test_a_store_of_another_crawl_is_refused(site: Site) -> None:
    """Two crawls do not mix their pages."""
    site.write(held=0)
    with site.machine(), site.coordinator() as child:
        site.finish(child)
    command = [part.replace("out.crawl", "other.crawl") for part in site.command()]
    second = subprocess.run(command, cwd=site.folder, env=environment(), capture_output=True, text=True, check=False)

    assert (2, True) == (second.returncode, "holds the pages of another crawl; choose another --store" in second.stderr)
    assert not site.redis.client().exists("crawler:lead")  # it leads no more, and keeps nobody waiting


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--replicaof", "127.0.0.1", "1"], "You can't write against a read only replica"),
        (["--maxmemory", "1"], "command not allowed when used memory > 'maxmemory'"),
    ],
)
def test_a_broker_that_refuses_is_a_sentence(options: list[str], reason: str, tmp_path: Path) -> None:
    """It answers, and does nothing for us: coordinator and machine say why, in one line."""
    (tmp_path / "urls.txt").write_text("http://127.0.0.1/\n")
    with running_redis(tmp_path, options) as redis:
        for command in (["urls.txt", "--store", "s"], ["worker"]):
            ran = crawl(*command, "--broker", redis.url, cwd=tmp_path)
            assert (2, 1) == (ran.returncode, ran.stderr.count("\n"))
            assert ran.stderr.startswith(f"crawl: The broker {redis.url} cannot be used: ")
            assert reason in ran.stderr


def test_a_spool_that_cannot_be_is_a_sentence(site: Site, tmp_path: Path) -> None:
    """Before the machine is there for anybody."""
    ran = crawl("worker", "--broker", site.redis.url, "--spool", "nowhere", cwd=tmp_path)

    said = "crawl: nowhere cannot hold what is fetched: No such file or directory; choose another --spool.\n"
    assert (2, said) == (ran.returncode, ran.stderr)


@pytest.mark.timeout(300)  # each death takes a lease, and a new machine's start
def test_a_page_that_kills_its_machine(site: Site) -> None:
    """Its chunk is split until it is alone: it is the only one that is condemned."""
    flags = ("--parse", "killing:kill")
    site.extra = {"PYTHONPATH": f"{Path(__file__).with_name('quick')}{os.pathsep}{Path(__file__).parent}"}
    (site.folder / "urls.txt").write_text(
        "".join(f"{site.origin.url(f'/bytes/{n}?{site.key}')}\n" for n in (*range(660, 670),))
    )
    deaths = 0
    with site.coordinator(*flags) as child:
        while child.poll() is None:
            with site.machine(*flags) as machine:
                until(lambda machine=machine: machine.process.poll() is not None or child.poll() is not None)  # type: ignore[misc]
                deaths += machine.process.poll() is not None
        said, _ = child.communicate()
    assert 0 == child.returncode, said
    with crawler.open(site.out) as results:
        ended = {page.url.partition("/bytes/")[2][:3]: (page.outcome, page.error_class) for page in results.pages()}

    assert {f"{n}": ("fetched", None) for n in range(660, 670) if n != 666} | {
        "666": ("failed", "worker_crash")
    } == ended
    assert deaths <= 8


@pytest.mark.parametrize("kill", [False, True])
def test_a_host_sees_no_more_than_its_limit(kill: bool, site: Site) -> None:
    """Two machines of two processes, and others' redirects to it: as the server counts; also when one machine dies."""
    target_folder = site.folder / "target"
    target_folder.mkdir()
    with running_origin(target_folder, ["127.0.0.1", "127.0.0.5"]) as target:
        pages = [target.url(f"/slow-head?s=0.03&{n}", host="127.0.0.5") for n in range(160)]
        for n in range(0, 160, 2):
            pages[n] = site.origin.url(f"/redirect-to?status=302&url={quote(pages[n])}", host=f"127.0.0.{1 + n % 3}")
        (site.folder / "urls.txt").write_text("".join(f"{page}\n" for page in pages))
        with site.machine() as one, site.machine() as other, site.coordinator("--per-host", "2") as child:
            if kill:
                until(lambda: site.recorded() >= 40)
                until(lambda: one.talks_to("127.0.0.5") or other.talks_to("127.0.0.5"))
                (one if one.talks_to("127.0.0.5") else other).kill()
            site.finish(child)
        most = target.stats()["most_in_flight"]
    site.judge(160)

    assert 1 <= most <= 2


def test_a_broker_behind_tls(origin: Origin, tmp_path: Path) -> None:
    """Its certificate is checked against the authority that the URL names; without one it is not trusted."""
    authority, folder = trustme.CA(), tmp_path / "redis"
    folder.mkdir()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    options = ["--port", "0", "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", "server.pem", "--tls-key-file", "server.pem", "--tls-ca-cert-file", "ca.pem"]
    with running_redis(folder, options, tls=True) as redis:
        site = Site(tmp_path, redis, origin, tmp_path.name, str(tmp_path / "store"), {})
        stranger = site.command()
        redis.url += f"?ssl_ca_certs={folder / 'ca.pem'}"
        entries = site.write(held=0)
        refused = subprocess.run(stranger, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
        with site.machine(), site.coordinator() as child:
            site.finish(child)
        site.judge(entries)

    assert (2, True) == (refused.returncode, "does not answer" in refused.stderr)


def test_a_password_is_seen_by_nobody(origin: Origin, tmp_path: Path) -> None:
    """It comes from the environment; it is in no command line, log, row, or key, and never in a URL."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder, ["--requirepass", "pass-of-a-test"]) as redis:
        extra = {"CRAWL_BROKER_PASSWORD": "pass-of-a-test", "AWS_SECRET_ACCESS_KEY": "key-of-a-test"}
        site = Site(tmp_path, redis, origin, tmp_path.name, str(tmp_path / "store"), extra)
        entries = site.write()
        with site.machine() as machine, site.coordinator() as child:
            site.until_most()
            lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (machine.process.pid, child.pid)]
            site.finish(child)
        seen = [
            *lines,
            machine.log.encode(),
            (folder / "appendonlydir").joinpath("appendonly.aof.1.incr.aof").read_bytes(),
        ]
        seen += [path.read_bytes() for path in site.out.rglob("*") if path.is_file()]
        seen += [path.read_bytes() for path in Path(site.store).rglob("*") if path.is_file()]
        site.judge(entries)

    assert [False] * len(seen) == [b"pass-of-a-test" in data or b"key-of-a-test" in data for data in seen]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--broker", "redis://:secret@127.0.0.1/0", "--store", "s"],
            "give it in the environment as CRAWL_BROKER_PASSWORD",
        ),
        (["--broker", "amqp://127.0.0.1", "--store", "s"], "A broker is written redis://host:port/0"),
        (["--broker", "redis://[bad", "--store", "s"], "A broker is written redis://host:port/0"),
        (["--broker", "redis://127.0.0.1/abc", "--store", "s"], "A broker is written redis://host:port/0"),
        (["--broker", "redis://127.0.0.1/\u0663", "--store", "s"], "A broker is written redis://host:port/0"),
        (["--broker", "redis://127.0.0.1/0#1", "--store", "s"], "A broker is written redis://host:port/0"),
        (["--broker", "redis://127.0.0.1:1/0", "--store", "s"], "The broker redis://127.0.0.1:1/0 does not answer"),
        (["--broker", "redis://127.0.0.1:1/0"], "Many machines need both --broker and --store"),
        (["--store", "s"], "Many machines need both --broker and --store"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(flags: list[str], words: str, tmp_path: Path) -> None:
    """Before anything begins, and without a secret in it."""
    (tmp_path / "urls.txt").write_text("http://127.0.0.1/\n")
    command = [sys.executable, "-m", "crawler", "urls.txt", *flags]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (2, True, False) == (run.returncode, words in run.stderr, "secret@" in run.stderr)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["worker", "--broker", "redis://127.0.0.1:1/0"], "celery"),
        (["worker", "--broker", "redis://127.0.0.1:1/0"], "redis"),
        (["urls.txt", "--broker", "redis://127.0.0.1:1/0", "--store", "s"], "celery"),
        (["urls.txt", "--broker", "redis://127.0.0.1:1/0", "--store", "s"], "packaging"),
        (["urls.txt", "--broker", "redis://127.0.0.1:1/0", "--store", "s3://b/p"], "obstore"),
    ],
)
def test_what_is_not_installed_is_named(arguments: list[str], missing: str, tmp_path: Path) -> None:
    """With the extra that has it."""
    (tmp_path / "urls.txt").write_text("http://127.0.0.1/\n")
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from crawler.cli.main import main; sys.exit(main({arguments}))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (2, True) == (run.returncode, "pip install 'crawler[many]'" in run.stderr), run.stderr


def test_one_machine_does_not_pay_for_many(site: Site) -> None:
    """Without --broker nothing of Celery, Redis or S3 is imported."""
    site.write(pages=3, held=0)
    code = (
        "import sys; from crawler.cli.main import main; "
        "main(['urls.txt', '--out', 'x', '--quiet', '--allow-private', '--no-robots']); "
        "print({'celery', 'kombu', 'redis', 'obstore', 'packaging'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=site.folder, capture_output=True, text=True, check=True)

    assert "set()\n" == run.stdout


def test_machines_are_seen(site: Site) -> None:
    """By Celery's own tools, each order being a task; and in the metrics, with a label a machine."""
    entries = site.write()
    with site.machine(), site.coordinator("--metrics-port", "0") as child:
        assert child.stdout is not None
        url = child.stdout.readline().partition("Prometheus: ")[2].rstrip(")\n")
        until(lambda: 'machine="' in urllib.request.urlopen(url, timeout=30).read().decode())
        inspect = [sys.executable, "-m", "celery", "--broker", site.redis.url, "inspect", "--json"]
        ((name, tasks), (_, pong), (_, stats)) = (
            (*machine,)
            for what in ("active", "ping", "stats")
            for machine in json.loads(subprocess.check_output([*inspect, what], text=True)).items()
        )
        site.finish(child)
    site.judge(entries)

    assert name.startswith("crawl-")
    assert {"crawler.chunk"} == {task["name"] for task in tasks}
    assert {"ok": "pong"} == pong
    assert {"crawler.chunk"} == stats["total"].keys()


def test_the_store_is_noted_and_kept(site: Site) -> None:
    """`meta` names it; another one for the same crawl is refused."""
    site.write()
    with site.machine():
        with site.coordinator() as child:
            site.until_most()
        with contextlib.closing(open_reading(site.out / "crawl.db")) as connection:
            assert site.store == read_meta(connection)["depot"]
        command = [part.replace(site.store, f"{site.store}-other") for part in site.command()]
        other = subprocess.run(command, cwd=site.folder, env=environment(), capture_output=True, text=True, check=False)
        with site.coordinator() as child:
            site.finish(child)

    assert (2, True) == (other.returncode, f"has pages in the store {site.store}; give that one" in other.stderr)
