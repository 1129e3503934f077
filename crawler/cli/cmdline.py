"""What lists of processes show of this command: the secrets that stood on its command line are overwritten."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from crawler.config import CrawlConfig
from crawler.headers import is_public

_ARG_START = 48 - 3  # proc(5): field 48, of those from the third on


def hide_secrets(config: CrawlConfig) -> None:
    """Put `x` in the place of each secret of `config` among the arguments of this process, where it is Linux.

    What Python has read of them stays as it is. Until here `ps` could see them: a moment.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        line, start = _arguments()
        for secret in _secrets(config):
            import ctypes  # who has no secret does not pay for it

            for found in re.finditer(secret, line):
                ctypes.memset(start + found.start(1), ord("x"), len(found[1]))


def _secrets(config: CrawlConfig) -> Iterator[bytes]:
    """Patterns whose first group is a secret: the end of an argument, or what stands before a proxy's host."""
    for name, value in config.header:
        if value and not is_public(name):
            yield rb"(%b)[ \t]*\0" % re.escape(os.fsencode(value))
    credentials = (config.proxy or "").partition("://")[2].rpartition("@")[0]
    if credentials:
        yield rb"(%b)@" % re.escape(os.fsencode(credentials))


def _arguments() -> tuple[bytes, int]:
    """The arguments, each with a NUL behind it, and where they are in memory; ValueError where they are elsewhere."""
    line = Path("/proc/self/cmdline").read_bytes()
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
    if not start or end - start != len(line):
        raise ValueError("the arguments have been moved")
    return line, start
