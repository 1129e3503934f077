"""Whether an attempt is made again, and after how long. No I/O, no clock, no chance of its own."""

from __future__ import annotations

from crawler.body import Body
from crawler.exchange import IDEMPOTENT, Failure, Reply
from crawler.fates import Attempt, FlowRules
from crawler.records import FlowState

_PASSING_FAILURES = frozenset({"dns", "connect", "timeout", "too_slow", "reset", "incomplete", "proxy", "local"})
_LEAST_S = 0.1  # a timer may fire early by a hair; a try that short would only throw away what the last one brought
_BACKOFF_S, _BACKOFF_MOST_S, _RETRY_AFTER_MOST_S = 0.5, 30.0, 120.0
_SHORTAGES_MOST = 8  # waits of 91.5 s in all: a port in TIME_WAIT is free again after 60 (tcp(7))


def pause_before_retry(state: FlowState, attempt: Attempt, rules: FlowRules) -> float | None:
    """Seconds to wait before the next try, or None where there is none."""
    tries, most = state.attempts - state.shortages, rules.config.retries
    if is_local(attempt):  # nobody else's doing: it has tries of its own
        tries, most = state.shortages, _SHORTAGES_MOST
    if tries >= most or state.spent_s > rules.config.max_time - _LEAST_S:
        return None
    if not (_failure_can_pass(state, attempt) or _status_can_pass(state, attempt, rules)):
        return None
    backoff = min(_BACKOFF_S * 2.0**tries, _BACKOFF_MOST_S) * (0.5 + rules.chance())
    asked = retry_after(attempt.body, rules.utc()) if attempt.status in rules.passing else None
    return max(backoff, asked or 0.0)


def is_local(attempt: Attempt) -> bool:
    """Whether it met a limit of this machine."""
    return isinstance(attempt.event, Failure) and attempt.event.error_class == "local"


def _failure_can_pass(state: FlowState, attempt: Attempt) -> bool:
    event = attempt.event
    if not isinstance(event, Failure) or event.final or event.error_class not in _PASSING_FAILURES:
        return False
    return not event.sent or state.method in IDEMPOTENT


def _status_can_pass(state: FlowState, attempt: Attempt, rules: FlowRules) -> bool:
    if not isinstance(attempt.event, Reply) or attempt.status not in rules.passing:
        return False
    # 429 says that nothing was done; after a 5xx a POST may have been.
    return attempt.status == 429 or state.method in IDEMPOTENT


def retry_after(body: Body | None, now: float) -> float | None:
    """Seconds that `Retry-After` asks for (RFC 9110 §10.2.3), capped; None where it says nothing we understand.

    A date is meant by the server's own clock, which its `Date` tells (§6.6.1); `now` is ours, where it does not.
    """
    text = (body.header("retry-after") or "").strip() if body is not None else ""
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _RETRY_AFTER_MOST_S)
    when = _seconds(text)
    if when is None or body is None:
        return None
    there = _seconds(body.header("date") or "")
    return min(max(when - (now if there is None else there), 0.0), _RETRY_AFTER_MOST_S)


def _seconds(date: str) -> float | None:
    """An HTTP-date (RFC 9110 §5.6.7) in seconds since the epoch; None where it is none."""
    import email.utils  # few answers have one, and it takes 5 ms

    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
