"""A function of the user's on its way to the workers: by name where that will do, else by value."""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crawler import parse
from crawler.config import CrawlConfig
from crawler.errors import ConfigError
from crawler.function import ByValue, is_by_value, label, load, named


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


def test_what_only_this_process_has_travels_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that was loaded from a path is in `sys.modules`, and no worker would find it there."""
    (tmp_path / "plugin.py").write_text(
        "def twice(page):\n    return helped(page)\n\ndef helped(page):\n    return 2 * page\n"
    )
    spec = importlib.util.spec_from_file_location("plugin", tmp_path / "plugin.py")
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "plugin", plugin)
    spec.loader.exec_module(plugin)
    sent = named(plugin.twice)
    monkeypatch.delitem(sys.modules, "plugin")

    assert isinstance(sent, ByValue)
    assert 42 == load(sent)(21)
    monkeypatch.setitem(sys.modules, "plugin", plugin)
    monkeypatch.syspath_prepend(tmp_path)
    assert "plugin:twice" == named(plugin.twice)


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
