"""What people see of results: medians and ratios, the outlook on two million URLs, and a page that is well-formed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.markdown import BEGIN, END, write_into
from benchmarks.outlook import duration, outlooks
from benchmarks.plots import Bar, Series, bars, lines, short
from benchmarks.report import show
from benchmarks.summary import summarize
from benchmarks.webpage import page_of

VOID = {"meta", "br", "hr", "img", "input", "link"}
NASTY = '<script>alert("1")</script>&amp'


def line(
    section: str, name: str, *, kind: str = "mode", workload: str = "near", run: int = 1, **figures: Any
) -> dict[str, Any]:
    """A line as a run prints it."""
    settings = {"section": section, "workload": workload, "kind": kind, "name": name, "version": "1", "run": run}
    shape = {"urls": figures.pop("urls", 100), "procs": figures.pop("procs", 1), "conc": figures.pop("conc", 1)}
    usual = {"good": 100, "expected": 100, "failed": 0, "lost": 0, "pages_per_s": 50.0, "cpu_us_per_page": 100.0}
    rest = {"origin_us_per_page": 9.0, "peak_mb": 50.0, "p50_ms": None, "p99_ms": None, "wall_s": 2.0, "cpu_s": 1.0}
    machine = {"system": "Linux", "kernel": "6", "cpu": NASTY, "cores": 2, "memory_mb": 1000, "load": 0.5}
    return {
        "benchmark": "workload",
        "machine": machine,
        "versions": {"python": "3.11"},
        "settings": {**settings, **shape},
        "figures": {**usual, **rest, "exit_status": 0, "hung": False, **figures},
    }


RESULTS = [
    {"benchmark": "missing", "name": "lynx", "why": NASTY},
    line("workloads", "curl -Z", kind="peer", run=1, cpu_us_per_page=50.0),
    line("workloads", "processes+asyncio", run=1, cpu_us_per_page=100.0, p50_ms=1.0, p99_ms=2.0),
    line("workloads", "curl -Z", kind="peer", run=2, cpu_us_per_page=300.0),
    line("workloads", "processes+asyncio", run=2, cpu_us_per_page=200.0),
    line("workloads", "curl -Z", kind="peer", run=3, cpu_us_per_page=80.0),
    line("workloads", "processes+asyncio", run=3, cpu_us_per_page=80.0),
    line("patience", "serial", workload="patient", good=10, wall_s=20.0, pages_per_s=0.5, urls=10),
    line("patience", "asyncio", workload="patient", good=4000, wall_s=8.0, pages_per_s=500.0, conc=1000),
    line("patience", "asyncio", workload="patient", good=8000, wall_s=10.0, pages_per_s=800.0, conc=2000),
    line("concurrency", "asyncio", conc=1), line("concurrency", "asyncio", conc=8, pages_per_s=90.0),
    line("memory", "asyncio", urls=100), line("memory", "asyncio", urls=1000, peak_mb=60.0),
    line("killed", NASTY, kind="recipe", hung=True, lost=7, good=93, cpu_us_per_page=None),
]  # fmt: skip


class WellFormed(HTMLParser):
    """Complains where an element is closed that is not open, or has attributes of its own making."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of SVG without content."""

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read_page(results: list[dict[str, Any]]) -> tuple[WellFormed, str]:
    """The page of results, parsed, and all of its text."""
    reader = WellFormed()
    reader.feed(page_of(results))
    reader.close()
    assert [] == reader.open
    return reader, " ".join(reader.texts)


def test_medians_and_ratios() -> None:
    """A figure is the median of the runs; a ratio is taken within each run, and then its median."""
    curl, mode = [one for one in summarize(RESULTS[1:]) if one.section == "workloads"]
    assert (80.0, (50.0, 300.0)) == (curl.median("cpu_us_per_page"), curl.spread("cpu_us_per_page"))
    assert (1.0, "processes+asyncio", 1.0) == (curl.cpu_ratio, curl.compared_with, mode.cpu_ratio)
    assert None is curl.median("p50_ms")


def test_outlook() -> None:
    """The documents' settings come with their estimate, the others with their fastest, and what that is taken from."""
    serial, best = outlooks(summarize(RESULTS[1:]))
    assert ("serial", "46.3 days", "46.3 days") == (serial.name, serial.estimate, duration(serial.seconds))
    assert ("asyncio", 2000, None, "41.7 minutes") == (best.name, best.conc, best.estimate, duration(best.seconds))
    assert "extrapolated from 8,000 pages in 10.0 s, start included" == best.basis


