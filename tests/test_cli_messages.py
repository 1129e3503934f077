"""What the command line says to a user's mistake: one sentence with what, where, and what to do."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command import crawl, rows, running, until, write_list
from conftest import Origin
from recorded import small_crawl

from crawler.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the mistakes need."""
    monkeypatch.chdir(tmp_path)
    write_list(tmp_path, "http://127.0.0.1:1/")
    small_crawl(tmp_path / "good.crawl")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "comments.txt").write_text("# http://127.0.0.1/\n\n  # and more\n")
    (tmp_path / "wide.txt").write_text("http://127.0.0.1/\n", encoding="utf-16")
    (tmp_path / "table.csv").write_text("\nid,url\n1,http://127.0.0.1/\n")
    (tmp_path / "objects.jsonl").write_text('{"id": 1, "url": "http://127.0.0.1/"}\n')
    (tmp_path / "array.jsonl").write_text('["http://127.0.0.1/"]')
    (tmp_path / "table.parquet").write_text("no table")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"http://127.0.0.1/")[:15])
    (tmp_path / "fake.txt.zst").write_text("http://127.0.0.1/\n")
    (tmp_path / "packed.bz2").write_bytes(bz2.compress(b"http://127.0.0.1/"))
    (tmp_path / "packed.txt.xz").write_bytes(lzma.compress(b"http://127.0.0.1/"))
    with zipfile.ZipFile(tmp_path / "sheet.xlsx", "w") as file:
        file.writestr("sheet.xml", "http://127.0.0.1/")
    (tmp_path / "folder").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter").touch()
    (tmp_path / "demo-list.txt").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "round").symlink_to("round")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit status, and what stands on standard error, which is all there is."""
    status = main(arguments)
    captured = capsys.readouterr()
    assert "" == captured.out
    return status, captured.err


RUN = "; see 'crawl run --help'."
MISTAKES = {
    "missing.txt": "missing.txt does not exist; name a file with a list of URLs, or a command (run, demo, ",
    "reprot DIR": "reprot does not exist; name a file with a list of URLs, or a command, perhaps report.",
    "run missing.txt": "missing.txt does not exist; name a file with a list of URLs.",
    "folder": "folder is a folder without a list in it; a list's name ends in txt, csv, tsv, jsonl or parquet, also ",
    "pipe": "pipe is no regular file; name a file with a list",
    "empty.txt": "empty.txt holds no URL; put one on each line.",
    "comments.txt": "comments.txt holds no URL; put one on each line.",
    "wide.txt": "wide.txt is UTF-16; save it as UTF-8",
    "run": f"the following arguments are required: LIST{RUN}",
    "--fail": f"the following arguments are required: LIST{RUN}",
    "urls.txt other.txt": "other.txt does not exist; name a file with a list of URLs.",
    "urls.txt -": "Standard input (-) is a list of its own; send the files through it, or name files alone.",
    "nothing-*.csv": "nothing-*.csv matches no file; name files with lists of URLs.",
    "good.crawl": "good.crawl is the folder of a crawl; name its list, and go on with --out good.crawl.",
    "table.csv --column link": "table.csv has no column 'link' in line 2; it has id, url: name one of them with ",
    "table.csv --carry label": "table.csv has no column 'label' in line 2; it has id, url: name one of them with ",
    "objects.jsonl --column link": "objects.jsonl has no 'link' in line 1; it has id, url: name one of them with ",
    "array.jsonl": "array.jsonl is JSON of more than a line; write one object a line (jq -c '.[]').",
    "table.parquet": "table.parquet is no Parquet file, or is damaged (",
    "urls.txt table.csv --column link": "table.csv has no column 'link' in line 2; it has id, url: name one of them",
    "cut.txt.gz": "cut.txt.gz is damaged: its gzip stream is cut; mend it and run the same command again.",
    "fake.txt.zst": "fake.txt.zst is damaged: at its beginning stands no zstd; mend it",
    "packed.bz2": "packed.bz2 is bzip2 and no text; make a text of it.",
    "packed.txt.xz": "packed.txt.xz is xz and no text; make a text of it.",
    "sheet.xlsx": "sheet.xlsx is zip (as spreadsheets are, too) and no text; make a text of it.",
    "good.crawl/crawl.db": "good.crawl/crawl.db is a database of SQLite and no text; make a text of it.",
    "urls.txt --format xml": "--format: invalid choice: 'xml' (choose from ",
    "- --format parquet": "Parquet is read from its end, which a pipe does not allow; name a file instead.",
    "run ": f"LIST: an empty name is no list{RUN}",
    "urls.txt --nope": f"'crawl run' does not know '--nope'{RUN}",
    "urls.txt --proc 2": "'crawl run' does not know '--proc'; perhaps --procs.",
    "urls.txt --per_host=2": "'crawl run' does not know '--per_host'; perhaps --per-host.",
    "report good.crawl --jsn": "'crawl report' does not know '--jsn'; perhaps --json.",
    "urls.txt --out": f"--out: expected one argument{RUN}",
    "urls.txt --procs 0": "procs is 0, but must be at least 1 and finite.",
    "urls.txt --conc x": f"--conc: 'x' is no whole number{RUN}",
    "urls.txt --procs 99999999999999999999": "procs is 99999999999999999999, but must be at most 10,000.",
    "urls.txt --max-body 99999999999999G": "max_body is 107374182399998926258176, but must be at most 2,147,483,648.",
    "urls.txt --max-time 1e300": "max_time is 1e+300, but must be at most 10,000,000.",
    "urls.txt --column caf\udce9": "column is 'caf\\udce9', which is not UTF-8; use a name that is.",
    "plan urls.txt --page-time 1e300": "--page-time is 1e+300, but must be at most 10,000,000.",
    "demo --out .": ". is no name for a new folder; name one with --out.",
    "demo --out /": "/ is no name for a new folder; name one with --out.",
    "demo --out /proc/a.crawl": "/proc/a.txt cannot be written: No such file or directory; name another folder",
    "urls.txt --accept-type html": "'html' is no media type; write one such as text/html or text/*, without parameters",
    "urls.txt --accept-type text/html,text/": "'text/' is no media type; write one such as text/html or text/*",
    "urls.txt --accept-type text/html;q=1": "'text/html;q=1' is no media type; write one such as text/html or text/*",
    "query good.crawl ": "That asks for nothing; write a SELECT statement.",
    "query good.crawl --json SELECT(1)a,(2)a": "Two columns are called 'a', and an object has room for one; name them",
    "report good.crawl --html good.crawl/crawl.db": "good.crawl/crawl.db is a part of the crawl itself; name another",
    "report good.crawl --html folder/../good.crawl/warc/x": "folder/../good.crawl/warc/x is a part of the crawl",
    "get good.crawl http://site.test/a --output good.crawl/crawl.lock": "good.crawl/crawl.lock is a part of the crawl",
    "export good.crawl --to csv good.crawl/crawl.db --overwrite": "good.crawl/crawl.db is a part of the crawl itself;",
    "export good.crawl --to csv good.crawl/crawl.db-journal": "good.crawl/crawl.db-journal is a part of the crawl",
    "export good.crawl --to wacz pipe": "wacz cannot go to pipe; name a file.",
    "export good.crawl --to files pipe": "files cannot go to pipe; name a folder.",
    "export good.crawl --to csv round --overwrite": "round cannot be made, Too many levels of symbolic links; name",
    "report good.crawl --html round": "round cannot be written, Too many levels of symbolic links; name another file.",
    f"export good.crawl --to csv {'x' * 300}": f"{'x' * 300} cannot be made, File name too long; name another file.",
    "urls.txt --delay -1": "delay is -1.0, but must be at least 0 and finite.",
    "urls.txt --delay nan": f"--delay: 'nan' is no number{RUN}",
    "urls.txt --max-time inf": f"--max-time: 'inf' is no number{RUN}",
    "urls.txt --max-body 12Q": f"--max-body: '12Q' is no size such as 500K, 16M or 1G{RUN}",
    "urls.txt --header nocolon": f"--header: there is no colon; write 'Name: value'{RUN}",
    "urls.txt --header (a):b": "'(a)' is no name of a header field; write --header 'Name: value'.",
    "urls.txt --header a:\x07": "The value of the header field 'a' holds a character that cannot be sent; use ASCII",
    "urls.txt --method <GET>": "'<GET>' is no request method; write one such as GET or HEAD.",
    "urls.txt --allow-net nonsense": "'nonsense' is no network; write one such as 10.0.0.0/8 or fd00::/8.",
    "urls.txt --engine none": "--engine: invalid choice: 'none' (choose from ",
    "urls.txt --log-format xml": "--log-format: invalid choice: 'xml' (choose from ",
    "urls.txt --out empty.txt": "empty.txt is a file, not a folder; choose another --out.",
    "urls.txt --out empty.txt/x": "empty.txt/x cannot hold a crawl: Not a directory",
    "urls.txt --out taken": "taken is not empty and holds no crawl; choose an empty or a new folder.",
    "urls.txt --out taken --restart": "taken is not empty and holds no crawl; choose an empty or a new folder.",
    "urls.txt --out good.crawl": "good.crawl holds a crawl with other settings: ",
    "demo --out taken": "taken or taken.txt exists already; name a new folder with --out.",
    "demo --out demo-list": "demo-list or demo-list.txt exists already; name a new folder with --out.",
    "report": "the following arguments are required: DIR; see 'crawl report --help'.",
    "report missing": "missing is no crawl: ",
    "report folder": "folder is no crawl: it holds no crawl.db with pages.",
    "report good.crawl --nope": "'crawl report' does not know '--nope'; see 'crawl report --help'.",
    "plan": "the following arguments are required: LIST; see 'crawl plan --help'.",
    "plan missing.txt": "missing.txt does not exist; name a file with a list of URLs.",
    "plan empty.txt": "empty.txt holds no URL; put one on each line.",
    "plan urls.txt --page-time -1": "--page-time is -1.0, but must be at least 0 and finite.",
    "plan urls.txt --procs 0": "procs is 0, but must be at least 1 and finite.",
    "query folder SELECT": "folder is no crawl: it holds no crawl.db with pages.",
    "query good.crawl SELEC": 'The query is not understood: near "SELEC": syntax error.',
    "query good.crawl VACUUM": "The query would do more than read; here only SELECT is allowed.",
    "get folder http://x/": "folder is no crawl: it holds no crawl.db with pages.",
    "get good.crawl": "the following arguments are required: URL; see 'crawl get --help'.",
    "retry": "the following arguments are required: DIR; see 'crawl retry --help'.",
    "retry folder": "folder is no crawl: it holds no crawl.db with pages.",
    "retry missing": "missing is no crawl: it holds no crawl.db with pages.",
    "retry good.crawl": "good.crawl holds a crawl with other settings: ",
    "retry good.crawl --error dsn": "--error: 'dsn' is no error class; choose from dns, connect, tls, ",
    "retry good.crawl --error dns,invalid_url": "--error: an entry that is no URL (invalid_url) cannot be fetched; see",
    "retry good.crawl --status 404,6xx": "--status: '6xx' is no status; write a number such as 404, or a class such as",
    "retry good.crawl --max-time 9": "'crawl retry' does not know '--max-time'; see 'crawl retry --help'.",
    "\x1b[31m": "\\x1b[31m matches no file; name files with lists of URLs.",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_one_sentence(arguments: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is exit status 2 and one line that says what is wrong; no usage text, no traceback."""
    before = sorted(folder.iterdir())
    status, text = said(capsys, *arguments.split(" "))

    assert 2 == status
    assert re.fullmatch(r"crawl: [^\x00-\x1f]+[.)]\n", text)
    assert MISTAKES[arguments] == text.removeprefix("crawl: ")[: len(MISTAKES[arguments])]
    assert before == sorted(folder.iterdir())


