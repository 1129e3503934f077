"""The command line: which command is meant, and what its end means for the exit status."""

from __future__ import annotations

import argparse
import glob
import importlib
import io
import os
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import NoReturn

from crawler.errors import CrawlerError, InputError, RunError, UsageError
from crawler.escape import printable
from crawler.version import __version__

# Each is a module beside this one, imported only where it is meant: help must not wait for what it does not need.
_COMMANDS = {
    "run": "fetch every URL of a list (the main job)",
    "demo": "crawl a site that needs no network",
    "plan": "what a list will cost, before a byte is fetched",
    "report": "what happened in a crawl",
    "query": "SQL over the rows of a crawl",
    "get": "one page's decoded body",
    "export": "a crawl in the forms that other tools read",
    "retry": "fetch failures again, into the same crawl",
    "diff": "what changed between two crawls",
    "worker": "this machine joins a distributed crawl",
    "completion": "let the shell complete commands, flags and files",
}
_INTERRUPTED = 130
_EPILOG = """\
example:
  crawl urls.txt --procs 4 --conc 256 --out pages.crawl
  crawl report pages.crawl

'crawl urls.txt' is 'crawl run urls.txt'; write ./report for a list that is named like a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (0, 1, 2, 3 or 130)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no ö is no reason to fail
    try:
        args = _parse(list(sys.argv[1:] if argv is None else argv))
        status = int(_module(args.command).main(args))
        sys.stdout.flush()  # while there is somebody to say what hinders it
    except CrawlerError as error:
        print(f"crawl: {printable(str(error))}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("crawl: Interrupted at once; what was recorded is safe, and the same command goes on.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough, as in `crawl query … | head`.
        _drop_output()
        return RunError.exit_status
    except OSError as error:
        from crawler.store.limits import advice, is_limit

        if not is_limit(error) or error.filename is not None:
            raise
        _drop_output()
        print(f"crawl: The output cannot be written, {error.strerror}: {advice(error.errno)}.", file=sys.stderr)
        return RunError.exit_status
    return status


def _drop_output() -> None:
    """Let what standard output still holds go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(arguments: list[str]) -> argparse.Namespace:
    """What the arguments ask for; raises UsageError."""
    arguments = _with_command(arguments)
    parser = make_parser(arguments[0])
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        flags = _flags(parser, args.command)
        word = unknown[0].partition("=")[0]  # what follows may be a secret
        hint = _suggestion(word, flags) or f"see 'crawl {args.command} --help'"
        raise UsageError(f"'crawl {args.command}' does not know {word!r}; {hint}.")
    return args


def _flags(parser: argparse.ArgumentParser, command: str) -> list[str]:
    """The flags of a command."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    options = commands.choices[command]._option_string_actions
    return [flag for flag in options if flag.startswith("--")]


def _suggestion(word: str, known: Iterable[str]) -> str | None:
    """What a mistyped word was meant to be; None where nothing comes near."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"perhaps {near[0]}" if near else None


def _with_command(arguments: list[str]) -> list[str]:
    """`crawl urls.txt` is `crawl run urls.txt`; raises InputError for a word that is neither a command nor a file."""
    if not arguments or arguments[0] in (*_COMMANDS, "-h", "--help", "--version"):
        return arguments or ["--help"]
    first = arguments[0]
    if not first.startswith("-") and not os.path.exists(first) and not glob.has_magic(first):  # noqa: PTH110 - Path.exists may raise
        meant = _suggestion(first, _COMMANDS)
        hint = f"or a command, {meant}" if meant else f"or a command ({', '.join(_COMMANDS)})"
        raise InputError(f"{first} does not exist; name a file with a list of URLs, {hint}.")
    return ["run", *arguments]


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, where argparse prints the whole usage first."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')}; see '{self.prog} --help'.")


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"crawler.cli.{command}")


def make_parser(*wanted: str) -> argparse.ArgumentParser:
    """The parser of `crawl`, with the arguments of the commands `wanted` (of all, if none is named)."""
    parser = _Parser(
        prog="crawl",
        description="Fetch every URL of a list: as fast as the machine can, politely, and without losing one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"crawl {__version__}", help="print the version and leave"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in _COMMANDS.items():
        if not wanted or name in wanted:
            _module(name).add_parser(commands, about)
        else:
            commands.add_parser(name, help=about)
    return parser
