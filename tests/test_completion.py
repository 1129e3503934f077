"""Shell completion, asked as a shell asks."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import pytest
from command import crawl

from crawler.cli.completion import commands_of, script
from crawler.cli.main import make_parser

# What bash does at the Tab key: it sets the words of the line and calls the function that `complete` named.
_ASK = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_crawl; printf "%s\\n" "${COMPREPLY[@]}"'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["re"], ["report", "retry"]),
        (["run", "--per"], ["--per-address", "--per-host"]),
        (["run", "--engine", "g"], ["gevent"]),
        (["run", "ur"], ["urls.txt"]),
        (["report", "pag"], ["pages.crawl"]),
        (["export", "pages.crawl", "--to", "p"], ["parquet"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
    ],
    ids=str,
)
def test_bash(tmp_path: Path, line: list[str], expected: list[str]) -> None:
    """Commands, flags, choices, files and folders, each where it belongs."""
    (tmp_path / "crawl.bash").write_text(crawl("completion", "bash", cwd=tmp_path).stdout)
    (tmp_path / "urls.txt").touch()
    (tmp_path / "pages.crawl").mkdir()
    (tmp_path / "pages.txt").touch()
    asked = ["bash", "-c", _ASK, "bash", "crawl.bash", "crawl", *line]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert expected == sorted(done.stdout.split())


def test_bash_falls_back_to_files() -> None:
    """`crawl urls.txt` is a command too, so where no command fits the shell offers files."""
    assert "complete -o bashdefault -o default -F _shtab_crawl crawl" in script("bash")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_knows_all(shell: str) -> None:
    """Every command and every flag stands in the script, and what it says of a command is no example."""
    text = script(shell)

    for name, parser in commands_of(make_parser()).items():
        assert name in text
        for action in parser._actions:
            flags = [flag.removeprefix("--") for flag in action.option_strings if flag.startswith("--")]
            assert action.help is argparse.SUPPRESS or all(flag in text for flag in flags), flags
    assert "Example: " not in text
