"""This process's file descriptors: how many it may have open (RLIMIT_NOFILE, getrlimit(2)), and how many are left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource

_MOST = 1 << 20  # what counts as no limit; no worker of ours comes near it
_OPEN = "/proc/self/fd"
_STANDARD = 2
_LOOP = 12  # what an event loop and its threads open for themselves: 10 counted, with uvloop


def raise_limit() -> None:
    """Raise the soft limit to the hard one, as any process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _bounded(hard)
    if _bounded(soft) < wanted:
        with contextlib.suppress(OSError, ValueError):  # somebody forbids even that: then it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """How many descriptors may be open: `ulimit -n`."""
    return _bounded(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def left() -> int:
    """How many more may be opened. Takes 3 µs, and no descriptor where the kernel counts them (Linux 6.2, proc(5))."""
    try:
        count = os.stat(_OPEN).st_size or len(os.listdir(_OPEN))  # noqa: PTH116, PTH208 - asked for each connection
    except FileNotFoundError:
        return limit()  # nobody says
    except OSError:
        return 0
    return max(0, limit() - count)


def reserve() -> int:
    """How many are kept free of connections: two for each lookup (a file and a socket), some for files in passing."""
    return min(limit() // 8, 64) + 4


def above_standard(descriptor: int) -> int:
    """The same file under a number that is no standard stream's, as it gets where one of those is closed.

    The old number is closed. Raises OSError; then it is not.
    """
    if descriptor > _STANDARD:
        return descriptor
    higher = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD + 1)
    os.close(descriptor)
    return higher


def few() -> bool:
    """Whether only the reserve is left, or less."""
    return left() < reserve()


def exchanges(each: int) -> int:
    """How many exchanges at once the rest is good for, at least 1, where each takes so many; ask before they begin."""
    return max(1, (left() - reserve() - _LOOP) // each)


def _bounded(number: int) -> int:
    return _MOST if number == resource.RLIM_INFINITY else min(number, _MOST)
