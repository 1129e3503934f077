"""The command line: which command is meant, and what its end means for the exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from crawler.cli import demo, get, query, report, run
from crawler.errors import CrawlerError, UsageError

_COMMANDS = {"run": run, "demo": demo, "report": report, "query": query, "get": get}
_EPILOG = """\
example:
  crawl urls.txt --procs 4 --conc 256 --out pages.crawl
  crawl report pages.crawl

'crawl urls.txt' is 'crawl run urls.txt'; write ./report for a list that is named like a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (0, 1, 2, 3 or 130)."""
    arguments = _with_command(list(sys.argv[1:] if argv is None else argv))
    args = _parser().parse_args(arguments)
    try:
        return int(_COMMANDS[args.command].main(args))
    except CrawlerError as error:
        print(f"crawl: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # Whoever read our output has enough, as in `crawl query … | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UsageError.exit_status - 1


def _with_command(arguments: list[str]) -> list[str]:
    """`crawl urls.txt` is `crawl run urls.txt`."""
    if not arguments or arguments[0] in (*_COMMANDS, "-h", "--help", "--version"):
        return arguments or ["--help"]
    return ["run", *arguments]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crawl",
        description="Fetch every URL of a list: as fast as the machine can, politely, and without losing one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS.values():
        module.add_parser(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for: reading package metadata takes longer than all the rest."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata

        print(f"crawl {importlib.metadata.version('crawler')}")
        parser.exit(0)
