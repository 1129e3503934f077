"""Faults, seeded and repeatable: whatever dies, and whenever, the same command finishes the crawl.

A case is a module of this package: `NAME` says it in the table, `LONG` and `SHORT` are how often it is run in the long
form (`python tests/faults`) and in the test suite, and `run(arena, seed)` does it once and returns what was violated, a
sentence each. `arena.py` is the place of one run, `truth.py` what its list must become, `judge.py` the means to tell,
none of which is the code under test; `injection.py` brings a fault into a process that knows nothing of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def cases() -> list[ModuleType]:
    """The modules of all cases, by name: whatever here has a `NAME`."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name != "__main__")
    found = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return [module for module in found if hasattr(module, "NAME")]
