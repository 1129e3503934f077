"""A parse function for tests: pages of `/bytes/666` end the machine that parses them, all of it."""

from __future__ import annotations

import os
import signal

from crawler.page import Page


def kill(page: Page) -> int:
    """What a page that exhausts its machine's memory looks like from outside."""
    if "/bytes/666" in page.url:
        os.killpg(os.getsid(0), signal.SIGKILL)
    return len(page.body)
