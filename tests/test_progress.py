"""What a person sees of a run: the tally on a fake clock, the lines, the live view, the summary."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crawler import progress
from crawler.config import CrawlConfig
from crawler.display import view
from crawler.job import Summary
from crawler.load import Load, WorkerLoad
from crawler.progress import make_progress, say_summary
from crawler.records import OUTCOMES, ErrorClass, Outcome, Result, Row, Status, Waiting
from crawler.tally import Reading, Tally


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def pipeline(read: int = 0, in_hand: int = 0, waiting: int = 0, **source: Any) -> Any:
    """What a tally looks at: a list of which `read` entries were read, and those that are not final yet."""
    known = {"length": None, "total_bytes": None, "position": 0} | source
    return SimpleNamespace(
        source=SimpleNamespace(**known),
        read=read,
        crew=SimpleNamespace(
            in_hand=in_hand, router=SimpleNamespace(waiting=waiting, full=False), deaths=0, last_death="", said=[]
        ),
        open=in_hand + waiting,
        executor=SimpleNamespace(started=2, statuses=dict, hindrance=""),
        feed=SimpleNamespace(finished=True, empty=True),
        config=CrawlConfig(),
        consumed_s=0.0,
        stops_at=None,
    )


def results(count: int, outcome: Any = "fetched", status: int | None = 200, **fields: Any) -> list[Result]:
    """As many results that all ended the same way."""
    row = Row(1, "list", 1, "http://a.test/", "http://a.test/", "a.test", outcome, status, **fields)
    return [Result(row)] * count


class TestTally:
    def test_counts(self) -> None:
        """Every row counts for its outcome and error class; only pages with a 2xx status are ok."""
        tally = Tally(Clock())
        tally.add([*results(6), *results(2, status=404), *results(1, "failed", None, error_class="dns")])
        tally.add(results(1, "failed", 200, error_class="incomplete"))
        reading = tally.read(pipeline(read=15, in_hand=3, waiting=2))

        assert (15, 10, 6, 0.6, 3, 2) == (
            reading.read, reading.recorded, reading.ok, reading.success_rate, reading.in_hand, reading.workers
        )  # fmt: skip
        assert {"fetched": 8, "failed": 2} == reading.outcomes
        assert {"dns": 1, "incomplete": 1} == reading.error_classes

    def test_nothing_yet(self) -> None:
        """Before the first row there is no rate, no mean and no end in sight."""
        reading = Tally(Clock()).read(pipeline(total_bytes=100))

        assert (None, None, None, None) == (
            reading.success_rate, reading.mean_page_ms, reading.fraction, reading.eta_s
        )  # fmt: skip
        assert (0.0, 0.0, 0.0) == (reading.pages_per_s, reading.mean_pages_per_s, reading.bytes_per_s)

    def test_mean_time(self) -> None:
        """The mean is over the rows that know their time."""
        tally = Tally(Clock())
        tally.add([*results(3, total_ms=10.0), *results(1, total_ms=50.0), *results(5, "duplicate", None)])

        assert 20.0 == tally.read(pipeline()).mean_page_ms

    def test_rates_are_over_the_last_seconds(self) -> None:
        """A pace that changed is seen five seconds later; the mean is over the whole run."""
        clock = Clock()
        tally = Tally(clock)
        for count in (100,) * 10 + (10,) * 10:
            clock.now += 1
            tally.add(results(count, bytes_wire=1000))
            reading = tally.read(pipeline())

        assert (10.0, 10_000.0) == (reading.pages_per_s, reading.bytes_per_s)
        assert 55.0 == reading.mean_pages_per_s
        assert 20.0 == reading.elapsed_s

    def test_rates_between_rare_readings(self) -> None:
        """Where readings are further apart than that, a rate is over the time between two of them."""
        clock = Clock()
        tally = Tally(clock)
        for count in (1000, 60):
            clock.now += 60
            tally.add(results(count))
            reading = tally.read(pipeline())

        assert 1.0 == reading.pages_per_s

    def test_fraction_of_entries(self) -> None:
        """Where the list says how long it is, entries count: what is read but not final does not."""
        assert 0.25 == Tally(Clock()).read(pipeline(read=100, in_hand=40, waiting=10, length=200)).fraction

    def test_fraction_of_bytes(self) -> None:
        """Of a file, bytes count: what was read of it, less the part that is not final."""
        known = {"total_bytes": 1000, "position": 500}

        assert 0.25 == Tally(Clock()).read(pipeline(read=100, in_hand=40, waiting=10, **known)).fraction

    def test_eta(self) -> None:
        """What is left takes as long as this run took for its own entries; an earlier run's cost nothing."""
        clock = Clock()
        tally = Tally(clock)
        clock.now += 10
        tally.add(results(20))

        assert 40.0 == tally.read(pipeline(read=120, length=200)).eta_s

    def test_eta_of_a_stream(self) -> None:
        """Nobody knows the end of a stream."""
        tally = Tally(Clock())
        tally.add(results(20))
        reading = tally.read(pipeline(read=20))

        assert (None, None) == (reading.fraction, reading.eta_s)

    @given(
        read=st.integers(0, 10**9),
        open_share=st.floats(0, 1),
        length=st.none() | st.integers(0, 10**9),
        total=st.none() | st.integers(0, 10**12),
        position=st.integers(0, 10**12),
        recorded=st.integers(0, 5),
    )
    def test_any_state_has_a_reading(
        self, read: int, open_share: float, length: int | None, total: int | None, position: int, recorded: int
    ) -> None:
        """Whatever a pipeline's numbers are, the fraction is within 0 and 1, and no time is negative."""
        tally = Tally(Clock())
        tally.add(results(recorded))
        state = pipeline(read, int(read * open_share), length=length, total_bytes=total, position=position)
        reading = tally.read(state)

        assert reading.fraction is None or 0 <= reading.fraction <= 1
        assert reading.eta_s is None or reading.eta_s >= 0


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines and drawings that are due at every update."""
    monkeypatch.setattr(progress, "_LOG_S", 0.0)
    monkeypatch.setattr(progress, "DRAW_S", 0.0)


def follow(log_format: str = "text", *, quiet: bool = False) -> None:
    """A run of 200 entries, seen when 50 are final: 45 ok, 3 of them 404, 2 without a name."""
    with make_progress(quiet, log_format) as shown:
        shown.update(pipeline(), [])
        batch = [*results(45, total_ms=20.0, bytes_wire=1000), *results(3, status=404)]
        batch += results(2, "failed", None, error_class="dns")
        shown.update(pipeline(read=60, in_hand=10, length=200), batch)


class TestLines:
    def test_text(self, always: None, capsys: pytest.CaptureFixture[str]) -> None:
        """A log line has the time, how far it is, the pace, and the outcomes."""
        follow()
        line = capsys.readouterr().err.splitlines()[-1]

        assert re.fullmatch(
            r"\d\d:\d\d:\d\d 50 entries \(25\.0%\), ETA 0:00:\d\d; "
            r"[\d,]+ pages/s, [\d,]+ on average · [\d.]+ [KM]B/s · mean 20 ms a page; "
            r"45 ok \(90\.0%\) · 48 fetched · 2 failed",
            line,
        )

    def test_json(self, always: None, capsys: pytest.CaptureFixture[str]) -> None:
        """A JSON line has the numbers under fixed names."""
        follow("json")
        captured = capsys.readouterr()
        first, last = map(json.loads, captured.err.splitlines())
        expected = {
            "event": "progress", "read": 60, "recorded": 50, "ok": 45, "success_rate": 0.9, "mean_page_ms": 20.0,
            "fraction": 0.25, "in_hand": 10, "workers": 2,
            "outcomes": {"fetched": 48, "failed": 2}, "error_classes": {"dns": 2}, "limit": "starting",
            "waiting": [], "deaths": 0, "last_death": None,
        }  # fmt: skip

        assert "" == captured.out
        assert expected == {name: last[name] for name in expected}
        assert {
            "time",
            "elapsed_s",
            "pages_per_s",
            "bytes_per_s",
            "eta_s",
            "memory_bytes",
        } == last.keys() - expected.keys()
        assert (None, None, None) == (first["success_rate"], first["fraction"], first["eta_s"])

    def test_the_tail_is_named(self, always: None, capsys: pytest.CaptureFixture[str]) -> None:
        """Once the list is read to its end, a line says whom the run still waits for; not before."""
        hosts = (Waiting("slow.test", 1, "slow", 12.4), Waiting("\x1b[2J.test", 3, "back-off", 4.0))
        status = Status(1, 8, 4, 0, 0.0, 0, hosts)
        for log_format in ("text", "json"):
            for reading_on in (True, False):
                state = pipeline(read=60, in_hand=4)
                state.executor.statuses = lambda: {0: status}
                state.feed.finished = not reading_on
                with make_progress(False, log_format) as shown:
                    shown.update(state, results(3))
        before, after, *objects = capsys.readouterr().err.splitlines()

        assert before.endswith("3 ok (100.0%) · 3 fetched")
        assert after.endswith("; waiting for \\x1b[2J.test (back-off, 3, 4 s), slow.test (slow, 12 s)")
        assert {"host": "slow.test", "entries": 1, "why": "slow", "seconds": 12.4} == json.loads(objects[1])["waiting"][
            1
        ]

    def test_deaths_are_told(self, always: None, capsys: pytest.CaptureFixture[str]) -> None:
        """A worker that died is no secret: the lines say how many did, and of what the last one."""
        state = pipeline(read=60)
        state.crew.deaths, state.crew.last_death = 2, "was ended by SIGSEGV"
        for log_format in ("text", "json"):
            with make_progress(False, log_format) as shown:
                shown.update(state, results(3))
        text, last = capsys.readouterr().err.splitlines()

        assert text.endswith("; workers: 2 replaced, the last one was ended by SIGSEGV")
        assert (2, "was ended by SIGSEGV") == (json.loads(last)["deaths"], json.loads(last)["last_death"])

    def test_a_sentence_is_said_at_once_and_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        """What people should read does not wait for the next line, and never steers a terminal."""
        for log_format in ("text", "json"):
            state = pipeline()
            state.crew.said = ["Machine a: \x1b[2J."]
            with make_progress(False, log_format) as shown:
                shown.update(state, [])
                shown.update(state, [])
        text, line = capsys.readouterr().err.splitlines()

        assert text.endswith(" Machine a: \\x1b[2J.")
        assert ("note", "Machine a: \x1b[2J.") == (json.loads(line)["event"], json.loads(line)["text"])

    def test_why_nobody_works_is_said_when_it_is_news(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Once, and again when it comes again."""
        state = pipeline()
        with make_progress(False, "text") as shown:
            for hindrance in ("no machine is there", "no machine is there", "", "no machine is there"):
                state.executor.hindrance = hindrance
                shown.update(state, [])

        lines = capsys.readouterr().err.splitlines()
        assert [True] * 2 == [line.endswith(" Nothing is fetched: no machine is there.") for line in lines]

    def test_every_five_seconds(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """However often a run has news, a line comes every five seconds."""
        clock = Clock()
        monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock))
        with make_progress(False, "text") as shown:
            for _ in range(101):
                clock.now += 0.25
                shown.update(pipeline(), results(1))

        assert [20, 40, 60, 80, 100] == [int(line.split()[1]) for line in capsys.readouterr().err.splitlines()]

    def test_quiet(self, always: None, capsys: pytest.CaptureFixture[str]) -> None:
        """Quiet is quiet."""
        follow(quiet=True)

        assert ("", "") == capsys.readouterr()


