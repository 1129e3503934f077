"""A crawl's numbers, what limited it, and the page that shows them."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import crawl
from hypothesis import given
from hypothesis import strategies as st
from recorded import small_crawl

from benchmarks.invented import HOSTILE, write
from crawler.bottleneck import Kind
from crawler.config import CrawlConfig
from crawler.history import SPANS, History, Span, Tuning
from crawler.logbook import Logbook
from crawler.records import OUTCOMES, Status
from crawler.report import advice, charts
from crawler.report.markup import Markup, element
from crawler.report.page import report_page
from crawler.results import open_crawl
from crawler.stats import Stats
from crawler.stats.bodies import SameBody
from crawler.stats.cube import Cube
from crawler.stats.hosts import HostNumbers, Hosts
from crawler.stats.timeline import Slot, slot_ms, timeline_of
from crawler.units import clock, counted, milliseconds, share, size

NOW = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl of 3,000 rows, in which every text may mean harm."""
    history = History([span(n, "cpu" if n < 20 else "politeness") for n in range(60)], Tuning(2, 64, 4, 0.5, "auto", 2))
    out = write(tmp_path_factory.mktemp("invented") / "x.crawl", 3_000, history=history.encode())
    with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection, connection:
        for number, text in enumerate(HOSTILE):
            where = (text, text, text, f"sha1:{number}", number)
            connection.execute(
                "UPDATE pages SET host = ?, content_type = ?, url = ?, body_digest = ? WHERE seq % 20 = ?", where
            )
    return out


@pytest.fixture(scope="module")
def stats(folder: Path) -> Stats:
    """Its numbers."""
    with open_crawl(folder) as results:
        return results.stats()


def span(second: int, kind: Kind = "cpu", seconds: float = 1.0) -> Span:
    """A span that begins at that second."""
    return Span(second, second + seconds, seconds, {kind: seconds}, worker_cpu=0.5, memory_bytes=second)


class TestNumbers:
    def test_they_agree_with_the_rows(self, folder: Path, stats: Stats) -> None:
        """Each sum of the report is the one that SQL gives."""
        with open_crawl(folder) as results:
            (expected,) = results.query(
                """SELECT count(*), sum(outcome = 'fetched' AND status BETWEEN 200 AND 299), sum(bytes_wire),
                sum(bytes_body), count(DISTINCT host), sum(outcome = 'duplicate'), count(fetched_at),
                count(body_digest) - count(DISTINCT body_digest), count(ttfb_ms) FROM pages"""
            )
        line = stats.timeline
        assert line is not None

        assert expected == (
            stats.entries, stats.ok, stats.bytes_wire, stats.bytes_body, stats.host_count,
            stats.outcomes["duplicate"], sum(slot.pages for slot in line.slots), stats.repeats.pages,
            stats.phases["first_byte"].count,
        )  # fmt: skip
        assert stats.ok == sum(slot.ok for slot in line.slots)
        assert stats.bytes_wire == sum(slot.bytes_wire for slot in line.slots)
        assert sum(stats.statuses.values()) == sum(stats.content_types.values())

    def test_phases_are_parts_of_the_whole(self, stats: Stats) -> None:
        """Percentiles rise, and what waits for the first byte does not count the connection again."""
        for phase in stats.phases.values():
            assert phase.median <= phase.p90 <= phase.p99 <= phase.longest
        assert ["dns", "connect", "tls", "first_byte", "body", "total"] == list(stats.phases)

    def test_same_bodies(self, tmp_path: Path) -> None:
        """Bodies that several pages have are counted once too often each, and shown by their first page."""
        out = small_crawl(tmp_path / "out")
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection, connection:
            connection.execute("UPDATE pages SET body_digest = 'sha1:A', bytes_body = 300 WHERE seq <= 3")
        with open_crawl(out) as results:
            repeats = results.stats().repeats

        assert (2, 600, [SameBody(3, 300, "HTTP://Site.test")]) == (repeats.pages, repeats.bytes_body, repeats.bodies)

    def test_a_retry_of_old_rows_still_fits(self, tmp_path: Path) -> None:
        """Times that are years apart make wider slots, not more of them."""
        out = small_crawl(tmp_path / "out")
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection, connection:
            connection.execute("UPDATE pages SET fetched_at = '1999-01-02T03:04:05.678Z' WHERE seq = 1")
        with open_crawl(out) as results:
            line = results.stats().timeline

        assert line is not None
        assert (2, True) == (sum(slot.pages for slot in line.slots), len(line.slots) <= 120)

    @given(st.dictionaries(st.integers(-(10**12), 10**12), st.integers(1, 9), max_size=50), st.integers(100, 10**9))
    def test_no_timeline_is_long(self, pages: dict[int, int], width_ms: int) -> None:
        """However far apart rows are, there are at most 120 slots, and nothing is lost."""
        line = timeline_of({number: Slot(count) for number, count in pages.items()}, width_ms)

        assert sum(pages.values()) == (sum(slot.pages for slot in line.slots) if line else 0)
        assert line is None or len(line.slots) <= 120

    @given(st.integers(0, 10**14), st.integers(0, 10**14))
    def test_about_sixty_slots(self, first: int, length: int) -> None:
        """The width of a slot is one that people use, and sixty of them span the time."""
        width = slot_ms(first, first + length)

        assert width * 60 > length
        assert 86_400_000 % width == 0 or width % 86_400_000 == 0

    def test_servers_invent_types(self) -> None:
        """However many media types there are, few are kept, and the sum stays."""
        cube = Cube(1000)
        for number in range(10_000):
            cube.add(("fetched", None, 200, f"x/{number}; a=b", 1, None), 1 + (number == 7), (0, 0, 0, 0), (None, None))
        types = cube.foremost_types()

        assert (10_001, 13) == (sum(types.values()), len(types))
        assert ("x/7", 2) == next(iter(types.items()))

    def test_the_foremost_hosts(self) -> None:
        """Ten of any number are kept; a mean over fewer than three exchanges yields to others."""
        hosts = Hosts()
        for number in range(100):
            hosts.add(HostNumbers(f"h{number:02}", number, 0, 0, 100 - number, float(number)), timed=number % 5)

        assert [f"h{number}" for number in range(99, 89, -1)] == [host.host for host in hosts.largest()]
        assert [f"h{number:02}" for number in range(10)] == [host.host for host in hosts.heaviest()]
        assert ["h99", "h98", "h94", "h93"] == [host.host for host in hosts.slowest()[:4]]


