"""The documents and the program say the same."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
from pathlib import Path

import pytest

import crawler
from crawler.cli import main as cli
from crawler.cli.reference import reference

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("seeds/*.txt"))
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in cli.make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def shell_lines(document: Path) -> list[str]:
    """The `crawl …` commands of a document: in its shell blocks, or in the comments of a list."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if document.suffix == ".md" else [text]
    lines = [line.lstrip("# ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("crawl ")]


def words(line: str) -> list[str]:
    """The words of a shell line, without its comment."""
    return shlex.split(line, comments=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_command_that_a_document_shows_parses(document: Path) -> None:
    """No document shows a command or flag that is not there."""
    for line in shell_lines(document):
        arguments = list(itertools.takewhile(lambda word: word not in (">", "|", "||"), words(line)))[1:]
        cli.make_parser().parse_args(arguments if arguments[0] in commands() else ["run", *arguments])


def test_the_readme_shows_every_command() -> None:
    """What is built is shown: `crawl run` by its short form, the others by name."""
    shown = {shlex.split(line, comments=True)[1] for line in shell_lines(Path("README.md"))}

    assert set(commands()) - {"run"} <= shown | set(re.findall(r"crawl (\w+)", README))


def test_the_reference_is_up_to_date() -> None:
    """`docs/reference.md` is what the program says of itself."""
    assert reference() == (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_every_help_opens_with_an_example() -> None:
    """The first thing below the usage line of each command is what to type."""
    for name, parser in commands().items():
        assert parser.format_help().partition("\n\n")[2].startswith("Example: crawl "), name


def test_the_readme_shows_names_that_exist() -> None:
    """Its Python compiles, and uses what the package exports."""
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        compile(block, "README.md", "exec")
        assert {name for name in re.findall(r"crawler\.(\w+)", block) if not hasattr(crawler, name)} == set()


def test_links_lead_somewhere() -> None:
    """Each relative link of a document is a file of the repository."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / document).parent.joinpath(target).exists(), f"{document} links to {target}"


def test_the_readme_has_two_commands() -> None:
    """One line sets everything up and runs, one sets everything up and tests; CI takes the second from there."""
    for name in ("run", "test"):
        (block,) = re.findall(rf"<!-- {name} -->\n```sh\n(.*)\n```", README)
        assert block.startswith("python3 -m venv .venv && .venv/bin/pip install -q ")
    assert "<!-- test -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_public_name_is_exported_once() -> None:
    """`crawler.__all__` is what the front door opens to."""
    assert sorted(crawler._HOME) == sorted(crawler.__all__)
    for name in crawler.__all__:
        assert getattr(crawler, name) is not None