def test_outlook_once() -> None:
    """The documents' settings stand once, from where they brought most pages."""
    again = line("patience", "serial", workload="patient", good=4, wall_s=9.0, urls=4)
    serial, _ = outlooks(summarize([*RESULTS[1:], again]))
    assert ("serial", 10) == (serial.name, serial.pages)


def test_outlook_in_full() -> None:
    """What was run in full is what counts, also where a short run was faster."""
    ran = line("two million", "asyncio", workload="patient", good=2_000_000, wall_s=4000.0, urls=2_000_000, conc=2000)
    _, best = outlooks(summarize([*RESULTS[1:], ran]))
    assert ("run in full", 4000.0) == (best.basis, best.seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4_000_000, "46.3 days"), (7200, "2 hours"), (90, "1.5 minutes"), (2.5, "2.5 s")]
)
def test_duration(seconds: float, text: str) -> None:
    """A duration is told in the unit that suits it."""
    assert text == duration(seconds)


def test_page_is_whole() -> None:
    """The page is well-formed, asks for nothing from anywhere, and shows what was measured and what was not."""
    reader, text = read_page(RESULTS)
    assert [] == reader.addresses
    for words in ("46.3 days", "extrapolated from", "curl -Z", "lynx", "not over after 2.0 s", "peak memory"):
        assert words in text


def test_page_escapes() -> None:
    """Names that come from outside are text, never markup."""
    assert "<script" not in page_of(RESULTS)
    assert NASTY in read_page(RESULTS)[1]


def test_page_of_nothing() -> None:
    """Without results the page says so."""
    assert "Nothing was measured." in read_page([])[1]


def test_lines_are_svg() -> None:
    """A plot is well-formed XML, has a point for each figure, and says what is pointed at."""
    svg, _, _ = lines([Series(NASTY, "curl one", [(1, 10, NASTY), (100, 20, "b")])], "x", "y").partition("<ul")
    root = ET.fromstring(f"<figure>{svg}</figure>")
    assert [NASTY, "b"] == [title.text for title in root.iter("title")]


@pytest.mark.parametrize("points", [[], [(0, 0, "")], [(1, 0, "")]])
def test_lines_of_nothing(points: list[tuple[float, float, str]]) -> None:
    """Where nothing can be drawn on logarithmic axes, nothing is."""
    assert "" == lines([Series("a", "curl one", points)], "x", "y")


def test_lines_of_one_point() -> None:
    """One point is enough for a plot."""
    assert 1 == lines([Series("a", "curl one", [(5, 5, "t")])], "x", "y").count("<circle")


def test_bars() -> None:
    """The longest bar is as long as its track, the others in proportion; none is no list."""
    drawn = bars([Bar("a", 50, "50", "curl", "t"), Bar("b", 100, "100", "curl", "t")])
    assert ("width:50.0%" in drawn, "width:100.0%" in drawn) == (True, True)
    assert "" == bars([])


def test_short() -> None:
    """Ticks are short."""
    assert ["1", "0.5", "20k", "1.5M"] == [short(number) for number in (1, 0.5, 20_000, 1_500_000)]


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal shows every case, its losses, and the outlook."""
    show([line for line in RESULTS if line["benchmark"] == "workload"])
    printed = capsys.readouterr().out
    for words in ("processes+asyncio", "46.3 days", "41.7 minutes", "7"):
        assert words in printed


def test_markdown(tmp_path: Path) -> None:
    """The tables take the place of those between a document's marks, and leave the rest of it as it is."""
    document = tmp_path / "a.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(document, RESULTS)
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n2 cores")
    assert text.endswith(f"\n\n{END}\nafter\n")
    assert (
        "| asyncio | 1 x 2,000 |  | 41.7 minutes | 0 | extrapolated from 8,000 pages in 10.0 s, start included |"
        in text
    )
    assert "| curl -Z | 1 x 1 | 50 | 80 | 50 | 1.00 | 0 |" in text
    assert "old" not in text


def test_markdown_without_marks(tmp_path: Path) -> None:
    """A document without the marks is left alone."""
    document = tmp_path / "a.md"
    document.write_text("text")
    with pytest.raises(ValueError, match="has no"):
        write_into(document, RESULTS)
    assert "text" == document.read_text()
