"""The harness of the benchmarks: every mode, recipe and peer fetches its list, is measured, and loses no record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contender import Contender
from benchmarks.contenders import CONTENDERS, MODES, PEERS, RECIPES, best_mode
from benchmarks.measure import measure
from benchmarks.outlook import Outlook
from benchmarks.plan import as_is, killed, named, part, quick, shaped, sweep, two_million, whole
from benchmarks.runner import Part, run_part
from benchmarks.workloads import WORKLOADS

EVERYBODY = [contender for siblings in CONTENDERS.values() for contender in siblings]


def measured(part: Part) -> list[dict[str, Any]]:
    """The settings and figures of each run of a part."""
    return [{**line["settings"], **line["figures"]} for line in run_part(part, origin_procs=1, tell=lambda _: None)]


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as its users run it."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("contender", EVERYBODY, ids=lambda one: one.name)
def test_near(contender: Contender) -> None:
    """Every contender that is here fetches and saves a whole list, and all of its figures make sense."""
    near = WORKLOADS["near"]
    found = part("chosen", near, [(contender, 2, 4)], count=40, warm=False)
    if (why := contender.missing(near)) is not None:
        assert contender in PEERS
        assert ("not installed", ()) == (why, found.cases)
        return
    (run,) = measured(found)
    assert (0, 0, 0, False) == (run["lost"], run["failed"], run["exit_status"], run["hung"]), run.get("says")
    assert run["good"] >= 40 == run["expected"]
    assert (run["procs"], run["conc"]) == contender.shape(2, 4)
    assert run["pages_per_s"] > 0 < run["cpu_us_per_page"]
    assert run["p50_ms"] is None or 0 < run["p50_ms"] <= run["p99_ms"]


@pytest.mark.parametrize("name", ["hosts", "tls", "wild", "cpu"])
def test_workloads(name: str) -> None:
    """A mode and a recipe bring the same good pages of every workload, and nothing of it is lost."""
    some = [best_mode(), next(one for one in RECIPES if one.name == "ThreadPoolExecutor")]
    for run in measured(part("chosen", WORKLOADS[name], as_is(some), count=100, warm=False)):
        assert (run["expected"], 0) == (run["good"], run["lost"]), (run["name"], run.get("says"))
        assert run["expected"] + run["failed"] == 100


def test_patient() -> None:
    """The pages of the patient workload take their two seconds, all at once."""
    (run,) = measured(part("chosen", WORKLOADS["patient"], [(best_mode(), 1, 50)], count=50, warm=False))
    assert (50, 0) == (run["good"], run["lost"])
    assert run["p50_ms"] >= 2000


def test_interleaved() -> None:
    """The cases of a part run in turn, as often as was asked for, after a run to warm up that does not count."""
    told: list[str] = []
    cases = part("chosen", WORKLOADS["near"], shaped([("asyncio", 1, 2), ("serial", 1, 1)]), count=3, runs=2)
    lines = list(run_part(cases, origin_procs=1, tell=told.append))
    assert [("asyncio", 1), ("serial", 1), ("asyncio", 2), ("serial", 2)] == [
        (line["settings"]["name"], line["settings"]["run"]) for line in lines
    ]
    assert [2, 6] == [sum("warm up" in text for text in told), len(told)]
    assert all(line["machine"]["cores"] and line["versions"]["crawler"] for line in lines)


def test_killed_child() -> None:
    """A command's youngest child can be killed meanwhile: the command sees it, and ends by itself."""
    child = "import sys; sys.stdin.read()"
    command = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}], stdin=-1).wait())"
    found = measure([sys.executable, "-c", command], interval_s=0.02, kill_child_s=0.5)
    assert (0, "-9") == (found.exit_status, found.stdout.strip())


def test_limit() -> None:
    """A command that hangs is ended, with all that it started."""
    command = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import threading; threading.Event().wait()'])"
    )
    found = measure([sys.executable, "-c", command], interval_s=0.02, limit_s=0.2)
    assert -9 == found.exit_status


def test_plans_have_everybody() -> None:
    """Both pictures have every mode, every recipe, and every workload; each part has one workload."""
    installed = {one.name for one in EVERYBODY if not one.missing(WORKLOADS["near"])}
    for plan in (list(quick()), list(whole())):
        cases = [case for each in plan for case in each.cases]
        assert installed == {case.contender.name for case in cases}
        assert set(WORKLOADS) == {case.workload.name for case in cases}
        assert all(1 == len({case.workload.name for case in each.cases}) for each in plan)


def test_two_million_are_bounded() -> None:
    """Only what is expected to take less than the bound is run in full, and not in the documents' settings."""
    fast = Outlook("asyncio", 1, 2000, None, 10_000, 10.0, 0, 100.0)
    slow = Outlook("threads", 1, 100, None, 50, 1.0, 0, 100.0)
    (found,) = two_million([fast, slow], hours=1)
    assert [("asyncio", 2_000_000, 2000)] == [(case.contender.name, case.count, case.conc) for case in found.cases]


def test_sweep_spares_the_machine() -> None:
    """No more threads than a machine bears, whatever is asked for."""
    assert {1, 1000} == {
        conc for _, _, conc in sweep([mode for mode in MODES if mode.name == "threads"], (1, 1000, 8000))
    }


def test_killed_part() -> None:
    """In the part in which a worker is killed everybody has one to lose, and a limit."""
    assert all(case.kill_child_s and case.limit_s == 9 and case.procs > 1 for case in killed(100, limit_s=9).cases)


def test_named() -> None:
    """Contenders are chosen by their names, without regard to case; one that there is not is refused by name."""
    assert ["processes of gevent pools", "Pool.map"] == [
        one.name for one in named("recipes", "processes of gevent pools,pool.MAP")
    ]
    assert [["curl -Z"], [], list(MODES)] == [
        [one.name for one in named("peers", "curl")],
        named("modes", "none"),
        named("modes", "all"),
    ]
    with pytest.raises(ValueError, match="'lynx' is none of the peers"):
        named("peers", "lynx")


def test_command(tmp_path: Path) -> None:
    """The command prints and keeps a JSON line a run, and writes a page; a later run can add to them."""
    choice = ("--workload", "near", "--modes", "asyncio", "--urls", "20", "--runs", "1", "--cold")
    first = harness(*choice, "--json", "--results", str(tmp_path))
    assert (0, (tmp_path / "results.jsonl").read_text()) == (first.returncode, first.stdout)
    second = harness(*choice, "--recipes", "pool.map", "--results", str(tmp_path), "--add")
    assert 0 == second.returncode
    assert "Pool.map" in second.stdout
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert ["asyncio", "asyncio", "Pool.map"] == [json.loads(line)["settings"]["name"] for line in lines]
    assert "Pool.map" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("choice", [("--workload", "far"), ("--modes", "magic"), ("--peers", "lynx")])
def test_unknown_names(choice: tuple[str, str]) -> None:
    """What there is not is refused with what there is, and nothing runs."""
    found = harness(*choice)
    assert (2, "") == (found.returncode, found.stdout)
    assert f"'{choice[1]}' is none of the" in found.stderr
