"""What happens to one URL, written once for all engines, as a generator without I/O.

`fetch` yields actions (`NeedRobots`, `Resolve`, `Exchange`, `Wait`), is sent what came of them, and returns either the
entry's `Fate` or, where a redirect leads to a host that another worker is the home of, the `FlowState` to go on from
there.
It reads no clock and draws no random number: `FlowRules` brings both.
"""

from __future__ import annotations

import functools
from collections.abc import Generator

import msgspec

from crawler import urls
from crawler.addresses import AddressRule
from crawler.body import Body
from crawler.changes import conditions
from crawler.config import CrawlConfig
from crawler.cookies import cookie_header, joined
from crawler.exchange import (
    Action,
    Addresses,
    Event,
    Exchange,
    Failure,
    NeedRobots,
    Reply,
    Resolve,
    Wait,
)
from crawler.fates import Attempt, Fate, FlowRules
from crawler.proxy import Proxy, parse_proxy
from crawler.records import Detour, FlowState, Headers
from crawler.redirects import REDIRECTS, follow, on_first_origin
from crawler.retries import is_local, pause_before_retry
from crawler.robots import Rules

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ACCEPT_ENCODING = "gzip, deflate, br, zstd"

_POLICY_CLASSES = frozenset({"blocked_address", "robots", "scheme", "type"})


def fetch(state: FlowState, rules: FlowRules, allowed: str | None = None) -> Generator[Action, Event, Fate | FlowState]:
    """Fetch one entry from where `state` stands to its fate: tries, retries, redirects.

    `allowed` is the URL for which robots.txt need not be asked any more.
    """
    first = state.host
    while rules.at_home(state.host) and rules.together(first, state.host):
        if rules.config.robots and state.target != allowed:
            origin = urls.origin(state.target)
            answer = yield NeedRobots(origin, state.host, on_first_origin(state))
            if isinstance(answer, Detour):
                return sent_on(state, answer)
            refusal = refused(state, answer, rules)
            if refusal is not None:
                return refusal
            allowed = state.target
        outcome = yield from _try(state, rules)
        if _is_last(outcome, rules):
            return _fate(state, outcome)
        state = msgspec.structs.replace(state, spent_s=state.spent_s + outcome.spent_s)
        pause = pause_before_retry(state, outcome, rules)
        if pause is not None:
            shortages = state.shortages + is_local(outcome)
            state = msgspec.structs.replace(state, attempts=state.attempts + 1, shortages=shortages)
            del outcome  # what came of its body would take up memory while we wait
            yield Wait(pause)
            continue
        onward = follow(state, outcome, rules.config.max_redirects, rules.burden)
        if not isinstance(onward, FlowState):
            return _fate(state, outcome, onward)
        state = onward
        del outcome  # nor while we wait for the next host
    return state


def _is_last(outcome: Attempt, rules: FlowRules) -> bool:
    """Whether an answer neither leads on nor may be another in a moment, as nearly all do not."""
    status = outcome.status
    return isinstance(outcome.event, Reply) and status not in rules.passing and status not in REDIRECTS


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
    return _fate(state, Attempt(rules.utc(), answer, dns_ms=answer.dns_ms))


def given_up(state: FlowState, failure: Failure, rules: FlowRules) -> Fate:
    """The fate of an entry whose host is down: nothing was sent for it, beyond what was tried before."""
    return _fate(state, Attempt(rules.utc(), failure))


def _try(state: FlowState, rules: FlowRules) -> Generator[Action, Event, Attempt]:
    """Resolve, check the addresses, exchange once."""
    config, started = rules.config, rules.utc()
    proxy = parse_proxy(config.proxy) if config.proxy is not None else None
    found = yield Resolve(state.host)
    if isinstance(found, Failure):
        return Attempt(started, found, dns_ms=found.dns_ms)
    assert isinstance(found, Addresses)
    goal = _allowed(state.host, found.addresses, rules.addresses, strictly=proxy is not None)
    if proxy is not None and not isinstance(goal, Failure):
        goal = yield from _addresses_of(proxy)
    if isinstance(goal, Failure):
        return Attempt(started, goal, dns_ms=found.dns_ms)
    left = config.max_time - state.spent_s
    if left <= 0:
        return Attempt(started, Failure("timeout", f"{config.max_time:g} s were used up"), dns_ms=found.dns_ms)
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
    return Attempt(started, _judged(event, body), headers, body, found.dns_ms)


def _judged(event: Reply | Failure, body: Body) -> Reply | Failure:
    """The engine's word, corrected by the body's own verdict.

    A type that is not wanted or a coding that is broken makes a failure of a reply, unless it is a redirect: that
    is good for its target. A connection that died when the body had all that is kept of it makes no failure.
    """
    if isinstance(event, Failure):
        return Reply(event.ip, event.timings) if body.truncated == "length" and body.problem is None else event
    if body.problem is None or (body.status in REDIRECTS and body.header("location") is not None):
        return event
    return Failure(body.problem, body.problem_text, ip=event.ip, timings=event.timings)


def _allowed(host: str, addresses: tuple[str, ...], rule: AddressRule, *, strictly: bool) -> tuple[str, ...] | Failure:
    """The addresses of a host that may be connected; `strictly`, all of them or none."""
    if not addresses:
        return Failure("dns", f"{host} has no address", sent=False)
    refused = [address for address in addresses if rule.refuses(address) is not None]
    if not refused:
        return addresses
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
    own = (config.header, state.headers) if on_first_origin(state) else ((), ())
    usual = _usual_headers(config.user_agent, own[0])
    if not (state.headers or state.hops or state.cookies or state.earlier):
        return usual
    fields = {name.lower(): (name, value) for name, value in (*usual, *own[1])}
    if state.earlier is not None:
        fields |= {name.lower(): (name, value) for name, value in conditions(state, set(fields))}
    cookie = cookie_header(state.cookies, state.target)
    if cookie is not None:
        fields["cookie"] = ("Cookie", joined(fields.get("cookie", ("", ""))[1], cookie))
    if not state.body and state.hops and state.hops[-1].method != state.method:
        for name in [name for name in fields if name.startswith("content-")]:  # WHATWG Fetch §4.4, step 12
            del fields[name]
    return tuple(fields.values())


@functools.lru_cache(maxsize=16)
def _usual_headers(user_agent: str, own: Headers) -> Headers:
    """Those of all entries alike: one and the same object, as thousands of requests are under way."""
    usual = (("User-Agent", user_agent), ("Accept", ACCEPT), ("Accept-Encoding", ACCEPT_ENCODING))
    return tuple({name.lower(): (name, value) for name, value in (*usual, *own)}.values())


def _fate(state: FlowState, outcome: Attempt, failure: Failure | None = None) -> Fate:
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
