"""What a function by value takes along: whatever it uses of modules that no worker could import.

cloudpickle takes every module that is in `sys.modules` for one that can be imported anywhere. One that was loaded from
a path, or made by hand, is in there too.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from types import ModuleType
from typing import Any

_NO_FILES = {"built-in", "frozen"}
_EDITABLE = "__editable__"  # setuptools gives its editable installs a finder, which every interpreter has


def may_be_imported(module: ModuleType) -> bool:
    """Whether a worker finds the same module under its name."""
    name, file = module.__name__, getattr(module, "__file__", None)
    if name == "__main__":
        return False
    parent = sys.modules.get(name.rpartition(".")[0])
    path = getattr(parent, "__path__", None)
    found = (finder.find_spec(name, path) for finder in _finders())
    spec = next((spec for spec in found if spec is not None), None)
    if spec is not None:
        return spec.origin == file or spec.origin in _NO_FILES
    return file is None and parent is not None and may_be_imported(parent)  # which makes it, as six does its moves


def pickled(function: object) -> bytes:
    """The function by value; raises what cloudpickle does, and PicklingError for what no worker would find."""
    import cloudpickle  # a function that travels by its name does not need it

    taken: dict[str, ModuleType | None] = {}  # None where workers have it themselves

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def reducer_override(self, thing: Any) -> Any:
            module = _module_of(thing)
            if module is not None and module.__name__ not in (*taken, "__main__"):
                leave = may_be_imported(module) or module.__name__ in cloudpickle.list_registry_pickle_by_value()
                taken[module.__name__] = None if leave else module
                if not leave:
                    cloudpickle.register_pickle_by_value(module)
            return super().reducer_override(thing)

    file = io.BytesIO()
    try:
        Pickler(file).dump(function)
    finally:
        for module in filter(None, taken.values()):
            cloudpickle.unregister_pickle_by_value(module)
    _Reader(io.BytesIO(file.getvalue())).load()
    return file.getvalue()


class _Reader(pickle.Unpickler):
    """Reads as a worker will, and finds no more than it would."""

    def find_class(self, module: str, name: str) -> Any:
        loaded = sys.modules.get(module)
        if loaded is not None and not may_be_imported(loaded):
            raise pickle.PicklingError(f"{module}.{name} is where no worker finds it, and has no form by value")
        return super().find_class(module, name)


def _finders() -> Iterator[Any]:
    """Those that find modules in every interpreter; not what this program has added."""
    yield from (BuiltinImporter, FrozenImporter, PathFinder)
    for finder in sys.meta_path:
        module = getattr(finder, "__module__", None) or type(finder).__module__
        if module.startswith(_EDITABLE):
            yield finder


def _module_of(thing: Any) -> ModuleType | None:
    """The module that something is, or is of, as far as it says so."""
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    return module if isinstance(module, ModuleType) and module.__name__ == name else None
