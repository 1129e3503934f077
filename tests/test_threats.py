"""What the open web may do to us, engine by engine, through real workers: the rows, and where no packet goes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import threats
import vectors
from command import crawl, until, workers, write_list
from command import running as running_command
from fuzz import Target, fuzz
from fuzz.targets import TARGETS
from hostile import DOOR, INSIDE
from names import holds
from threats import CASES, ENGINES, World

import crawler
from crawler.cookies import collect

LOCAL: dict[str, Any] = {"allow_private": True, "retries": 0}
SECRETS = {"Authorization": "Basic c2VjcmV0LW9uZQ==", "Cookie": "own=secret-two", "X-Key": "secret-three"}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Everybody whom the cases talk to."""
    with threats.running() as running:
        yield running


@pytest.mark.parametrize("engine", ENGINES)
def test_rows(engine: str, world: World) -> None:
    """Each threat has the row that the table says, and no connection is made to an address that is refused."""
    before = world.hostile.connections.copy()
    pages = threats.run(world, engine)

    expected = [(case.threat, case.path, case.host, case.expected(engine)) for case in CASES]
    assert expected == [
        (case.threat, case.path, case.host, threats.row(page)) for case, page in zip(CASES, pages, strict=True)
    ]
    assert {DOOR} == set(world.hostile.connections - before)


@pytest.mark.parametrize("engine", ENGINES)
def test_injected_lines_are_none(engine: str, world: World) -> None:
    """Whatever the list or a redirect holds, the server sees one request line and our own fields."""
    urls = [case.entry(world) for case in CASES if case.threat.startswith("header injection by")]
    seen = len(world.hostile.requests)
    list(crawler.fetch(urls, procs=1, engine=engine, keep_duplicates=True, **threats.BARE))
    requests = world.hostile.requests[seen:]

    assert len(requests) >= 5
    assert not [fields for line, fields in requests if "x-injected" in fields or line.count(" ") != 2]


@pytest.mark.parametrize("engine", ENGINES)
def test_credentials_stay_with_their_origin(engine: str, world: World) -> None:
    """A redirect to another scheme, host or port takes neither the run's own fields nor the entry's nor its cookies."""
    here, there = world.hostile.url("/echo"), world.origin
    targets = {
        "same": here,
        "host": world.hostile.url("/echo", "a.test"),
        "port": there.url("/echo", DOOR),
        "scheme": there.tls_url("/echo", DOOR),
    }
    world.names.zone["a.test"] = holds(f"a.test 30 A {DOOR}")
    (authorization, own), *rest = SECRETS.items()
    requests = [
        crawler.Request(
            world.hostile.url(threats._to(target)).replace("http://", "http://user:secret-four@"),
            headers={authorization: own} if number % 2 else {},
            extra={"name": name},
        )
        for name, target in targets.items()
        for number in range(2)
    ]
    settings = {**threats.BARE, "resolver": world.names.address, "insecure": True, "keep_duplicates": True}
    pages = list(crawler.fetch(requests, procs=1, engine=engine, header=tuple(rest), **settings))

    assert [200] * 8 == [page.status for page in pages]
    told = {page.extra["name"]: page.text for page in pages}
    assert {"same"} == {name for name, text in told.items() if "secret" in text or "Basic" in text}


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_comes_from_the_environment(
    engine: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a .netrc nor a proxy variable is heeded: the request goes where the URL says, without credentials."""
    (tmp_path / ".netrc").write_text(f"machine {DOOR} login me password secret\ndefault login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, world.hostile.url("", INSIDE))
    before = world.hostile.connections[INSIDE]
    urls = [world.hostile.url("/echo"), world.origin.tls_url("/echo", DOOR)]
    pages = list(crawler.fetch(urls, procs=1, engine=engine, insecure=True, ordered=True, **threats.BARE))

    assert ["/echo"] * 2 == [json.loads(page.body)["target"] for page in pages]
    assert not [page for page in pages if "authorization" in page.text.lower()]
    assert before == world.hostile.connections[INSIDE]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_openssl_says_whom_to_trust(engine: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of requests and curl make no certificate good; the machine's own of OpenSSL do, under every engine."""

    def ended() -> str | None:
        (page,) = crawler.fetch([world.origin.tls_url("/echo")], procs=1, engine=engine, robots=False, **LOCAL)
        return page.error_class

    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(world.origin.certificate))
    by_libraries = ended()
    monkeypatch.setenv("SSL_CERT_FILE", str(world.origin.certificate))

    assert ("tls", None) == (by_libraries, ended())


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_crawl_was_told_is_kept(engine: str, world: World, tmp_path: Path) -> None:
    """`meta` says that certificates were not checked, a record has each X-Robots-Tag, a server hears who we are."""
    urls = write_list(tmp_path, world.hostile.url("/noindex"), world.hostile.url("/echo"))
    name = "mycrawler/1 (+https://example.com/crawler; me@example.com)"
    flags = ("--allow-net", f"{DOOR}/32", "--no-robots", "--insecure", "--user-agent", name, "--engine", engine)
    ran = crawl(urls, "--out", "out", *flags, "--procs", "1", "--quiet", cwd=tmp_path)

    assert (0, "") == (ran.returncode, ran.stderr)
    with crawler.open(tmp_path / "out") as results:
        kept, echoed = results.get(world.hostile.url("/noindex")), results.get(world.hostile.url("/echo"))
        ((identity,),) = results.query("SELECT value FROM meta WHERE key = 'identity'")
    tags = ["noindex", "otherbot: none, unavailable_after: now"]
    assert tags == [value for name, value in kept.headers if name == "X-Robots-Tag"]
    assert name == json.loads(echoed.body)["headers"]["user-agent"]
    assert True is json.loads(identity)["insecure"]