def drawn(reading: Reading, width: int) -> list[str]:
    """The live view's lines on a terminal of this width."""
    screen = io.StringIO()
    Console(file=screen, width=width, force_terminal=True, color_system=None, _environ={}).print(view(reading))
    return screen.getvalue().splitlines()


def a_reading(**numbers: Any) -> Reading:
    """A run in full swing."""
    usual: dict[str, Any] = {
        "elapsed_s": 754.0, "read": 130_000, "recorded": 123_456, "ok": 118_000, "pages_per_s": 1234.5,
        "mean_pages_per_s": 1100.0, "bytes_per_s": 45.6e6, "mean_page_ms": 87.6, "fraction": 0.123, "eta_s": 4321.0,
        "outcomes": {"duplicate": 456, "fetched": 120_000, "failed": 3_000}, "in_hand": 2000, "workers": 4,
        "error_classes": {"dns": 2900, "reset": 100},
    }  # fmt: skip
    return Reading(**{**usual, **numbers})


OUTCOME_COUNTS = st.dictionaries(st.sampled_from(OUTCOMES), st.integers(0, 10**9))
ERROR_COUNTS = st.dictionaries(st.sampled_from(get_args(ErrorClass)), st.integers(1, 10**9))
SECONDS = st.floats(0, 10**8)
WORKERS = st.builds(WorkerLoad, st.integers(0, 127), st.integers(0, 10**5), st.integers(1, 10**5), st.floats(0, 1))
HOSTS = st.builds(
    Waiting,
    host=st.text(st.characters(max_codepoint=0x2FF), max_size=300),
    entries=st.integers(0, 10**9),
    why=st.sampled_from(["limit", "delay", "back-off", "slow"]),
    seconds=SECONDS,
)
LOADS = st.builds(
    Load,
    workers=st.lists(WORKERS, max_size=9).map(tuple),
    memory_bytes=st.integers(0, 10**12),
    waiting=st.lists(HOSTS, max_size=3).map(tuple),
    limit=st.just("the end of the list: nothing is left to read"),
)


