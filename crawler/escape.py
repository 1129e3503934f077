"""Text that others wrote, made safe to show: what a server or a list sent never steers a terminal."""

from __future__ import annotations

import re

# C0, DEL and C1 controls (ECMA-48), line and paragraph separators, invisible spaces, the bidirectional
# controls (Unicode UAX #9 §2: "Trojan Source"), and lone surrogates, which no output encoding can carry.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_FORMULA_STARTS = ("=", "+", "-", "@")


def printable(text: str, limit: int | None = None) -> str:
    """`text` on one line, each unsafe character as `\\xNN` or `\\uNNNN`, at most `limit` characters long.

    What is cut ends in `…`. Safe text comes back as it is.
    """
    if limit is not None:
        text = text[: limit + 1]  # escapes only lengthen: no more of it can be seen
    shown = _UNSAFE.sub(_escape, text)
    if limit is not None and len(shown) > limit:
        shown = shown[: max(0, limit - 1)] + "…"
    return shown


def printable_lines(text: str) -> str:
    """`text` with its line ends and tabs kept, and everything else made printable."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(printable(cell) for cell in line.split("\t")) for line in lines)


def formula_safe(text: str) -> str:
    """`text` for a cell of a CSV file: an apostrophe before what a spreadsheet would run as a formula.

    The rule is OWASP's (CSV Injection); spreadsheets skip white space before a formula, so it counts too.
    """
    return "'" + text if text.lstrip().startswith(_FORMULA_STARTS) else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
