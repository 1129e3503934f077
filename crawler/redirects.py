"""Where a redirect leads (WHATWG Fetch §4.4, HTTP-redirect fetch). No I/O."""

from __future__ import annotations

import msgspec

from crawler import urls
from crawler.body import Body
from crawler.burden import Burden
from crawler.cookies import collect
from crawler.exchange import Failure, Reply
from crawler.fates import Attempt
from crawler.records import ErrorClass, FlowState, Hop

REDIRECTS = frozenset({301, 302, 303, 307, 308})
HOP_BODY_BYTES = 64 * 1024
"""What is kept of a redirect's own body: hops travel between workers, and real ones are a sentence long."""


def on_first_origin(state: FlowState) -> bool:
    """Whether the chain never left its first origin: the caller's own header fields go no further than that."""
    return not state.hops or all(urls.origin(hop.url) == urls.origin(state.target) for hop in state.hops)


def follow(state: FlowState, attempt: Attempt, most: int, burden: Burden) -> FlowState | Failure | None:
    """Where a redirect leads, of which `most` are followed: the state to go on from, or why it cannot be followed.

    None where the answer is none. Its hop is a part of the `burden`.
    """
    body = attempt.body
    if body is None or body.status not in REDIRECTS or not isinstance(attempt.event, Reply):
        return None
    location = body.header("location")
    if location is None or not most:
        return None
    if len(state.hops) >= most:
        return Failure("redirect", f"more than {most} redirects")
    try:
        target = urls.join(state.target, location)
    except urls.UrlError as error:
        error_class: ErrorClass = "scheme" if error.error_class == "scheme" else "redirect"
        return Failure(error_class, f"redirect to what cannot be fetched: {error}")
    hop = burden.take(_hop(state, attempt, body, location))
    if hop is None:
        return Failure("local", "redirects that wait for other hosts take too much memory")
    method = _method_after(state.method, body.status)
    return msgspec.structs.replace(
        state,
        target=target.href,
        host=target.host,
        method=method,
        body=state.body if method == state.method else b"",
        hops=(*state.hops, hop),
        cookies=collect(state.cookies, state.target, body.headers),
    )


def _method_after(method: str, status: int) -> str:
    """The method of the request that follows a redirect (WHATWG Fetch §4.4, HTTP-redirect fetch)."""
    if status == 303 and method != "HEAD":
        return "GET"
    return "GET" if status in (301, 302) and method == "POST" else method


def _hop(state: FlowState, attempt: Attempt, body: Body, location: str) -> Hop:
    payload = body.payload
    cut = len(payload) > HOP_BODY_BYTES
    return Hop(
        url=state.target,
        method=state.method,
        request_headers=attempt.request_headers,
        request_body=state.body,
        status=body.status or 0,
        reason=body.reason,
        http_version=body.http_version,
        headers=body.headers,
        payload=payload[:HOP_BODY_BYTES],
        location=location,
        ip=attempt.event.ip,
        started=attempt.started,
        truncated="length" if cut else body.truncated,
    )
