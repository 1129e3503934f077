"""What a command says of a file that it has written, apart from what is in the file."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def remark(text: str, target: Path) -> None:
    """Print a line: on standard error where `target` is standard output, by whichever of its names."""
    print(text, file=sys.stderr if _is_output(target) else sys.stdout)


def _is_output(target: Path) -> bool:
    if str(target) == "-":
        return True
    try:
        return os.path.samestat(target.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # one of them is closed, or no file
        return False
