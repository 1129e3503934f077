"""How often a process of ours looks for garbage."""

from __future__ import annotations

import subprocess
import sys

LOOKS = """
import gc
from crawler.garbage import collect_less

def looks(count):
    before = gc.get_stats()[0]["collections"]
    alive = [[] for _ in range(count)]
    return gc.get_stats()[0]["collections"] - before

gc.collect()
often = looks(9_000)
collect_less()
gc.collect()
print(often, looks(9_000), looks(30_000))
"""


def test_it_is_looked_for_less() -> None:
    """What some hundred exchanges make is not looked through while they last; what goes on growing is."""
    ran = subprocess.run([sys.executable, "-c", LOOKS], check=True, capture_output=True, text=True)
    often, few, many = map(int, ran.stdout.split())

    assert few == 0 < many
    assert often > 0
