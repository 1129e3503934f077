"""What this machine has run out of, and what the limit is called: class `local`, never the fault of a site."""

from __future__ import annotations

import errno
import socket

from crawler import descriptors

MEMORY = "memory is short (ulimit -v, or the container's limit)"
THREADS = "no thread can be started (ulimit -u, or the pids limit)"

_PROBED_PORT = 9  # discard; nothing is sent to it
_NO_WAY = frozenset({errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAFNOSUPPORT})
_LIMITS = {
    errno.ENFILE: "the system has no file descriptor left (fs.file-max)",
    errno.EADDRNOTAVAIL: "no local port is free (net.ipv4.ip_local_port_range)",
    errno.ENOBUFS: "buffers of the network are short (net.ipv4.tcp_mem)",
    errno.ENOMEM: MEMORY,
    socket.EAI_MEMORY: MEMORY,  # of a gaierror, whose numbers are negative
}


def shortage(error: BaseException) -> str | None:
    """The limit that an error says was met, by its name; None where it says nothing of the kind.

    It must not be an `ssl.SSLError`, whose numbers are others.
    """
    if isinstance(error, MemoryError):
        return MEMORY
    number = error.errno if isinstance(error, OSError) else None
    return no_descriptor() if number == errno.EMFILE else _LIMITS.get(number or 0)


def no_descriptor() -> str:
    """What to say where this process has no descriptor left."""
    return f"no file descriptor is left (ulimit -n is {descriptors.limit()})"


def lacks_descriptors(error: BaseException | None) -> bool:
    """Whether closing a file would help."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def plain(error: OSError, address: str) -> OSError:
    """What kept a connection to `address` from being made, so that EADDRNOTAVAIL can mean a lack of ports alone.

    connect(2) says it also where this machine has no address to come from, as without IPv6: that is ENETUNREACH here.
    A datagram socket tells the two apart: connecting it sends nothing, and takes none of TCP's ports.
    """
    if error.errno != errno.EADDRNOTAVAIL or _can_reach(address):
        return error
    return OSError(errno.ENETUNREACH, f"this machine has no address from which {address} can be reached")


def _can_reach(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _PROBED_PORT))
    except OSError as error:
        return error.errno not in _NO_WAY
    return True
