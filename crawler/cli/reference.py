"""The reference of all commands, made from the parser: `python -m crawler.cli.reference > docs/reference.md`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from crawler.cli.completion import commands_of
from crawler.cli.main import make_parser

_HEAD = """\
# Reference

Made from the program by `python -m crawler.cli.reference > docs/reference.md`; a test holds that it is up to date.
`crawl LIST …` is `crawl run LIST …`.

Exit status: 0 every entry has its final record (failed pages included) · 1 the run itself failed, run it again ·
2 usage or bad input · 3 with `--fail`, when some page is not ok · 130 interrupted, resumable.
"""


def reference() -> str:
    """The reference as Markdown."""
    parts = [_HEAD]
    for name, parser in commands_of(make_parser()).items():
        parts += _command(name, parser)
    return "\n".join(parts)


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    example, _, about = (parser.description or "").strip().partition("\n\n")
    yield f"## crawl {name}\n"
    lines = "\n".join(line.removeprefix("Example:").strip() for line in example.splitlines())
    yield f"```sh\n{lines}\n```\n"
    yield f"{_kept(about)}\n"
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        if actions:
            yield f"| {_TITLES.get(group.title or '', group.title)} | |\n| --- | --- |"
            yield "".join(f"| {_names(action)} | {_cell(action.help or '')} |\n" for action in actions)


_TITLES = {"positional arguments": "what", "options": "flag"}


def _kept(about: str) -> str:
    """Paragraphs as they are; where one is a table of lines that are indented, as code."""
    parts = (part if not part.startswith("  ") else f"```\n{part}\n```" for part in about.split("\n\n"))
    return "\n\n".join(parts)


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or (action.dest.upper())}"
    if action.choices is not None and not value.isspace():
        value = f" {'|'.join(map(str, action.choices))}" if value else ""
    return ", ".join(f"`{flag}{value}`".replace("|", "\\|") for flag in action.option_strings)


def _cell(text: str) -> str:
    return text.replace("%%", "%").replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