def test_unknown_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that the crawl does not hold is exit status 1: the question was right."""
    assert (1, "crawl: good.crawl holds no page of 'http://nowhere.test/'.\n") == said(
        capsys, "get", "good.crawl", "http://nowhere.test/"
    )


@pytest.mark.parametrize(
    "command",
    ["report good.crawl --html", "get good.crawl http://site.test/ --output", "export good.crawl --overwrite --to csv"],
)
def test_a_crawl_under_other_names(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody writes over the crawl that is read: not through links, nor where its archive has been moved to."""
    (folder / "good.crawl" / "warc").rename(folder / "large")
    (folder / "good.crawl" / "warc").symlink_to(folder / "large")
    (folder / "soft").symlink_to(folder / "good.crawl" / "crawl.db")
    os.link(folder / "good.crawl" / "crawl.db", folder / "hard")
    os.link(folder / "large" / "00001.warc.gz", folder / "record")
    for name in ("soft", "hard", "record", "large/00001.warc.gz", "large/new"):
        expected = f"crawl: {name} is a part of the crawl itself; name another file.\n"
        assert (2, expected) == said(capsys, *command.split(" "), name)

    assert 0 == main([*command.split(" "), "good.crawl/beside"])
    assert 0 == main(["get", "good.crawl", "http://site.test/"])


