"""`crawl report`, `crawl query` and `crawl get`, through their `main`."""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from recorded import open_store, small_crawl

from crawler.cli import get, query, report
from crawler.errors import ConfigError, FolderError, NotRecordedError, UsageError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A small crawl."""
    return small_crawl(tmp_path / "out")


def crawl(*arguments: str | Path) -> int:
    """What the command line does with these arguments."""
    parser = argparse.ArgumentParser(prog="crawl")
    commands = parser.add_subparsers(dest="command")
    modules = {"report": report, "query": query, "get": get}
    for module in modules.values():
        module.add_parser(commands, "")
    args = parser.parse_args([str(argument) for argument in arguments])
    return int(modules[args.command].main(args))


@pytest.mark.parametrize("command", ["report", "query", "get"])
def test_help_opens_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that help says after the usage is an example."""
    with pytest.raises(SystemExit) as caught:
        crawl(command, "--help")

    assert 0 == caught.value.code
    assert f"Example: crawl {command} " == re.split(r"\n\n", capsys.readouterr().out)[1][: len(command) + 16]


@pytest.mark.parametrize("arguments", [["report"], ["query", "SELECT 1"], ["get", "http://site.test/"]])
def test_no_crawl(tmp_path: Path, arguments: list[str]) -> None:
    """A folder that is no crawl is a FolderError."""
    command, *rest = arguments
    with pytest.raises(FolderError, match="is no crawl"):
        crawl(command, tmp_path, *rest)