class TestHistory:
    @given(st.lists(st.tuples(st.sampled_from(["cpu", "dns", "end"]), st.floats(0.5, 30)), max_size=600))
    def test_it_is_bounded_and_loses_no_second(self, seconds: list[tuple[Kind, float]]) -> None:
        """However long a crawl is, its history has few spans, in order, and each limit's seconds add up."""
        history, at = History(), 0.0
        for kind, length in seconds:
            history.add(Span(at, at + length, length, {kind: length}))
            at += length

        assert len(history.spans) <= SPANS
        assert [one.began for one in history.spans] == sorted(one.began for one in history.spans)
        assert history.seconds == pytest.approx(at, abs=1)
        for kind in {kind for kind, _ in seconds}:
            assert history.limits()[kind] == pytest.approx(sum(s for k, s in seconds if k == kind), abs=1)

    def test_spans_are_about_as_long(self) -> None:
        """Old and new ones alike: none is longer than a few of the others."""
        history = History()
        for second in range(10_000):
            history.add(span(second))
        lengths = sorted(one.seconds for one in history.spans)

        assert lengths[-1] <= 4 * lengths[len(lengths) // 2]
        assert 9_999 == max(one.memory_bytes for one in history.spans)

    @pytest.mark.parametrize("text", [None, "", "nonsense", "[]", '{"spans": 7}'])
    def test_what_nobody_understands(self, text: str | None) -> None:
        """A history of another version is none."""
        assert [] == History.decode(text).spans

    def test_it_survives_its_text(self) -> None:
        """What was encoded is what is decoded."""
        history = History([span(1)], Tuning(1, 2, 3, 0.5, "auto", 4))

        assert history == History.decode(history.encode())

    def test_a_logbook_writes_a_span_a_second(self) -> None:
        """Of ten looks in a second one is written down; it is kept every five seconds, and at the end."""
        clock = SimpleNamespace(now=100.0)
        log = Logbook(None, CrawlConfig(procs=3, conc=7), clock=lambda: clock.now, wall=lambda: clock.now)
        state = a_pipeline()
        kept = []
        for _ in range(60):
            clock.now += 0.25
            log.follow(state)
            kept.append(log.kept())
        history = History.decode(log.end(state))

        assert 3 == sum(text is not None for text in kept)
        assert (16, 15.0) == (len(history.spans), history.seconds)
        assert history.tuning is not None
        assert (3, 7) == (history.tuning.procs, history.tuning.conc)

    def test_runs_go_on_with_it(self) -> None:
        """A run that is resumed adds to what is there."""
        first = Logbook(None, CrawlConfig(), clock=lambda: 1.0).end(a_pipeline())
        second = Logbook(first, CrawlConfig(), clock=lambda: 1.0).end(a_pipeline())

        assert 2 == len(History.decode(second).spans)


def a_pipeline() -> Any:
    """What a load looks at."""
    status = Status(3, 8, 20, 1, 10.0, 1_000_000)
    return SimpleNamespace(
        executor=SimpleNamespace(statuses=lambda: {0: status}, started=1),
        crew=SimpleNamespace(router=SimpleNamespace(waiting=0, full=False), in_hand=50, deaths=0, last_death=""),
        feed=SimpleNamespace(finished=True, empty=True),
        config=CrawlConfig(),
        consumed_s=0.0,
        stops_at=None,
        open=50,
    )


class TestAdvice:
    def test_the_longest_limit_comes_first(self, stats: Stats) -> None:
        """The verdict names what held longest; advice is about that first, with the settings of the last run."""
        first, second = advice.advice(stats)

        assert "Mostly politeness (limits of each host): 66.7 % of the time." == advice.verdict(stats)
        assert "--per-host 4 and --delay 0.5" in first
        assert second.startswith("The workers used their cores up")

    def test_every_limit_has_a_name(self) -> None:
        """What a run can be limited by, a report can name."""
        assert set(advice.NAMES) == set(Kind.__args__)  # type: ignore[attr-defined]
        assert set(advice.COLOURS) <= set(advice.NAMES)

    @pytest.mark.parametrize("kind", sorted(set(advice.NAMES) - {"starting", "stopping", "nothing"}))
    def test_every_limit_has_advice(self, stats: Stats, kind: Kind) -> None:
        """Whatever limited a crawl, there is one sentence on what to change, with or without settings."""
        for tuning in (stats.history.tuning, None):
            limited = replace(stats, History([span(n, kind) for n in range(9)], tuning))
            (sentence,) = advice.advice(limited)
            assert sentence[0].isupper()
            assert sentence.endswith(".")

    def test_a_short_crawl_was_limited_by_nothing(self, stats: Stats) -> None:
        """A few seconds tell nothing, and so does no history."""
        assert [] == advice.advice(replace(stats, History([span(0), span(1)])))
        assert "too short" in advice.verdict(replace(stats, History([span(0), span(1)])))
        assert "not written down" in advice.verdict(replace(stats, History()))


def replace(stats: Stats, history: History) -> Stats:
    """The same crawl with another history."""
    return Stats(**{name: getattr(stats, name) for name in Stats.__struct_fields__} | {"history": history})


class Outline(HTMLParser):
    """The tags of a page, their attributes, its text; fails where tags are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert [] == self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


HTML_TAGS = {"html", "head", "meta", "title", "style", "body", "header", "main", "section", "div", "p", "h1", "h2",
             "dl", "dt", "dd", "small", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td", "figure",
             "figcaption", "span", "details", "summary"}  # fmt: skip
SVG_TAGS = {"svg", "g", "rect", "title"}


class TestPage:
    def test_nothing_of_others_is_markup(self, stats: Stats) -> None:
        """Whatever servers and lists sent: only our elements, no script, no handler, no link, no control character."""
        page = report_page("<b>x</b>\x1b\u202e", stats, NOW)
        outline = Outline(page)

        assert outline.tags <= HTML_TAGS | SVG_TAGS
        assert not {name for name in outline.attributes if name.startswith(("on", "href", "src", "style"))}
        assert None is re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
        assert 2 <= outline.text.count(HOSTILE[0])
        assert "\\u202etxt.exe\\u2066" in outline.text

    def test_it_needs_nothing_from_elsewhere(self, stats: Stats) -> None:
        """One file: no address of anything, and a policy that forbids to load it."""
        page = report_page("x", stats, NOW)

        assert None is re.search(r"url\(|@import|<link|<script|<img", page)
        assert "default-src &#x27;none&#x27;" in page

    def test_it_says_what_a_report_has_to_say(self, stats: Stats) -> None:
        """All that people look for has a heading, and its plots have titles and tables."""
        page = report_page("x", stats, NOW)

        for heading in ("What limited the crawl", "Pages and bytes over time", "Outcomes", "Errors", "Status codes",
                        "Content types", "Time by phase", "Slowest hosts", "Largest hosts, by entries",
                        "Largest hosts, by bytes", "Duplicates"):  # fmt: skip
            assert f"<h2>{heading}</h2>" in page
        assert all(
            'role="img" aria-label="' in svg or 'aria-hidden="true"' in svg for svg in re.findall("<svg[^>]*>", page)
        )
        assert 'lang="en"' in page
        assert "prefers-color-scheme: dark" in page

    def test_an_empty_crawl_has_a_page(self, tmp_path: Path) -> None:
        """Where nothing is, nothing is divided by it."""
        out = write(tmp_path / "out", 0)
        with open_crawl(out) as results:
            Outline(report_page("out", results.stats(), NOW))

    @given(st.text(), st.text())
    def test_an_element_holds_its_text(self, text: str, value: str) -> None:
        """No text ends its element, no value its attribute."""
        outline = Outline(element("p", text, class_=value))

        assert ({"p"}, {"class"}) == (outline.tags, outline.attributes)

    @given(st.lists(st.floats(0, 1e12), max_size=70))
    def test_columns_stay_in_their_drawing(self, values: list[float]) -> None:
        """No column is higher than the plot, whatever its values."""
        drawn = charts.columns("x", [(((value, "ok"),), "x") for value in values])

        assert all(0 <= float(height) <= 100 for height in re.findall(r'height="([^"]+)"', drawn))
        assert isinstance(drawn, Markup)


class TestUnits:
    @pytest.mark.parametrize(
        ("shown", "expected"),
        [
            (counted(1, "host"), "1 host"), (counted(2_000, "entry"), "2,000 entries"),
            (size(0), "0 B"), (size(999), "999 B"), (size(1000), "1.0 KB"), (size(5e15), "5,000.0 TB"),
            (milliseconds(0.04), "0.0 ms"), (milliseconds(9.96), "10 ms"), (milliseconds(12_345), "12.3 s"),
            (clock(None), "-"), (clock(90), "0:01:30"), (clock(1e300)[:16], "500000000 days, "),
            (share(1, 0), "-"), (share(0, 5), "0.0 %"), (share(1, 10**6), "< 0.1 %"),
            (share(9999, 10000), "99.9 %"), (share(5, 5), "100.0 %"),
        ],
    )  # fmt: skip
    def test_numbers_for_people(self, shown: str, expected: str) -> None:
        """A share is never rounded to nothing or to all; a size and a time have digits that mean something."""
        assert expected == shown


class TestCommand:
    def test_html(self, folder: Path, tmp_path: Path) -> None:
        """`--html FILE` writes the page and says so; `-` is standard output."""
        done = crawl("report", folder, "--html", "page.html", cwd=tmp_path)
        piped = crawl("report", folder, "--html", "-", cwd=tmp_path)

        assert (0, f"The report on {folder} is in page.html.\n", "") == (done.returncode, done.stdout, done.stderr)
        assert "<title>x.crawl: crawl report</title>" in (tmp_path / "page.html").read_text(encoding="utf-8")
        assert piped.stdout.startswith("<!DOCTYPE html>")

    def test_a_page_that_cannot_be_written(self, folder: Path, tmp_path: Path) -> None:
        """One sentence, exit status 2."""
        done = crawl("report", folder, "--html", "no/page.html", cwd=tmp_path)
        complaint = f"crawl: no/page.html cannot be written, {os.strerror(2)}; name another file.\n"

        assert (2, complaint) == (done.returncode, done.stderr)

    def test_text_and_json_tell_the_limits(self, folder: Path, tmp_path: Path) -> None:
        """What limited the crawl stands in every form."""
        text = crawl("report", folder, cwd=tmp_path).stdout
        numbers = json.loads(crawl("report", folder, "--json", cwd=tmp_path).stdout)

        assert "Limited by: Mostly politeness (limits of each host): 66.7 % of the time.\n" in text
        assert 60 == sum(seconds for one in numbers["history"]["spans"] for seconds in one[3].values())
        assert set(OUTCOMES) == set(numbers["outcomes"])
        assert None is re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
