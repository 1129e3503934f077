"""`crawl completion`: a script that lets a shell complete commands, flags and files."""

from __future__ import annotations

import argparse

_SHELLS = ("bash", "zsh", "fish")
_ABOUT = """\
Example: crawl completion bash > ~/.local/share/bash-completion/completions/crawl

Print a script that lets the shell complete commands, flags, choices and files at the Tab key. For the others:

  zsh   crawl completion zsh > ~/.zfunc/_crawl    (a folder of your fpath)
  fish  crawl completion fish > ~/.config/fish/completions/crawl.fish
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add `completion` to the commands of `crawl`."""
    parser = commands.add_parser(
        "completion",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", metavar="SHELL", choices=_SHELLS, help="bash, zsh or fish")


def main(args: argparse.Namespace) -> int:
    """Print the script."""
    print(script(args.shell))
    return 0


def script(shell: str) -> str:
    """The script for a shell, made from the parser."""
    import shtab  # nobody else pays for it

    from crawler.cli.main import make_parser

    parser = make_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for choice in commands._choices_actions:
        commands.choices[choice.dest].description = choice.help  # the first sentence of ours is an example
    for command in commands.choices.values():
        for action in command._actions:
            kind = {"DIR": shtab.DIRECTORY, "FILE": shtab.FILE, "LIST": shtab.FILE, "TARGET": shtab.FILE}
            if isinstance(action.metavar, str) and action.metavar in kind:
                action.complete = kind[action.metavar]
    text = str(shtab.complete(parser, shell))
    # `crawl urls.txt` is a command too: where no command begins like that, a file may.
    return text.replace("complete -o bashdefault -F", "complete -o bashdefault -o default -F")


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of the parser, by name."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)
