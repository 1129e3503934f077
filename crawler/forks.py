"""A process that is forked off has copies of everything, and only the thread that forked goes on there (fork(2)).

Workers, threads and locks that others may hold are the other one's: whoever has such forgets them here, at once.
Waiting until somebody asks would leave the copies of the workers' pipes open, and a worker takes the end of its pipe
for the end of its parent.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

INHERITED = "This call was begun before a fork, in the other process; begin one of your own here."
"""What to say where a call is gone on with in the wrong process."""


class Heir(Protocol):
    """What must not be used on both sides of a fork."""

    def forked(self) -> None:
        """Forget in the new process what is the other one's, and tell nobody there; may raise nothing."""


_heirs: weakref.WeakSet[Heir] = weakref.WeakSet()


def heed(heir: Heir) -> None:
    """Have `heir.forked()` called in each process that is forked off, as long as somebody else holds it."""
    _heirs.add(heir)


def _tell() -> None:
    for heir in list(_heirs):
        heir.forked()


os.register_at_fork(after_in_child=_tell)
