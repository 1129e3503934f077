"""A page that was parsed when its worker died is not lost, and only a parse that kills twice is blamed."""

from __future__ import annotations

from crawler.records import Result, Row
from crawler.survivors import Survivors


def result(seq: int = 1, status: int | None = 200) -> Result:
    outcome = "failed" if status is None else "fetched"
    return Result(Row(seq, "list", seq, "http://a/", "http://a/", "a", outcome, status), b"page")  # type: ignore[arg-type]


def test_one_death_may_be_somebody_elses_doing() -> None:
    """The page is fetched and parsed once more; the second death in its parse is its parse_error."""
    survivors = Survivors()
    assert survivors.died(result(), "was ended by SIGKILL", ended=False) is None
    page = survivors.died(result(), "was ended by SIGKILL", ended=False)

    assert page is not None
    assert ("Its worker was ended by SIGKILL, with this page in its parser.", b"page") == (
        page.row.parse_error,
        page.payload,
    )


def test_a_parse_that_was_ended_is_blamed_at_once() -> None:
    """It never came back: nothing is left to find out."""
    page = Survivors().died(result(), "was ended after 30 s of one parse", ended=True)

    assert page is not None
    assert "fetched" == page.row.outcome
    assert page.row.parse_error is not None


def test_a_death_without_a_page_is_no_business_of_theirs() -> None:
    """Then quarantine judges as ever."""
    assert Survivors().died(None, "was ended by SIGKILL", ended=True) is None


def test_a_page_that_cannot_be_fetched_again_is_the_one_that_was_here() -> None:
    """It costs its parse, not the page; one that came again stands as it came, and others as they are."""
    survivors = Survivors()
    for seq in (1, 2):
        survivors.died(result(seq), "died", ended=False)
    again, failed, other = result(2), result(1, None), result(3, None)
    settled = survivors.settled([again, failed, other])

    assert [again, other] == [settled[0], settled[2]]
    assert (b"page", "fetched") == (settled[1].payload, settled[1].row.outcome)
    assert settled[1].row.parse_error is not None
    assert [failed] == survivors.settled([failed]), "and it is remembered no longer"
