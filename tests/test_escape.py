"""What others wrote, made safe to show."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.escape import formula_safe, printable, printable_lines

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(ANY_TEXT)
def test_nothing_unsafe_comes_through(text: str) -> None:
    """No control, surrogate, bidirectional control or line separator is left, and the rest can be encoded."""
    shown = printable(text)

    assert [] == [char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not bidi & {unicodedata.bidirectional(char) for char in shown}
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\nb\tc", "a\\x0d\\x0ab\\x09c"),
        ("\x7f\x9b31m", "\\x7f\\x9b31m"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("\udcff", "\\udcff"),
        ("\u200e\u2028\ufeff", "\\u200e\\u2028\\ufeff"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    """An unsafe character is shown as its number."""
    assert shown == printable(text)


@pytest.mark.parametrize("text", ["", "https://example.com/ä?q=1#x", "日本語 👩‍💻 العربية", "back\\slash"])
def test_safe_text_stays(text: str) -> None:
    """Text in any script comes back as it is."""
    assert text == printable(text)


@given(ANY_TEXT, st.integers(min_value=1, max_value=20))
def test_limit(text: str, limit: int) -> None:
    """At most `limit` characters come back; what was cut ends in an ellipsis."""
    whole, shown = printable(text), printable(text, limit)

    assert len(shown) <= limit
    assert shown == (whole if len(whole) <= limit else whole[: limit - 1] + "…")


def test_lines_keep_their_shape() -> None:
    """Line ends and tabs of a text stay, everything else is escaped."""
    assert "a\tb\nc\\x1b[2J\n\\x0d" == printable_lines("a\tb\r\nc\x1b[2J\n\r")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1"])
def test_formulas_are_text(text: str) -> None:
    """What a spreadsheet would run gets an apostrophe."""
    assert "'" + text == formula_safe(text)


@pytest.mark.parametrize("text", ["", "a=1", "https://example.com/?a=-1", "1-2"])
def test_other_cells_stay(text: str) -> None:
    """What is no formula stays as it is."""
    assert text == formula_safe(text)
