"""What happens to one URL, written once for all engines, as a generator without I/O.

`fetch` yields actions (`NeedRobots`, `Resolve`, `Exchange`, `Wait`), is sent what came of them, and returns either the
entry's `Fate` or, where a redirect leads to a host that another worker is the home of, the `FlowState` to go on from
there.
It reads no clock and draws no random number: `FlowRules` brings both.
"""

from __future__ import annotations

import dataclasses
import email.utils
from collections.abc import Callable, Generator

import msgspec

from crawler import urls
from crawler.addresses import AddressRule
from crawler.body import Body
from crawler.budget import Budget
from crawler.changes import conditions
from crawler.config import CrawlConfig
from crawler.cookies import collect, cookie_header, joined
from crawler.exchange import (
    IDEMPOTENT,
    NO_TIMINGS,
    Action,
    Addresses,
    Event,
    Exchange,
    Failure,
    NeedRobots,
    Reply,
    Resolve,
    Timings,
    Wait,
)
from crawler.proxy import Proxy, parse_proxy
from crawler.records import Detour, ErrorClass, FlowState, Headers, Hop, Outcome
from crawler.robots import Rules

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ACCEPT_ENCODING = "gzip, deflate, br, zstd"
HOP_BODY_BYTES = 64 * 1024
"""What is kept of a redirect's own body: hops travel between workers, and real ones are a sentence long."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING_FAILURES = frozenset({"dns", "connect", "timeout", "too_slow", "reset", "incomplete", "proxy", "local"})
PASSING_STATUSES = frozenset({429, 502, 503, 504})
"""Answers that may be others in a moment."""
_POLICY_CLASSES = frozenset({"blocked_address", "robots", "scheme", "type"})
_LEAST_S = 0.1  # a timer may fire early by a hair; a try that short would only throw away what the last one brought
_BACKOFF_S, _BACKOFF_MOST_S, _RETRY_AFTER_MOST_S = 0.5, 30.0, 120.0
_SHORTAGES_MOST = 8  # waits of 91.5 s in all: a port in TIME_WAIT is free again after 60 (tcp(7))


@dataclasses.dataclass(frozen=True, slots=True)
class FlowRules:
    """What a flow must know: the settings, which hosts this worker is home of, the clock, and chance.

    `utc` gives seconds since the epoch; `chance` a number in [0, 1). `passing` are the statuses that are tried again.
    """

    config: CrawlConfig
    addresses: AddressRule
    at_home: Callable[[str], bool]
    utc: Callable[[], float]
    chance: Callable[[], float]
    keep_decoded: bool = False
    budget: Budget = dataclasses.field(default_factory=Budget)
    passing: frozenset[int] = PASSING_STATUSES


class Fate(msgspec.Struct, frozen=True):
    """How one entry ended. `body` holds the answer, or the part of it that came; None where none did."""

    state: FlowState
    outcome: Outcome
    error_class: ErrorClass | None = None
    error: str | None = None
    attempts: int = 0
    started: float = 0.0
    request_headers: Headers = ()
    body: Body | None = None
    ip: str | None = None
    dns_ms: float | None = None
    timings: Timings = NO_TIMINGS


class _Try(msgspec.Struct, frozen=True):
    """One exchange and what came of it."""

    started: float
    event: Reply | Failure
    request_headers: Headers = ()
    body: Body | None = None
    dns_ms: float | None = None

    @property
    def status(self) -> int | None:
        return self.body.status if self.body is not None else None

    @property
    def spent_s(self) -> float:
        return (self.event.timings.total_ms or 0.0) / 1000


def fetch(state: FlowState, rules: FlowRules, allowed: str | None = None) -> Generator[Action, Event, Fate | FlowState]:
    """Fetch one entry from where `state` stands to its fate: tries, retries, redirects.

    `allowed` is the URL for which robots.txt need not be asked any more.
    """
    while rules.at_home(state.host):
        if rules.config.robots and state.target != allowed:
            origin = urls.origin(state.target)
            trusted = all(urls.origin(hop.url) == origin for hop in state.hops)
            answer = yield NeedRobots(origin, state.host, trusted)
            if isinstance(answer, Detour):
                return sent_on(state, answer)
            refusal = refused(state, answer, rules)
            if refusal is not None:
                return refusal
            allowed = state.target
        outcome = yield from _try(state, rules)
        state = msgspec.structs.replace(state, spent_s=state.spent_s + outcome.spent_s)
        pause = _retry_pause(state, outcome, rules)
        if pause is not None:
            shortages = state.shortages + _is_local(outcome)
            state = msgspec.structs.replace(state, attempts=state.attempts + 1, shortages=shortages)
            del outcome  # what came of its body would take up memory while we wait
            yield Wait(pause)
            continue
        onward = _follow(state, outcome, rules)
        if onward is None:
            return _fate(state, outcome)
        if isinstance(onward, Fate):
            return onward
        state = onward
    return state


def sent_on(state: FlowState, detour: Detour) -> FlowState:
    """The entry on its way to the worker where its robots.txt is to be asked for, or home again with what that said."""
    host = detour.trail.host if detour.reply is None else urls.parse(state.target).host
    return msgspec.structs.replace(state, detour=detour, host=host)


def refused(state: FlowState, answer: Event, rules: FlowRules) -> Fate | None:
    """The fate of an entry that its origin's robots.txt, or the lack of it, ends; None where it may go on."""
    if isinstance(answer, Rules):
        reason = answer.refusal(state.target)
        if reason is None:
            return None
        answer = Failure("robots", reason, sent=False)
    assert isinstance(answer, Failure)
    return _fate(state, _Try(rules.utc(), answer, dns_ms=answer.dns_ms))