class TestReport:
    def test_says_what_happened(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The report has the sum of the outcomes, the success rate, statuses, errors and hosts."""
        status = crawl("report", out)
        text = capsys.readouterr().out

        assert 0 == status
        assert f"{out}: finished\n" in text
        assert "3 fetched + 1 failed + 1 denied + 1 duplicate + 1 invalid = 7 entries\n" in text
        assert "2 pages are ok (fetched with a 2xx status), 28.6% of the entries\n" in text
        assert "200 B came over the wire, 600 B of bodies\n" in text
        for words in (r"2  200", r"1  503", r"1  dns", r"4  site\.test"):
            assert re.search(rf"^ +{words}$", text, re.MULTILINE)

    def test_nothing_yet(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An empty crawl has a report."""
        open_store(tmp_path / "out").close()
        crawl("report", tmp_path / "out")

        assert "0 fetched + 0 failed + 0 denied + 0 duplicate + 0 invalid = 0 entries" in capsys.readouterr().out

    def test_json(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`--json` is one JSON object with the fields of `Stats`."""
        crawl("report", out, "--json")
        stats = json.loads(capsys.readouterr().out)

        assert (7, {"200": 2, "503": 1}) == (stats["entries"], stats["statuses"])

    def test_on_a_terminal(
        self, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A terminal gets the same lines, in colour."""
        crawl("report", out)
        plain = capsys.readouterr().out
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        crawl("report", out)
        coloured = capsys.readouterr().out

        assert "\x1b[" in coloured
        assert plain == re.sub(r"\x1b\[[0-9;]*m", "", coloured)

    def test_a_pipe_does_not_pay_for_colour(self, out: Path) -> None:
        """rich is only imported for a terminal."""
        code = "import sys; from crawler.cli import report; import argparse, pathlib; " + (
            "report.main(argparse.Namespace(folder=pathlib.Path(sys.argv[1]), json=False, html=None)); "
            "print('rich' in sys.modules)"
        )
        ran = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=True)

        assert "False" == ran.stdout.splitlines()[-1]


SQL = "SELECT seq, url, status FROM pages WHERE seq IN (1, 7) ORDER BY seq"


class TestQuery:
    def test_table(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The default is an aligned table, safe for a terminal; NULL is empty."""
        assert 0 == crawl("query", out, SQL)
        assert [
            "seq  url                status",
            "---  -----------------  ------",
            "1    HTTP://Site.test   200",
            "7    =cmd\\x1b[2J\\u202e",
        ] == capsys.readouterr().out.splitlines()

    def test_no_rows(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An answer without rows has its columns' names."""
        crawl("query", out, "SELECT seq FROM pages WHERE 0")
        assert "seq\n---\n" == capsys.readouterr().out

    @pytest.mark.parametrize("rows", [0, 1, 2])
    def test_json(self, out: Path, capsys: pytest.CaptureFixture[str], rows: int) -> None:
        """`--json` is one array with an object a row, in plain ASCII without DEL."""
        columns = "seq, char(127, 155) AS odd, x'ff' AS blob, 9e999 AS big, NULL AS no"
        crawl("query", out, f"SELECT {columns} FROM pages LIMIT {rows}", "--json")
        text = capsys.readouterr().out

        assert text.isascii()
        assert "\x7f" not in text
        assert [
            {"seq": seq, "odd": "\x7f\x9b", "blob": "ff", "big": None, "no": None} for seq in range(1, rows + 1)
        ] == json.loads(text)

    def test_csv(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`--csv` is what a spreadsheet reads, with formulas disarmed; in a pipe, text is as it was."""
        crawl("query", out, SQL, "--csv")
        rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))

        assert [
            ["seq", "url", "status"], ["1", "HTTP://Site.test", "200"], ["7", "'=cmd\x1b[2J\u202e", ""]
        ] == rows  # fmt: skip

    def test_negative_numbers_are_no_formulas(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Only text is disarmed."""
        crawl("query", out, "SELECT -1 AS n, '-1' AS t", "--csv")
        assert "n,t\n-1,'-1\n" == capsys.readouterr().out

    def test_csv_on_a_terminal(
        self, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A terminal gets no control character, whatever the form."""
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        crawl("query", out, SQL, "--csv")
        assert "\x1b" not in capsys.readouterr().out

    def test_tsv(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`--tsv` is one line a row: tabs and line ends in a value are escaped."""
        crawl("query", out, "SELECT 1 AS a, 'x' || char(9, 10) || 'y' AS b, '=1' AS c", "--tsv")
        assert "a\tb\tc\n1\tx\\x09\\x0ay\t'=1\n" == capsys.readouterr().out

    def test_only_reads(self, out: Path) -> None:
        """A writing statement is a ConfigError."""
        with pytest.raises(ConfigError, match="only SELECT is allowed"):
            crawl("query", out, "DELETE FROM pages")


class TestGet:
    @pytest.mark.parametrize("more", [(), ("--output", "-")])
    def test_raw(self, more: tuple[str, ...], out: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        """A pipe gets the bytes of the decoded body, and nothing else."""
        assert 0 == crawl("get", out, "site.test/old", *more)
        assert b"plain \x1b[31m\x00\xff" == capsysbinary.readouterr().out

    def test_on_a_terminal(
        self, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A terminal gets text in which control characters are escaped."""
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        crawl("get", out, "site.test/old")
        assert "plain \\x1b[31m\\x00\ufffd\n" == capsys.readouterr().out

    def test_headers(self, out: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        """`--headers` prints the response's head, a blank line, and the body."""
        crawl("get", out, "site.test/old", "--headers")
        head, _, body = capsysbinary.readouterr().out.partition(b"\n\n")

        assert "HTTP/1.1 200\nContent-Type: text/plain; charset=utf-8\nX-Odd: café" == head.decode()
        assert b"plain \x1b[31m\x00\xff" == body

    def test_output(self, out: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        """`--output` writes the bytes to a file, and nothing to standard output."""
        crawl("get", out, "site.test/old", "--output", tmp_path / "page")

        assert b"plain \x1b[31m\x00\xff" == (tmp_path / "page").read_bytes()
        assert b"" == capsysbinary.readouterr().out

    def test_output_that_cannot_be_written(self, out: Path, tmp_path: Path) -> None:
        """A file that cannot be written is a UsageError."""
        with pytest.raises(UsageError, match="cannot be written: No such file"):
            crawl("get", out, "site.test/old", "--output", tmp_path / "missing" / "page")

    def test_no_body(self, out: Path) -> None:
        """A page without a record says why there is none."""
        with pytest.raises(NotRecordedError, match=r"no body of http://site\.test/gone: failed, no such name"):
            crawl("get", out, "http://site.test/gone")
