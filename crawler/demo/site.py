"""Some hundreds of real HTML documents: what pydoc has to say about every module of the standard library."""

from __future__ import annotations

import functools
import html
import importlib
import importlib.util
import pkgutil
import pydoc
import sys
import threading

# Importing these opens a browser, prints, needs a display, changes the interpreter, or is not for everyone.
_LEFT_OUT = frozenset(
    {"antigravity", "this", "idlelib", "tkinter", "turtle", "turtledemo", "lib2to3", "test", "nt", "msilib", "msvcrt"}
    | {"winreg", "winsound", "curses", "nturl2path", "ensurepip", "site", "rlcompleter", "readline", "pydoc_data"}
)

# The same for submodules: they are of another platform.
_ELSEWHERE = frozenset(
    {"asyncio.windows_events", "asyncio.windows_utils", "asyncio.proactor_events", "encodings.mbcs", "encodings.oem"}
    | {"multiprocessing.popen_spawn_win32", "ctypes.wintypes", "distutils.msvccompiler", "distutils._msvccompiler"}
)
_IMPORTING = threading.Lock()  # several threads in one package's circular imports see half of it


@functools.cache
def modules() -> tuple[str, ...]:
    """The names of the modules that the site has a page for, sorted."""
    names: set[str] = set()
    for name in sys.stdlib_module_names:
        if name.startswith("_") or name in _LEFT_OUT:
            continue
        names.add(name)
        names.update(_submodules(name))
    return tuple(sorted(names - _ELSEWHERE))


def _submodules(package: str) -> list[str]:
    """Its public submodules, found without importing one of them."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    if places is None:
        return []
    found = pkgutil.iter_modules(places, package + ".")
    return [module.name for module in found if not any(part.startswith("_") for part in module.name.split("."))]


@functools.lru_cache(maxsize=1024)
def page(name: str) -> tuple[int, str]:
    """Status and HTML of a module's page; 404 for a name that is none, 500 for one that cannot be imported."""
    if name not in modules():
        return 404, _document("Not found", f"<p>There is no module {html.escape(name)}.</p>")
    try:
        with _IMPORTING:
            module = importlib.import_module(name)
        return 200, pydoc.html.page(pydoc.describe(module), pydoc.html.document(module, name))
    except (Exception, SystemExit) as error:
        return 500, _document(name, f"<p>It cannot be imported here: {html.escape(str(error))}</p>")


def index() -> str:
    """The page that links to all the others."""
    links = "".join(f'<li><a href="/{name}.html">{name}</a></li>' for name in modules())
    return _document("The standard library", f"<ul>{links}</ul>")


def paths() -> list[str]:
    """The paths that the demo crawls: every page, a redirect, and two links that lead nowhere."""
    return ["/", *(f"/{name}.html" for name in modules()), "/json", "/no-such-module.html", "/gone.html"]


def _document(title: str, body: str) -> str:
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>"
