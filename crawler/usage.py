"""What this process costs: processor time and resident memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def usage() -> tuple[float, int]:
    """Processor time (user and system, all threads) in seconds, and resident memory in bytes (0: nobody says)."""
    try:
        resident = int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except OSError:
        resident = 0
    return time.process_time(), resident
