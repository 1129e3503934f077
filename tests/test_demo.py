"""`crawl demo`, as somebody who has nothing but the program sees it."""

from __future__ import annotations

import os
import re
import shlex
import signal
from pathlib import Path

import pytest
from command import complaints, crawl, members, recorded, running, until


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An empty folder in which the demo ran, and what it printed. It takes as long as pydoc does: seconds."""
    folder = tmp_path_factory.mktemp("demo")
    ran = crawl("demo", "--out", "a demo.crawl", cwd=folder)
    assert 0 == ran.returncode, ran.stderr
    return folder, ran.stdout


def test_demo(demo: tuple[Path, str]) -> None:
    """It crawls hundreds of real pages without a network, and every command that it says to try next works."""
    folder, printed = demo
    entries = int(re.search(r"= ([\d,]+) entries", printed)[1])  # type: ignore[index]
    ok = int(re.search(r"^(\d+) pages ok", printed, re.MULTILINE)[1])  # type: ignore[index]
    commands = re.findall(r"^  (crawl .+)$", printed, re.MULTILINE)
    shown = [crawl(*shlex.split(command)[1:], cwd=folder) for command in commands]

    assert entries - 60 < ok < entries  # some modules cannot be imported everywhere, two pages do not exist
    assert 300 < ok
    assert ["report", "query", "get"] == [command.split()[1] for command in commands]
    assert [(0, "")] * 3 == [(each.returncode, each.stderr) for each in shown]
    assert f"{ok} pages are ok" in shown[0].stdout
    assert re.search(rf"^200 +{ok}$", shown[1].stdout, re.MULTILINE)
    assert "<title>Python: package json</title>" in shown[2].stdout


def test_it_leaves_its_list_and_its_folder(demo: tuple[Path, str]) -> None:
    """Nothing else is left behind."""
    folder, printed = demo
    assert ["a demo.crawl", "a demo.txt"] == sorted(path.name for path in folder.iterdir())
    urls = (folder / "a demo.txt").read_text().splitlines()

    assert printed.startswith(f"Crawling {len(urls)} URLs of a site on this machine (a demo.txt) into a demo.crawl\n")


def test_it_takes_nobody_s_place(tmp_path: Path) -> None:
    """Without --out, it chooses a folder and a list that do not exist yet."""
    (tmp_path / "demo.txt").write_text("mine\n")
    (tmp_path / "demo-2.crawl").mkdir()
    with running("demo", cwd=tmp_path) as child:
        assert child.stdout is not None

        assert child.stdout.readline().endswith("(demo-3.txt) into demo-3.crawl\n")
    assert "mine\n" == (tmp_path / "demo.txt").read_text()


def test_interrupt(tmp_path: Path) -> None:
    """Ctrl-C stops crawl and site in order; there is nothing to try next, and nobody is left behind."""
    with running("demo", cwd=tmp_path) as child:
        until(lambda: recorded(tmp_path / "demo.crawl"))
        everyone = members(child.pid)
        os.killpg(child.pid, signal.SIGINT)
        printed, said = child.communicate()

        assert (130, "") == (child.returncode, complaints(said))
        assert "The same command goes on." in printed.splitlines()[-1]
        assert not [pid for pid in everyone if Path(f"/proc/{pid}").exists()]