def test_standard_output_is_no_part_of_a_crawl(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even for who stands in its archive."""
    monkeypatch.chdir(folder / "good.crawl" / "warc")

    assert [0, 0] == [main(["report", "..", "--html", "-"]), main(["export", "..", "--to", "csv", "-"])]
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>")


def test_a_secret_is_not_repeated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was given as a header may be a secret: no message shows it."""
    for header in ("hunter2", "Authorization: hunter2\x07"):
        assert "hunter2" not in said(capsys, "urls.txt", "--header", header)[1]


@pytest.mark.parametrize("text", ["", "# nothing\n\n"])
def test_empty_standard_input(text: str, tmp_path: Path) -> None:
    """A list without a URL is a mistake wherever it comes from, and from the real command too."""
    ran = crawl("-", cwd=tmp_path, text=text)

    assert (2, "crawl: Standard input holds no URL; put one on each line.\n") == (ran.returncode, ran.stderr)
    assert "" == ran.stdout


def test_an_empty_list_binds_nobody(origin: Origin, tmp_path: Path) -> None:
    """What began with nothing may be begun anew, with other settings."""
    crawl("-", cwd=tmp_path)
    ran = crawl("-", "--allow-private", cwd=tmp_path, text=origin.url("/bytes/1"))

    assert (0, "") == (ran.returncode, ran.stderr)
    assert [(200,)] == rows(tmp_path / "stdin.crawl", "status")


def test_two_runs_at_once(origin: Origin, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder has one run at a time; the second one leaves the first alone."""
    write_list(folder, origin.url(f"/hold/{folder.name}"))
    with running("urls.txt", "--allow-private", cwd=folder) as first:
        until(lambda: origin.hits(f"/hold/{folder.name}"))
        status, text = said(capsys, "urls.txt", "--allow-private")
        origin.release(folder.name)
        first.communicate()

    assert 2 == status
    assert "crawl: Another run is writing to urls.crawl; wait until it ends, or choose another --out.\n" == text
    assert 0 == first.returncode


def test_no_argument_is_a_question(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`crawl` alone, and with --help, shows what there is and fails nobody."""
    for arguments in ([], ["--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert (0, True) == (caught.value.code, capsys.readouterr().out.startswith("usage: crawl "))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`crawl --version` prints the version."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert 0 == caught.value.code
    assert re.fullmatch(r"crawl \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_list_named_like_a_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`./report` is a list."""
    (folder / "report").write_text("ftp://127.0.0.1/\n")

    assert 0 == main(["./report"])
    assert "1 denied" in capsys.readouterr().out


def test_an_output_without_our_letters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard output in ASCII gets escapes in place of what it cannot show."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ran = crawl("query", "good.crawl", "SELECT 'caf\xe9'", cwd=folder)

    assert (0, "caf\\xe9", "") == (ran.returncode, ran.stdout.splitlines()[-1], ran.stderr)


def test_a_reader_that_has_enough(folder: Path) -> None:
    """`crawl query … | head` ends without a word when the reader leaves."""
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT i FROM n"
    with running("query", "good.crawl", sql, cwd=folder) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()

        assert ("", 1) == (child.stderr.read(), child.wait())


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_is_closed(streams: str, origin: Origin, tmp_path: Path) -> None:
    """Nothing is lost for it, no worker either, and what would be said there goes nowhere."""
    write_list(tmp_path, *(origin.url(f"/bytes/{n}") for n in (1, 2)))
    ran = shell("urls.txt", "--allow-private", "--procs", "1", cwd=tmp_path, streams=streams)

    assert (0, "") == (ran.returncode, ran.stderr)
    assert "replaced" not in ran.stdout
    assert [("fetched",)] * 2 == rows(tmp_path / "urls.crawl", "outcome")


@pytest.mark.parametrize(
    "command", ["urls.txt --restart", "report good.crawl", "query good.crawl SELECT(1)", "export good.crawl --to csv -"]
)
def test_an_output_that_is_full(command: str, folder: Path) -> None:
    """What could not be printed is said in a sentence, and by the exit status."""
    ran = shell(*command.split(" "), cwd=folder, streams=">/dev/full")

    assert 1 == ran.returncode
    assert "crawl: The output cannot be written, No space left on device: the disk is full; make room.\n" == ran.stderr


def shell(*arguments: str, cwd: Path, streams: str) -> subprocess.CompletedProcess[str]:
    """`crawl` as a shell starts it, with redirections."""
    command = ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", "crawler", *arguments]
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_a_name_that_is_not_utf8(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files and folders may have any name (a page cannot): what is said and written of them is escaped."""
    (folder / "good.crawl").rename(folder / "caf\udce9.crawl")
    (folder / "urls.txt").rename(folder / "caf\udce9.txt")
    statuses = [main(["export", "caf\udce9.crawl", "--to", form, f"pages.{form}"]) for form in ("jsonl", "csv", "cdxj")]
    assert [0, 0, 0] == statuses
    assert 0 == main(["plan", "caf\udce9.txt", "--json"])
    assert 1 == main(["get", "caf\udce9.crawl", "http://caf\udce9/"])

    out, err = capsys.readouterr()
    assert '"source": "caf\\\\udce9.txt"' in out
    assert "crawl: caf\\udce9.crawl holds no page of 'http://caf\\udce9/'.\n" == err.splitlines(keepends=True)[-1]


def test_a_page_whose_type_was_not_wanted_has_no_body(origin: Origin, tmp_path: Path) -> None:
    """Its head is in the archive; nobody gets an empty file for what was never fetched."""
    write_list(tmp_path, origin.url("/bytes/9"), origin.url("/page/1"))
    assert 0 == crawl("urls.txt", "--allow-private", "--accept-type", "text/html", cwd=tmp_path).returncode
    ran = crawl("get", "urls.crawl", origin.url("/bytes/9"), "--output", "body", cwd=tmp_path)
    exported = crawl("export", "urls.crawl", "--to", "files", "bodies", cwd=tmp_path)

    assert (1, False) == (ran.returncode, (tmp_path / "body").exists())
    assert f"crawl: There is no body of {origin.url('/bytes/9')}: denied, The media type 'image/png' is" in ran.stderr
    assert "2 rows, 1 of them with a body" in exported.stdout
