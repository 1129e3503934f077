"""How figures are shown: a small table for people, and one JSON line for programs that says where they come from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawler.config import available_cores

_LIBRARIES = ("crawler", "aiohttp", "uvloop", "requests", "urllib3", "gevent", "isal", "msgspec", "numpy")


def show(title: str, table: Mapping[str, str]) -> None:
    """Print a table of two columns under a title."""
    print(title)
    width = max(map(len, table))
    for name, value in table.items():
        print(f"  {name:{width}}  {value}")


def show_json(benchmark: str, settings: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Print the run as one JSON line."""
    print(json.dumps(line(benchmark, settings, figures)), flush=True)


def line(benchmark: str, settings: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, Any]:
    """The run as the object that its JSON line is."""
    run = {"benchmark": benchmark, "machine": _machine(), "versions": _versions()}
    return {**run, "settings": settings, "figures": figures}


def _machine() -> dict[str, Any]:
    """What the figures depend on; `load` is the load average of the last minute, of others' work too."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "cpu": _cpu(),
        "cores": available_cores(),
        "memory_mb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, **versions}