def given_up(state: FlowState, failure: Failure, rules: FlowRules) -> Fate:
    """The fate of an entry whose host is down: nothing was sent for it, beyond what was tried before."""
    return _fate(state, _Try(rules.utc(), failure))


def _try(state: FlowState, rules: FlowRules) -> Generator[Action, Event, _Try]:
    """Resolve, check the addresses, exchange once."""
    config, started = rules.config, rules.utc()
    proxy = parse_proxy(config.proxy) if config.proxy is not None else None
    found = yield Resolve(state.host)
    if isinstance(found, Failure):
        return _Try(started, found, dns_ms=found.dns_ms)
    assert isinstance(found, Addresses)
    goal = _allowed(state.host, found.addresses, rules.addresses, strictly=proxy is not None)
    if proxy is not None and not isinstance(goal, Failure):
        goal = yield from _addresses_of(proxy)
    if isinstance(goal, Failure):
        return _Try(started, goal, dns_ms=found.dns_ms)
    left = config.max_time - state.spent_s
    if left <= 0:
        return _Try(started, Failure("timeout", f"{config.max_time:g} s were used up"), dns_ms=found.dns_ms)
    body = Body(
        method=state.method,
        max_bytes=config.max_body,
        min_speed=config.min_speed,
        accept_type=config.accept_type,
        keep_decoded=rules.keep_decoded,
        budget=rules.budget,
    )
    headers, started = _request_headers(state, config), rules.utc()
    event = yield Exchange(
        method=state.method,
        url=state.target,
        host=state.host,
        headers=headers,
        content=state.body,
        addresses=goal,
        time_s=left,
        connect_s=min(left, config.connect_timeout),
        body=body,
        proxy=proxy,
    )
    assert isinstance(event, Reply | Failure)
    return _Try(started, _judged(event, body), headers, body, found.dns_ms)


def _judged(event: Reply | Failure, body: Body) -> Reply | Failure:
    """The engine's word, corrected by the body's own verdict.

    A type that is not wanted or a coding that is broken makes a failure of a reply, unless it is a redirect: that
    is good for its target. A connection that died when the body had all that is kept of it makes no failure.
    """
    if isinstance(event, Failure):
        return Reply(event.ip, event.timings) if body.truncated == "length" and body.problem is None else event
    if body.problem is None or (body.status in _REDIRECTS and body.header("location") is not None):
        return event
    return Failure(body.problem, body.problem_text, ip=event.ip, timings=event.timings)


def _allowed(host: str, addresses: tuple[str, ...], rule: AddressRule, *, strictly: bool) -> tuple[str, ...] | Failure:
    """The addresses of a host that may be connected; `strictly`, all of them or none."""
    if not addresses:
        return Failure("dns", f"{host} has no address", sent=False)
    refused = [address for address in addresses if rule.refuses(address) is not None]
    if len(refused) == len(addresses) or (strictly and refused):  # a proxy may connect to any of them
        return Failure("blocked_address", f"{refused[0]}: {rule.refuses(refused[0])}", sent=False)
    return tuple(address for address in addresses if address not in refused)


def _addresses_of(proxy: Proxy) -> Generator[Action, Event, tuple[str, ...] | Failure]:
    """Where the proxy is; private addresses are good, as its user chose it."""
    found = yield Resolve(proxy.host)
    if isinstance(found, Addresses) and found.addresses:
        return found.addresses
    if isinstance(found, Failure) and found.error_class == "local":
        return found
    reason = found.message if isinstance(found, Failure) else f"{proxy.host} has no address"
    return Failure("proxy", f"the proxy: {reason}", sent=False, final=isinstance(found, Failure) and found.final)


def _request_headers(state: FlowState, config: CrawlConfig) -> Headers:
    """The fields of the next request; the caller's own ones only while the chain stays on its first origin."""
    fields = {"user-agent": ("User-Agent", config.user_agent), "accept": ("Accept", ACCEPT)}
    fields["accept-encoding"] = ("Accept-Encoding", ACCEPT_ENCODING)
    if all(urls.origin(hop.url) == urls.origin(state.target) for hop in state.hops):
        for name, value in (*config.header, *state.headers):
            fields[name.lower()] = (name, value)
    if state.earlier is not None:
        fields |= {name.lower(): (name, value) for name, value in conditions(state, set(fields))}
    cookie = cookie_header(state.cookies, state.target)
    if cookie is not None:
        fields["cookie"] = ("Cookie", joined(fields.get("cookie", ("", ""))[1], cookie))
    if not state.body and state.hops and state.hops[-1].method != state.method:
        for name in [name for name in fields if name.startswith("content-")]:  # WHATWG Fetch §4.4, step 12
            del fields[name]
    return tuple(fields.values())