class TestView:
    def test_what_it_shows(self) -> None:
        """A bar with the share that is done, the pace, the outcomes in their order, and the errors."""
        bar, *lines = drawn(a_reading(), 80)

        assert "12% · 0:12:34 · ETA 1:12:01" == bar.lstrip("━╸╺ ").rstrip()
        assert [
            "1,234 pages/s, 1,100 on average · 45.6 MB/s · mean 88 ms a page",
            "118,000 ok (95.6%) · 120,000 fetched · 3,000 failed · 456 duplicate",
            "errors  2,900 dns · 100 reset",
        ] == [line.rstrip() for line in lines]

    def test_a_stream(self) -> None:
        """Where nobody knows the end, the bar only says that something is going on."""
        bar, *_ = drawn(a_reading(fraction=None, eta_s=None, error_classes={}), 80)

        assert "0:12:34 · ETA -" == bar.lstrip("━╸╺ ").rstrip()

    def test_deaths_are_told(self) -> None:
        """The line of the workers says that some died, and of what; nothing in it steers the terminal."""
        load = Load((WorkerLoad(0, 3, 8, 0.5),), 5_000_000, (), "nothing yet")
        *_, workers, _ = drawn(a_reading(load=load, deaths=1, last_death="was ended by \x1b[2J"), 100)

        assert "workers 0: 3/8, CPU 50% · 5.0 MB · 1 replaced, it was ended by \\x1b[2J" == workers.rstrip()

    @given(
        width=st.integers(20, 200),
        numbers=st.fixed_dictionaries(
            {
                "outcomes": OUTCOME_COUNTS,
                "error_classes": ERROR_COUNTS,
                "fraction": st.none() | st.floats(0, 1),
                "eta_s": st.none() | SECONDS,
                "elapsed_s": SECONDS,
                "pages_per_s": st.floats(0, 10**6),
                "bytes_per_s": st.floats(0, 10**12),
                "mean_page_ms": st.none() | st.floats(0, 10**5),
                "load": st.none() | LOADS,
                "deaths": st.integers(0, 10**9),
                "last_death": st.text(max_size=200),
            }
        ),
    )
    def test_no_line_wraps(self, width: int, numbers: dict[str, Any]) -> None:
        """Whatever the numbers and the names, each line of the view is one line, no wider than the terminal."""
        lines, load = drawn(a_reading(**numbers), width), numbers["load"]
        of_load = 0 if load is None else 2 + bool(load.waiting)

        assert 3 + bool(numbers["error_classes"]) + of_load == len(lines)
        assert max(map(len, lines)) <= width

    def test_on_a_terminal(self, always: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """A terminal gets the view; at the end its lines are erased: the summary takes their place."""
        screen = io.StringIO()
        monkeypatch.setattr(progress, "_is_screen", lambda: True)
        monkeypatch.setattr("sys.stderr", screen)
        for name, value in {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "TERM": "xterm", "COLUMNS": "80"}.items():
            monkeypatch.setenv(name, value)
        follow()

        assert "\n45 ok (90.0%) · 48 fetched · 2 failed\n" in re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue())
        assert screen.getvalue().endswith("\r" + "\x1b[1A\x1b[2K" * 6)  # ECMA-48: CUU, EL

    @pytest.mark.parametrize(("terminal", "term", "expected"), [
        (True, "xterm-256color", True), (True, "", True), (True, "dumb", False), (False, "xterm", False),
    ])  # fmt: skip
    def test_what_is_a_screen(self, monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, expected: bool) -> None:
        """Only a terminal that can draw over its lines gets a live view; the others get log lines."""
        monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: terminal))
        monkeypatch.setenv("TERM", term)

        assert expected == progress._is_screen()


