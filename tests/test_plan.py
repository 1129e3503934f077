"""What a list will cost, before a byte is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import crawl

from crawler.cli.main import main
from crawler.config import CrawlConfig
from crawler.plan import Plan, make_plan

LIST = "http://a.test/1\nhttp://a.test/2\nhttp://a.test/1#again\nftp://a.test/\nno url\nb.test\n"


def plan_of(text: str, folder: Path, page_s: float = 0.5, **settings: object) -> Plan:
    """The plan of a list."""
    path = folder / "list.txt"
    path.write_text(text)
    return make_plan(path, CrawlConfig(**{"procs": 2, "conc": 10, **settings}), page_s)  # type: ignore[arg-type]


def test_counts(tmp_path: Path) -> None:
    """Every entry is counted once, as the crawl would record it."""
    plan = plan_of(LIST, tmp_path)
    assert (6, 3, 1, 1, 1) == (plan.entries, plan.pages, plan.duplicate, plan.invalid, plan.denied)
    assert (2, 5, 20) == (plan.hosts, plan.requests, plan.places)
    assert [("a.test", 2), ("b.test", 1)] == [(host.host, host.pages) for host in plan.largest]
    assert 4 == plan_of(LIST, tmp_path, keep_duplicates=True).pages


@pytest.mark.parametrize(
    ("settings", "hosts_s", "places_s"),
    [
        ({"robots": False}, 100 * 0.5 / 4, 103 * 0.5 / 20),
        ({"robots": True}, 101 * 0.5 / 4, 107 * 0.5 / 20),
        ({"robots": False, "delay": 1.0}, 99.5, 103 * 0.5 / 20),
        ({"robots": False, "delay": 1.0, "per_host": 0}, 99.5, 103 * 0.5 / 20),
        ({"robots": True, "per_host": 0}, 101 * 0.5 / 10, 107 * 0.5 / 20),
        ({"robots": False, "per_host": 0}, 100 * 0.5 / 20, 103 * 0.5 / 20),
        ({"robots": False, "per_host": 50}, 100 * 0.5 / 10, 103 * 0.5 / 20),
    ],
)
def test_times(settings: dict[str, object], hosts_s: float, places_s: float, tmp_path: Path) -> None:
    """The largest host takes its requests some at a time and some apart, all of them the places that there are."""
    text = "".join([*(f"http://a.test/{n}\n" for n in range(100)), "b.test\nc.test\nd.test\n"])
    plan = plan_of(text, tmp_path, **settings)
    assert (hosts_s, places_s, max(hosts_s, places_s)) == pytest.approx((plan.hosts_s, plan.places_s, plan.least_s))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`crawl plan` says it in words, what it does not know too, and as JSON; it makes no folder and no request."""
    path = tmp_path / "list.txt"
    path.write_text(LIST)
    assert 0 == main(["plan", str(path), "--per-host", "1", "--page-time", "60", "--procs", "2"])
    said = " ".join(capsys.readouterr().out.split())
    for words in ("6 entries on 2 hosts", "3 pages to fetch, in 5 requests with robots.txt", "1 duplicate", "a.test 2",
                  "At least 0:03:00, with pages of 60 s. The largest host sets it, 1 at a time",
                  "Not in it: a Crawl-delay in robots.txt"):  # fmt: skip
        assert words in said
    assert 0 == main(["plan", str(path), "--json"])
    assert 6 == json.loads(capsys.readouterr().out)["entries"]
    assert [path] == list(tmp_path.iterdir())


def test_standard_input(tmp_path: Path) -> None:
    """A stream is planned like a file, in its format; nothing is left of it."""
    ran = crawl("plan", "-", "--format", "csv", "--json", cwd=tmp_path, text="id,url\n1,http://a.test/\n")
    assert (0, 1) == (ran.returncode, json.loads(ran.stdout)["pages"])
    assert [] == list(tmp_path.iterdir())
    ran = crawl("plan", "-", cwd=tmp_path, text="")
    assert (2, "crawl: Standard input holds no URL; put one on each line.\n") == (ran.returncode, ran.stderr)


def test_hosts_that_look_like_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a host nor a name of a file is taken for a style."""
    path = tmp_path / "[red]x.txt"
    path.write_text("http://[::1]/\n")
    assert 0 == main(["plan", str(path)])
    said = capsys.readouterr().out
    assert "::1" in said
    assert "[red]x.txt" in "".join(said.split())
