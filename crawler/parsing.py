"""One page's parse in the worker: what the user's function says of it, as JSON, or why that is nothing."""

from __future__ import annotations

import json

from crawler.escape import printable
from crawler.function import Function
from crawler.page import Page
from crawler.records import Parsed

RESULT_BYTES = 1_000_000
"""What a page's result may be long, as JSON in UTF-8."""

_ERROR_LENGTH = 300


def parse(function: Function, page: Page) -> Parsed:
    """Call the function with the page; never raises. None is no result."""
    seq = page.row.seq
    try:
        result = function(page)
        text = None if result is None else _json(result)
    except BaseException as error:  # one page's, whatever it is: SystemExit and MemoryError too
        return Parsed(seq, error=_sentence(error))
    if text is not None and len(text.encode()) > RESULT_BYTES:
        return Parsed(seq, error=f"Its result is {len(text.encode()):,} bytes long; {RESULT_BYTES:,} are the most.")
    return Parsed(seq, text)


def _json(result: object) -> str:
    """The result as JSON (RFC 8259); raises TypeError and ValueError for what has no such form."""
    text = json.dumps(result, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON has in escapes alone
        text = json.dumps(result, allow_nan=False)
    return text


def _sentence(error: BaseException) -> str:
    """The exception in one short line; what it says of itself may raise another one."""
    try:
        said = " ".join(str(error)[: 10 * _ERROR_LENGTH].split())
    except BaseException:
        said = ""
    name = type(error).__name__
    return printable(f"{name}: {said}" if said else name, _ERROR_LENGTH)