class TestSummary:
    COUNTS: ClassVar[dict[Outcome, int]] = {"fetched": 1200, "failed": 30, "denied": 4, "duplicate": 0, "invalid": 1}

    def test_finished(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The sum, the pace of this run, and what to do next, ready to be pasted."""
        tally = Tally(Clock())
        tally.add(results(1000))
        say_summary(Summary(Path("a b.crawl"), self.COUNTS, 1235, 10.0, True), tally, "text")

        assert [
            "1,200 fetched + 30 failed + 4 denied + 0 duplicate + 1 invalid = 1,235 entries",
            "1,000 pages ok in 0:00:10, 100 a second",
            "Everything is in 'a b.crawl'. Next: crawl report 'a b.crawl'",
            "Failed: crawl query 'a b.crawl' \"SELECT url, error FROM pages WHERE outcome = 'failed'\"",
            "Fetch them again: crawl retry 'a b.crawl'",
        ] == capsys.readouterr().out.splitlines()

    def test_a_command_that_the_shell_would_not_find(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is suggested can be pasted: by the path that this run was called by, where `crawl` is not on PATH."""
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr("sys.argv", [".venv/bin/crawl", "urls.txt"])
        say_summary(Summary(Path("out"), self.COUNTS, 0, 10.0, True), Tally(Clock()), "text")

        assert "Next: .venv/bin/crawl report out" in capsys.readouterr().out

    def test_deaths_are_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One line, where workers died; also those count that no line and no drawing has shown."""
        state = pipeline()
        state.crew.deaths, state.crew.last_death = 2, "stopped answering for 30 s"
        with make_progress(True, "text") as shown:
            shown.update(state, [])
        say_summary(Summary(Path("out"), self.COUNTS, 0, 10.0, True), shown.tally, "text")

        assert "Workers: 2 replaced, the last one stopped answering for 30 s" in capsys.readouterr().out.splitlines()

    def test_stopped(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A run that was stopped says how to go on."""
        say_summary(Summary(Path("out"), self.COUNTS, 0, 10.0, False), Tally(Clock()), "text")

        assert [
            "1,200 fetched + 30 failed + 4 denied + 0 duplicate + 1 invalid = 1,235 entries",
            "Stopped; what is recorded is safe in out. The same command goes on.",
        ] == capsys.readouterr().out.splitlines()

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """As JSON it is one object."""
        say_summary(Summary(Path("out"), self.COUNTS, 12, 10.0004, True), Tally(Clock()), "json")

        assert {
            "event": "summary", "out": "out", "entries": 1235, "recorded": 12, "elapsed_s": 10.0, "finished": True,
            "deaths": 0,
            **self.COUNTS,
        } == json.loads(capsys.readouterr().out)  # fmt: skip
