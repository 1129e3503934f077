"""What every recipe does with one URL: fetch it with requests, save it, and say how it went."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter

from benchmarks.parsing import parse

Fetch = Callable[[str], "tuple[bool, float]"]
"""Fetches a URL and says whether it is a good page that was saved, and how many milliseconds it took."""


@functools.cache
def _session(conc: int) -> requests.Session:
    """One a process, with room for as many connections as are in flight: the better tutorials say so."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=conc, pool_maxsize=conc))
    return session


def fetch(url: str, *, out: Path, conc: int, parses: bool) -> tuple[bool, float]:
    """As `Fetch`; bound to the other arguments it can be sent to a process."""
    started = time.perf_counter()
    try:
        response = _session(conc).get(url, timeout=60)
        body = response.content
    except requests.RequestException:
        return False, (time.perf_counter() - started) * 1000
    if response.ok:
        name = os.path.basename(url.partition("?")[0])  # noqa: PTH119 - a path of a URL
        (out / name).write_bytes(body)
        if parses:
            (out / f"{name}.json").write_text(json.dumps(parse(body)), encoding="utf-8")
    return response.ok, (time.perf_counter() - started) * 1000
