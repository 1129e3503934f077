"""How this command is called here, for the commands that it suggests."""

from __future__ import annotations

import os
import shlex
import shutil
import sys


def command() -> str:
    """`crawl`, or the path that it was called by where the shell would not find it (`.venv/bin/crawl`)."""
    called = sys.argv[0]
    if os.path.basename(called) != "crawl" or shutil.which("crawl"):  # noqa: PTH119 - a word, not a path to open
        return "crawl"
    return shlex.quote(called)
