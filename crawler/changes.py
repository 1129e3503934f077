"""What a page is beside what the previous crawl recorded of it: new, changed, the same, gone."""

from __future__ import annotations

import re

from crawler.headers import first
from crawler.records import Changed, FlowState, Headers

_CONDITIONS = frozenset({"if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range"})
_SENDABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_CUT_LENGTH = 1000  # a field of that length in a row may be cut
_GONE = frozenset({404, 410})


def conditions(state: FlowState, names: frozenset[str] | set[str]) -> Headers:
    """The fields that ask whether the page has changed since the previous crawl (RFC 9110 §13.1).

    Only of the URL that the validators belong to, which may be another than the entry's; and none where the caller's
    own fields, whose `names` are in lower case, ask for something of that kind already.
    """
    earlier = state.earlier
    if earlier is None or state.target != earlier.url or state.method != "GET" or names & _CONDITIONS:
        return ()
    given = (("If-None-Match", earlier.etag), ("If-Modified-Since", earlier.last_modified))
    return tuple((name, value) for name, value in given if value is not None and _is_sendable(value))


def is_unmodified(state: FlowState, status: int | None, sent: Headers) -> bool:
    """Whether an answer with this status says that the page is the one of the previous crawl: we asked for that."""
    asked = conditions(state, set()) if status == 304 else ()
    return any(first(sent, name.lower()) == value for name, value in asked)


def judge(state: FlowState, status: int | None, body_digest: str | None, *, unmodified: bool) -> Changed | None:
    """How an answer compares with the previous crawl; None where that cannot be said, or nothing came to say it.

    By the decoded body. `status` is None where no answer came.
    """
    method = state.hops[0].method if state.hops else state.method
    if method != "GET" or status is None:
        return None
    if unmodified:
        return "same"
    earlier = state.earlier
    if 200 <= status < 300:
        return "new" if earlier is None else "same" if earlier.body_digest == body_digest else "changed"
    return "gone" if earlier is not None and status in _GONE else None


def _is_sendable(value: str) -> bool:
    return len(value) < _CUT_LENGTH and _SENDABLE.fullmatch(value) is not None
