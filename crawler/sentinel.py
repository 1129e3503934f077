"""Whoever has lost their parent must go, also when nothing in them answers any more.

A worker whose loop turns takes the end of its pipe for the end of its parent and leaves in order. One that is stuck in
an endless loop never looks: for it there is this thread, which shares nothing with the rest but the process.
"""

from __future__ import annotations

# What is imported here stays the system's own, also where gevent takes its place later: a greenlet is no thread, and a
# hub that is stuck runs no greenlet.
import os
from _thread import start_new_thread
from select import poll
from time import sleep

_GRACE_S = 2.0


def watch_parent(read_fd: int) -> None:
    """End this process some seconds after the other end of the pipe `read_fd` is closed, whatever else it does."""
    start_new_thread(_watch, (os.dup(read_fd),))


def _watch(read_fd: int) -> None:
    watched = poll()
    watched.register(read_fd, 0)  # its data is not ours: POLLHUP alone, which is always told (poll(2))
    watched.poll()
    sleep(_GRACE_S)
    os._exit(1)
