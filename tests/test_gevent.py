"""The engine gevent: the contract of all engines once more, and what only it can get wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_contract_of_all_engines() -> None:
    """Every law of test_engines.py that needs an engine holds under gevent, in a process that gevent has patched."""
    command = [
        sys.executable,
        "-m",
        "gevent.monkey",
        "--module",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, "-k", "gevent", str(HERE / "test_engines.py")],
        cwd=HERE.parent,
        env={**os.environ, "CRAWLER_TEST_GEVENT": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert 0 == done.returncode, done.stdout[-5000:] + done.stderr[-2000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) > 80
