"""The intake: from what was read to what is fetched."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.config import CrawlConfig
from crawler.intake import Intake
from crawler.records import Entry, Request

KEY = b"k" * 16


def entries(*requests: str | Request) -> list[Entry]:
    items = [Request(item) if isinstance(item, str) else item for item in requests]
    return [Entry(seq, "list", seq, request) for seq, request in enumerate(items, 1)]


def test_entries_are_normalised_and_sorted_out() -> None:
    """What can be fetched becomes a state; what cannot gets its row here."""
    bad = Entry(5, "list", 5, Request("shown"), "The entry is not UTF-8.")
    states, results = Intake(CrawlConfig(), KEY).admit(
        [*entries("EXAMPLE.com/a b", "mailto:x@y", "http://", "http://example.com/a%20b#part"), bad]
    )

    assert [(1, "EXAMPLE.com/a b", "http://example.com/a%20b", "example.com")] == [
        (state.seq, state.url, state.target, state.host) for state in states
    ]
    assert {
        2: ("denied", "scheme"),
        3: ("invalid", "invalid_url"),
        4: ("duplicate", None),
        5: ("invalid", "invalid_url"),
    } == {result.row.seq: (result.row.outcome, result.row.error_class) for result in results}
    assert {4: 1} == {result.row.seq: result.row.duplicate_of for result in results if result.row.duplicate_of}


def test_duplicates_are_kept_where_asked() -> None:
    """With `keep_duplicates` an entry is fetched each time that it stands in the list."""
    states, results = Intake(CrawlConfig(keep_duplicates=True), KEY).admit(entries("a.com", "a.com"))

    assert (2, 0) == (len(states), len(results))


def test_credentials_in_a_url_become_basic_authentication() -> None:
    """They are sent as a header field (RFC 7617) and stand in no target."""
    (state,), _ = Intake(CrawlConfig(), KEY).admit(entries("http://me:p%40ss@a.com/"))

    token = base64.b64encode(b"me:p@ss").decode()
    assert ("http://a.com/", (("Authorization", f"Basic {token}"),)) == (state.target, state.headers)


def test_a_header_that_cannot_be_sent_is_invalid() -> None:
    """Header injection ends in a row, not in a request."""
    _, (result,) = Intake(CrawlConfig(), KEY).admit(entries(Request("http://a/", headers={"X": "a\r\nY: b"})))

    assert ("invalid", "invalid_url") == (result.row.outcome, result.row.error_class)


@pytest.mark.parametrize(
    ("own", "run", "sent"), [("GET", "GET", "GET"), ("GET", "HEAD", "HEAD"), ("POST", "HEAD", "POST")]
)
def test_the_runs_method_is_the_default(own: str, run: str, sent: str) -> None:
    """`--method` is for entries that say none of their own."""
    (state,), _ = Intake(CrawlConfig(method=run), KEY).admit(entries(Request("http://a/", own)))

    assert sent == state.method


@given(st.lists(st.sampled_from(["a.com", "b.com", "mailto:x", "http://", "c.com"]), max_size=40), st.data())
def test_a_resumed_crawl_asks_for_exactly_the_rest(urls: list[str], data: st.DataObject) -> None:
    """Whatever is done already, states and rows of the second run are those of the first without the done ones."""
    done = sorted(data.draw(st.sets(st.integers(1, max(len(urls), 1)))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(urls)), max_size=3)))
    all_entries = entries(*urls)
    states, results = Intake(CrawlConfig(), KEY).admit(all_entries)
    resumed = Intake(CrawlConfig(), KEY, done)
    rest_states, rest_results = [], []
    for start, end in zip([0, *cuts], [*cuts, len(urls)], strict=True):
        more_states, more_results = resumed.admit(all_entries[start:end])
        rest_states += more_states
        rest_results += more_results

    assert [state for state in states if state.seq not in done] == rest_states
    rows = sorted((result.row for result in results if result.row.seq not in done), key=lambda row: row.seq)
    assert rows == sorted((result.row for result in rest_results), key=lambda row: row.seq)


def test_what_the_caller_gave_along_stands_in_every_row() -> None:
    """A duplicate and an invalid entry keep their `extra`, as one that is fetched does."""
    extra = {"id": 7}
    _, results = Intake(CrawlConfig(), KEY).admit(
        entries("a.com", Request("a.com", extra=extra), Request("http://", extra=extra))
    )

    assert {"duplicate": '{"id": 7}', "invalid": '{"id": 7}'} == {r.row.outcome: r.row.extra for r in results}
