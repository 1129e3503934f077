"""Ctrl-C and SIGTERM, heard from the beginning: before a command imports what takes its time, and starts a process."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """SIGINT and SIGTERM stop the run in order: the list that is yielded fills up. A second one stops it at once.

    Whoever is impatient has been heard by then: a third one, or one that comes as we leave, changes nothing.
    """
    received: list[int] = []
    leaving = False

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        received.append(number)
        if len(received) == 2 and not leaving:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        leaving = True
        if received:
            signal.pthread_sigmask(signal.SIG_BLOCK, before)  # nothing is left to stop, and Python is about to end
        else:
            for number, handler in before.items():
                signal.signal(number, handler)
