"""A function of the user's on its way to the workers: by name where that will do, else by value."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from crawler import parse
from crawler.config import CrawlConfig
from crawler.errors import ConfigError
from crawler.function import ByValue, is_by_value, label, load, named
from crawler.luggage import may_be_imported


def test_what_can_be_imported_travels_by_its_name() -> None:
    """A worker imports it as the command line would have it imported."""
    assert "crawler.parse:links" == named(parse.links)
    assert parse.links is load("crawler.parse:links")


@pytest.mark.parametrize("function", [lambda page: page + 1, functools.partial(lambda a, page: a + page, 1)])
def test_what_cannot_be_imported_travels_by_value(function: Callable[[int], int]) -> None:
    """A lambda, a function inside another one, a partial one: what arrives does the same."""
    sent = named(function)

    assert isinstance(sent, ByValue)
    assert 42 == load(sent)(41)
    assert is_by_value(label(sent))


PLUGIN = """
import functools

def helped(page): return 2 * page
def twice(page): return helped(page)
def inside(): return lambda page: helped(page)
def added(number, page): return helped(page) + number
within, partial = inside(), functools.partial(added, 0)

class Parser:
    def __call__(self, page): return helped(page)
    def method(self, page): return helped(page)

parser, method = Parser(), Parser().method
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that was loaded from its path, as programs load their plugins: no worker finds it by its name."""
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    spec = importlib.util.spec_from_file_location("plugin", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "plugin", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["twice", "within", "partial", "parser", "method"])
def test_what_only_this_process_has_travels_by_value(
    name: str, plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of such a module, what else can be called there, and what a script of the user's makes of it."""
    function = getattr(plugin, name)
    sent = [named(function), named(lambda page: function(page)), named(lambda page: getattr(plugin, name)(page))]
    monkeypatch.delitem(sys.modules, "plugin")

    assert [42, 42, 42] == [load(each)(21) for each in sent]


def test_a_made_module_travels_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never was in a file."""
    made = ModuleType("made")
    exec(PLUGIN, made.__dict__)
    monkeypatch.setitem(sys.modules, "made", made)
    sent = named(made.twice)
    monkeypatch.delitem(sys.modules, "made")

    assert 42 == load(sent)(21)


def test_a_module_on_the_path_is_imported(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers have the caller's path: only what it does not lead to, or leads elsewhere, travels by value."""
    assert plugin.__file__ is not None
    monkeypatch.syspath_prepend(str(Path(plugin.__file__).parent))
    there = named(plugin.twice)
    (Path(plugin.__file__).parent / "first").mkdir()
    (Path(plugin.__file__).parent / "first" / "plugin.py").touch()
    monkeypatch.syspath_prepend(str(Path(plugin.__file__).parent / "first"))

    assert "plugin:twice" == there
    assert isinstance(named(plugin.twice), ByValue)


def test_what_only_the_program_itself_finds_travels_by_value(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import hook of the caller's is in no worker."""

    class Hook:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            return plugin.__spec__ if name == "plugin" else None

    monkeypatch.setattr(sys, "meta_path", [Hook, *sys.meta_path])

    assert isinstance(named(plugin.twice), ByValue)


def test_what_has_no_form_by_value_is_said_at_once(plugin: ModuleType) -> None:
    """A cached function is known by its name alone, and no worker has it there."""
    plugin.helped = functools.cache(plugin.helped)  # type: ignore[attr-defined]  # made by a test
    with pytest.raises(ConfigError, match=r"plugin.helped is where no worker finds it, and has no form by value"):
        named(plugin.twice)


def test_what_the_caller_sends_by_value_stays_so(plugin: ModuleType) -> None:
    """What was registered with cloudpickle before still is."""
    cloudpickle.register_pickle_by_value(plugin)
    try:
        named(plugin.twice)
        assert {"plugin"} == cloudpickle.list_registry_pickle_by_value()
    finally:
        cloudpickle.unregister_pickle_by_value(plugin)
    named(plugin.twice)

    assert set() == cloudpickle.list_registry_pickle_by_value()


@pytest.mark.parametrize("name", ["json", "json.decoder", "posixpath", "sys", "msgspec", "numpy", "pyexpat.errors"])
def test_a_library_is_not_taken_along(name: str) -> None:
    """Whatever it is made of: files, the interpreter itself, or an extension that makes modules of its own."""
    assert may_be_imported(importlib.import_module(name))


def fingerprint(source: str) -> str | None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(source, names)
    return label(named(names["function"]))


def test_what_a_function_does_is_its_fingerprint() -> None:
    """Where it stands is not: a crawl goes on when the script around the function has changed, and not when it has."""
    first = fingerprint("def function(page):\n    return {'a', 'b'} & {page.url} or [1 for _ in 'x']")
    moved = fingerprint("\n\n# moved\ndef function(page):\n    return {'a', 'b'} & {page.url} or [1 for _ in 'x']")
    inner = fingerprint("def function(page):\n    return {'a', 'b'} & {page.url} or [2 for _ in 'x']")

    assert first == moved != inner


def test_what_holds_a_lock_does_not_travel() -> None:
    """The sentence says what could not be sent."""
    lock = threading.Lock()
    with pytest.raises(ConfigError, match="cannot be sent to the workers"):
        named(lambda page: lock and page)


@pytest.mark.parametrize("text", ["links", "crawler.parse", ":links", "crawler.parse:", "a b:c", "crawler:links()"])
def test_a_name_has_two_parts(text: str) -> None:
    """module:function, and nothing else."""
    with pytest.raises(ConfigError, match="module:function"):
        CrawlConfig(parse=text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("crawler.nowhere:links", "crawler.nowhere cannot be imported: ModuleNotFoundError"),
        ("crawler.parse:nothing", "crawler.parse has no function 'nothing'"),
        ("crawler.parse:_HTML", "is no function"),
        ("asyncio:sleep", "is no function"),
    ],
)
def test_what_is_no_function_is_said_at_once(text: str, why: str) -> None:
    """A missing module, a missing name, what cannot be called, and what would only give a coroutine."""
    with pytest.raises(ConfigError, match=why):
        load(text)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a ready function's library is missing, the sentence says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs lxml; install it with: pip install 'crawler\[parse\]'"):
        load("crawler.parse:title")
