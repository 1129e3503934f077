"""A parent that dies takes its workers with it, also those in which nothing answers any more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from command import members, running, until, workers, write_list
from conftest import Origin

STUCK = """
import pathlib
import crawler.body

def endless(self, *head):
    pathlib.Path({sign!r}).touch()
    while True:
        pass

crawler.body.Body.head = endless
"""


@pytest.mark.parametrize("engine", ["curl", "asyncio", "gevent", "threads"])
def test_a_stuck_worker_does_not_outlive_its_parent(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """A worker in an endless loop, which hears of nothing, is gone some seconds after its parent was killed."""
    sign = tmp_path / "stuck"
    (tmp_path / "sitecustomize.py").write_text(STUCK.format(sign=str(sign)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])]))
    urls = write_list(tmp_path, origin.url(f"/page/1?stuck-{engine}"))
    with running(urls, "--procs", "1", "--engine", engine, "--allow-private", cwd=tmp_path) as parent:
        until(sign.exists)
        stuck = workers(parent)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        until(lambda: not members(parent.pid))

    assert 1 == len(stuck)