def _retry_pause(state: FlowState, outcome: _Try, rules: FlowRules) -> float | None:
    """Seconds to wait before the next try, or None where there is none."""
    tries, most = state.attempts - state.shortages, rules.config.retries
    if _is_local(outcome):  # nobody else's doing: it has tries of its own
        tries, most = state.shortages, _SHORTAGES_MOST
    if tries >= most or state.spent_s > rules.config.max_time - _LEAST_S:
        return None
    if not (_failure_can_pass(state, outcome) or _status_can_pass(state, outcome, rules)):
        return None
    backoff = min(_BACKOFF_S * 2.0**tries, _BACKOFF_MOST_S) * (0.5 + rules.chance())
    asked = retry_after(outcome.body, rules.utc()) if outcome.status in rules.passing else None
    return max(backoff, asked or 0.0)


def _is_local(outcome: _Try) -> bool:
    """Whether it met a limit of this machine."""
    return isinstance(outcome.event, Failure) and outcome.event.error_class == "local"


def _failure_can_pass(state: FlowState, outcome: _Try) -> bool:
    event = outcome.event
    if not isinstance(event, Failure) or event.final or event.error_class not in _PASSING_FAILURES:
        return False
    return not event.sent or state.method in IDEMPOTENT


def _status_can_pass(state: FlowState, outcome: _Try, rules: FlowRules) -> bool:
    if not isinstance(outcome.event, Reply) or outcome.status not in rules.passing:
        return False
    # 429 says that nothing was done; after a 5xx a POST may have been.
    return outcome.status == 429 or state.method in IDEMPOTENT


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
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _follow(state: FlowState, outcome: _Try, rules: FlowRules) -> FlowState | Fate | None:
    """Where a redirect leads: the state to go on from, or the fate where it cannot be followed."""
    body = outcome.body
    if body is None or body.status not in _REDIRECTS or not isinstance(outcome.event, Reply):
        return None
    location = body.header("location")
    if location is None or not rules.config.max_redirects:
        return None
    if len(state.hops) >= rules.config.max_redirects:
        return _fate(state, outcome, Failure("redirect", f"more than {rules.config.max_redirects} redirects"))
    try:
        target = urls.join(state.target, location)
    except urls.UrlError as error:
        error_class: ErrorClass = "scheme" if error.error_class == "scheme" else "redirect"
        return _fate(state, outcome, Failure(error_class, f"redirect to what cannot be fetched: {error}"))
    method = _method_after(state.method, body.status)
    return msgspec.structs.replace(
        state,
        target=target.href,
        host=target.host,
        method=method,
        body=state.body if method == state.method else b"",
        hops=(*state.hops, _hop(state, outcome, body, location)),
        cookies=collect(state.cookies, state.target, body.headers),
    )


def _method_after(method: str, status: int) -> str:
    """The method of the request that follows a redirect (WHATWG Fetch §4.4, HTTP-redirect fetch)."""
    if status == 303 and method != "HEAD":
        return "GET"
    return "GET" if status in (301, 302) and method == "POST" else method


def _hop(state: FlowState, outcome: _Try, body: Body, location: str) -> Hop:
    payload = body.payload
    cut = len(payload) > HOP_BODY_BYTES
    return Hop(
        url=state.target,
        method=state.method,
        request_headers=outcome.request_headers,
        request_body=state.body,
        status=body.status or 0,
        reason=body.reason,
        http_version=body.http_version,
        headers=body.headers,
        payload=payload[:HOP_BODY_BYTES],
        location=location,
        ip=outcome.event.ip,
        started=outcome.started,
        truncated="length" if cut else body.truncated,
    )


def _fate(state: FlowState, outcome: _Try, failure: Failure | None = None) -> Fate:
    """The entry's end: fetched, failed, or refused by policy."""
    event = failure or outcome.event
    error_class = event.error_class if isinstance(event, Failure) else None
    denied = error_class in _POLICY_CLASSES
    tries = event.tries if isinstance(event, Failure) else 1
    nothing_tried = error_class == "host_down" or (denied and outcome.body is None and not state.hops)
    return Fate(
        state=state,
        outcome="fetched" if error_class is None else "denied" if denied else "failed",
        error_class=error_class,
        error=event.message if isinstance(event, Failure) else None,
        attempts=state.earlier_attempts + state.attempts + (0 if nothing_tried else tries),
        started=outcome.started,
        request_headers=outcome.request_headers,
        body=outcome.body if outcome.status is not None else None,
        ip=outcome.event.ip,
        dns_ms=outcome.dns_ms,
        timings=outcome.event.timings,
    )