@pytest.mark.parametrize("engine", ENGINES)
def test_secrets_are_not_shown_to_the_machine(engine: str, world: World, tmp_path: Path) -> None:
    """Who lists processes sees no secret of the run, nor a worker's environment one, and the log has none."""
    key = f"threats-{engine}"
    urls = write_list(tmp_path, world.origin.url(f"/hold/{key}", DOOR).replace("//", "//user:secret-four@"))
    fields = [word for name, value in SECRETS.items() for word in ("--header", f"{name}: {value}")]
    flags = ["--allow-net", f"{DOOR}/32", "--no-robots", "--procs", "1", "--engine", engine, "--log-format", "json"]
    with running_command(urls, "--out", tmp_path / "out", *flags, *fields, cwd=tmp_path) as parent:
        until(lambda: world.origin.hits(f"/hold/{key}"))
        files = [f"{pid}/{name}" for pid in workers(parent) for name in ("cmdline", "environ")]
        shown = b"".join((Path("/proc") / name).read_bytes() for name in (*files, f"{parent.pid}/cmdline"))
        world.origin.release(key)
        said = "".join(parent.communicate())

    assert b"crawler" in shown
    assert b"Authorization: xxxx" in shown
    assert [] == [word for word in ("secret-", "c2VjcmV0") if word.encode() in shown or word in said]


def test_secrets_of_a_command_line() -> None:
    """Of a command line secrets are overwritten, each in its place, and nothing else is; Python has what was said."""
    said = ["--header", "X-Key: k-1 ", "--header", "Accept: k-2", "--proxy=http://me:k%402@proxy.test:80", "k-1.txt"]
    code = (
        "import sys; from crawler.cli.main import make_parser; from crawler.cli.flags import config_of;"
        "config = config_of(make_parser('run').parse_args(['run', *sys.argv[1:]]));"
        "print(config.header, config.proxy); print(open('/proc/self/cmdline').read().split('\\0')[3:])"
    )
    run = subprocess.run([sys.executable, "-c", code, *said], capture_output=True, text=True, check=True)

    config, shown = run.stdout.splitlines()
    assert "(('X-Key', 'k-1'), ('Accept', 'k-2')) http://me:k%402@proxy.test:80" == config
    hidden = ["--header", "X-Key: xxx ", "--header", "Accept: k-2", "--proxy=http://xxxxxxxx@proxy.test:80", "k-1.txt"]
    assert [*hidden, ""] == ast.literal_eval(shown)


def test_no_spelling_gets_through() -> None:
    """Every special network, in every spelling and inside every IPv6 transition form, is refused."""
    assert [] == vectors.through()
    assert sum(1 for _ in vectors.vectors()) > 10_000


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_parsers(target: Target) -> None:
    """Each parser that is ours keeps its law for mutations of what it is made for: `python tests/fuzz` in short."""
    found = fuzz(target, 60, seed=5, most=1_000)

    assert [] == found.broken
    assert 1_000 == found.executions


@pytest.mark.parametrize(
    "age", ["Max-Age", "Max-Age=", "Max-Age=x", "Expires", "Expires=Sat, 21 Fov 2026 09:13:28 GMT", "Expires=never"]
)
def test_an_age_that_is_none_is_ignored(age: str) -> None:
    """RFC 6265 §5.2: such an attribute is as if it were not there, and costs no cookie."""
    headers = (("Set-Cookie", f"a=b; {age}; Path=/"), ("Set-Cookie", "c=d"))

    assert ["a", "c"] == sorted(cookie.name for cookie in collect((), "http://a.com/", headers))
