"""A worker that is started before anybody knows what for.

An interpreter and its imports take a tenth of a second, the parent's own as long: so a command starts one worker first
thing, and both go on side by side. The first place that needs a worker takes it.
"""

from __future__ import annotations

import contextlib
import os

from crawler.executors.child import Process, start, two_pipes


class Spare:
    """One such worker; none where the system does not allow it just now. It is ended by `close` if nobody took it."""

    def __init__(self, engine: str, conc: int) -> None:
        self._made: tuple[Process, int, int] | None = None
        with contextlib.suppress(OSError):
            child_read, write_fd, read_fd, child_write = two_pipes()
            try:
                self._made = start(engine, conc, child_read, child_write), read_fd, write_fd
            except OSError:
                os.close(read_fd)
                os.close(write_fd)
                raise

    def take(self) -> tuple[Process, int, int] | None:
        """The worker, and our ends of its pipes, to read from and to write to; once."""
        made, self._made = self._made, None
        return made

    def close(self) -> None:
        """Leave nothing behind."""
        if (made := self.take()) is not None:
            child, *ends = made
            child.end(0.0)  # it has nothing, and would say nothing
            for end in ends:
                os.close(end)
