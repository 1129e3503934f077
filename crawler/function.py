"""A function of the user's that runs in the workers: it travels by its name, or by value."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

import msgspec

from crawler.errors import ConfigError

Function = Callable[[Any], Any]

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_FINGERPRINT_BYTES = 8
# Ready ones that need more than the package itself.
_NEEDED = {"crawler.parse": ("lxml", "lxml_html_clean", "trafilatura")}
_EXTRA = "parse"


class ByValue(msgspec.Struct, frozen=True):
    """A function as cloudpickle writes it, for those that no worker could import: of a script, a notebook, a lambda.

    `fingerprint` is a hash of what it does, as far as its own code says it.
    """

    name: str
    code: bytes
    fingerprint: str


Named = str | ByValue
"""A function as it travels: `module:function`, or by value."""


def check_name(text: str) -> None:
    """Raise ConfigError for what is no `module:function`."""
    if not _NAME.fullmatch(text):
        raise ConfigError(f"{text!r} names no function; write it as module:function, such as crawler.parse:links.")


def named(function: Function) -> Named:
    """A function in the form in which it travels; raises ConfigError where it cannot."""
    from crawler.luggage import may_be_imported, pickled  # neither a worker nor a crawl without one needs it

    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    text = f"{module}:{name}"
    loaded = sys.modules.get(module or "")
    if loaded is not None and _NAME.fullmatch(text) and _found(loaded, name) is function and may_be_imported(loaded):
        return text
    try:
        code = pickled(function)
    except Exception as error:  # whatever the function has taken hold of says no in its own way
        raise ConfigError(f"The function {name} cannot be sent to the workers: {error}.") from error
    return ByValue(text, code, _fingerprint(function, code))


def label(function: Named | None) -> str | None:
    """What is compared when a crawl goes on: the name, and for one by value its fingerprint too."""
    return f"{function.name} by value {function.fingerprint}" if isinstance(function, ByValue) else function


def is_by_value(text: str | None) -> bool:
    """Whether `label` has said this of a function by value."""
    return text is not None and " " in text


def load(function: Named) -> Function:
    """The function itself; raises ConfigError where there is none, or where it is not to be called with a page."""
    if isinstance(function, ByValue):
        import cloudpickle

        found = cloudpickle.loads(function.code)
    else:
        found = _import(function)
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise ConfigError(f"{label(function)} is no function that can be called with a page.")
    loaded: Function = found
    return loaded


def _import(text: str) -> Any:
    module, _, name = text.partition(":")
    missing = [package for package in _NEEDED.get(module, ()) if importlib.util.find_spec(package) is None]
    if missing:
        raise ConfigError(f"{text} needs {missing[0]}; install it with: pip install 'crawler[{_EXTRA}]'")
    try:
        found = _found(importlib.import_module(module), name)
    except Exception as error:  # whatever a stranger's module does when it is imported
        raise ConfigError(f"{text}: {module} cannot be imported: {type(error).__name__}: {error}.") from error
    if found is None:
        raise ConfigError(f"{module} has no function {name!r}.")
    return found


def _found(owner: Any, name: str | None) -> Any:
    for part in (name or "").split("."):
        owner = getattr(owner, part, None)
    return owner


def _fingerprint(function: Any, code: bytes) -> str:
    """A hash of its code, whatever file and line it stands in; of what is no plain function, of its pickle."""
    digest = hashlib.blake2b(digest_size=_FINGERPRINT_BYTES)
    own = getattr(function, "__code__", None)
    if own is None:
        digest.update(code)
    else:
        _feed(digest, own)
    return digest.hexdigest()


def _feed(digest: hashlib.blake2b, code: CodeType) -> None:
    digest.update(repr((code.co_code, code.co_names, code.co_varnames, code.co_freevars)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _feed(digest, constant)
        elif isinstance(constant, frozenset):
            digest.update(repr(sorted(map(repr, constant))).encode())  # its order is another in each process
        else:
            digest.update(repr(constant).encode())
