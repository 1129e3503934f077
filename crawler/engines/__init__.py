"""The engines, siblings behind one interface (`base.py`); only the one that is used is imported.

A sibling is a module with the same four names:

- `NAME`: as it stands in `--engine` and in the rows;
- `DRIVER`: `tasks` where `make` gives an `AsyncEngine` (call it inside a running loop), `polls` where it gives a
  `PolledEngine`, `threads` where it gives a `BlockingEngine`;
- `threads(conc)`: how many threads a driver of threads runs for `conc` exchanges in flight;
- `make(*, insecure, conc)`: the engine.
"""

from __future__ import annotations

import importlib
from types import ModuleType

_MODULES = {
    "curl": "curl",
    "asyncio": "aio",
    "gevent": "greenlets",
    "threads": "threads",
    "serial": "serial",
    "fake": "fake",
}
_WORKERS = {"gevent": "crawler.greenworker"}


def load(name: str) -> ModuleType:
    """The sibling that `--engine name` means; raises KeyError where there is none.

    `auto` is curl where pycurl imports, else asyncio.
    """
    if name == "auto":
        try:
            return importlib.import_module(f"{__name__}.curl")
        except ImportError:
            name = "asyncio"
    return importlib.import_module(f"{__name__}.{_MODULES[name]}")


def worker_module(name: str) -> str:
    """The module that a worker of this engine runs as its main; nothing of the engine is imported to say so."""
    return _WORKERS.get(name, "crawler.worker")
