"""What the documents show, done: every shell block of them is run, and says what they say that it says."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from crawler.cli.completion import commands_of
from crawler.cli.main import make_parser

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted(path.relative_to(ROOT) for path in ROOT.glob("docs/tutorials/*.md"))
_EXAMPLE = re.compile(r"https?://([\w.-]*\bexample\.(?:com|org|net))(?![\w.-])")

_OTHERS = sorted(commands_of(make_parser()).keys() - {"run"})

# As the command, but that these sites are on this machine, where `crawl` would otherwise not go.
_CRAWL = """#!/bin/sh
case "$1" in
{others}) exec {python} -m crawler "$@" ;;
*) exec {python} -m crawler "$@" --allow-private ;;
esac
"""


class _Site(BaseHTTPRequestHandler):
    """All hosts of the documents, each below a path with its name: pages, one that moved, one that is gone, an API."""

    def do_GET(self) -> None:
        if self.path.endswith("/moved"):
            self._answer(301, b"", "Location", self.path.replace("moved", "start.html"))
        elif self.path.endswith(("/gone.html", "/robots.txt")):
            self._answer(404, b"gone", "Content-Type", "text/plain")
        elif "/v1/" in self.path:
            self._answer(200, b'{"stock": 7}', "Content-Type", "application/json")
        else:
            self._answer(200, _page(self.path).encode(), "Content-Type", "text/html; charset=utf-8")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.headers["Authorization"] == "Bearer sesame"
        self._answer(200 if known else 401, json.dumps(body).encode(), "Content-Type", "application/json")

    def _answer(self, status: int, body: bytes, name: str, value: str) -> None:
        self.send_response(status)
        self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
        """Say nothing."""


def _page(path: str) -> str:
    return f"<title>{path}</title><article><p>{f'This is the page {path}. ' * 20}</p></article>"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Where all of example.com and its like is."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to work in, with `crawl` and `python` on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    python = shlex.quote(sys.executable)
    for name, text in (
        ("crawl", _CRAWL.format(python=python, others=" | ".join(_OTHERS))),
        ("python", f'#!/bin/sh\nexec {python} "$@"\n'),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return tmp_path


def blocks(document: Path) -> list[tuple[str, list[str]]]:
    """The shell blocks of a document, each with the lines that it is said to print (a `text` block right after it)."""
    found = re.findall(r"```(sh|text)\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    steps: list[tuple[str, list[str]]] = []
    for kind, text in found:
        if kind == "sh":
            steps.append((text, []))
        else:
            steps[-1][1].extend(text.splitlines())
    return steps


def run(place: Path, block: str, site: str) -> str:
    """What a shell block prints; it must end well, and complain of nothing but by the progress lines of a run."""
    environment = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}", "API_TOKEN": "sesame"}
    script = _EXAMPLE.sub(rf"{site}/\1", block)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, f"{block}\n{done.stdout}\n{done.stderr}"
    return re.sub(rf"{site}/([\w.]+)", r"https://\1", done.stdout)


@pytest.mark.parametrize("document", TUTORIALS, ids=str)
def test_a_tutorial_does_what_it_says(document: Path, place: Path, site: str) -> None:
    """From its first block to its last, in an empty folder: each ends well, and prints the lines that are shown."""
    steps = blocks(document)
    assert any(expected for _, expected in steps)
    for block, expected in steps:
        printed = [" ".join(line.split()) for line in run(place, block, site).splitlines()]
        for line in expected:
            pattern = re.escape(" ".join(line.split())).replace("…", ".*")
            assert any(re.fullmatch(pattern, one) for one in printed), f"{line!r} is none of {printed}"


def test_each_tutorial_is_linked() -> None:
    """The guide leads to each of them."""
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")

    assert [] == [str(path) for path in TUTORIALS if f"tutorials/{path.name}" not in guide]


@pytest.mark.parametrize("document", ["README.md", "docs/guide.md"])
def test_the_commands_of_a_document_run(document: str, place: Path, site: str) -> None:
    """Every other command that a document shows does what it should, too, one after the other on lists of its own."""
    prepare(place, site)
    for block, _ in blocks(Path(document)):
        if "pip install" not in block:  # what sets everything up is what CI itself runs
            run(place, _kept_apart(block), site)


def _kept_apart(block: str) -> str:
    """The block with each crawl begun anew, since several of a document go into one folder, and with a list to read."""
    crawls = rf"^(crawl (?!(?:{'|'.join(_OTHERS)}) )\S.*?)(?=\s+#|$)"
    fresh = re.sub(crawls, r"\1 --restart", block, flags=re.MULTILINE)
    return re.sub(r"^crawl - ", "crawl - < shops.csv --column website ", fresh, flags=re.MULTILINE)


def prepare(place: Path, site: str) -> None:
    """The lists that the documents speak of, the function, and the crawl."""
    urls = f"{site}/example.com/\n{site}/www.example.org/gone.html\n"
    shops = f"id,name,website\n7,Ada,{site}/shop.example.com/\n"
    lists = {"urls.txt": urls, "shops.csv": shops, "lists/a.txt": urls, "monday.csv": shops.replace("website", "url")}
    lists |= {"tuesday.jsonl": json.dumps({"url": f"{site}/example.net/"}) + "\n"}
    for name, text in lists.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    for name in ("urls.txt", "shops.csv"):
        (place / f"{name}.gz").write_bytes(gzip.compress((place / name).read_bytes()))
    (place / "mymodule.py").write_text("def function(page):\n    return len(page.body)\n")
    (place / "older").mkdir()
    parquet.write_table(pyarrow.table({"url": [f"{site}/example.net/old"]}), place / "older" / "a.parquet")
    run(place, "crawl urls.txt --out pages.crawl", site)
