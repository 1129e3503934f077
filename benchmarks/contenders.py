"""All that can be measured, in the order in which it is shown."""

from __future__ import annotations

import importlib

from benchmarks.contender import Contender
from benchmarks.recipes.base import Recipe
from crawler.config import ENGINES


def _siblings(kind: str, files: str) -> tuple[Contender, ...]:
    modules = (importlib.import_module(f"benchmarks.{kind}.{file}") for file in files.split())
    return tuple(Recipe(module) if kind == "recipes" else module.CONTENDER for module in modules)


MODES = _siblings(
    "modes",
    "serial threads processes processes_threads greenlets coroutines processes_greenlets processes_coroutines"
    " curl processes_curl",
)
RECIPES = _siblings(
    "recipes",
    "thread_pool process_pool pool_map pool_imap pool_imap_unordered greenlets greenlets_processes",
)
PEERS = _siblings("peers", "curl wget2 aria2 scrapy minet wrk")
CONTENDERS = {"modes": MODES, "recipes": RECIPES, "peers": PEERS}


def best_mode() -> Contender:
    """The mode that the product is meant to be run in: processes of transfers of libcurl where that is there."""
    found = {mode.name: mode for mode in MODES}
    return found[f"processes+{'curl' if 'curl' in ENGINES else 'asyncio'}"]
