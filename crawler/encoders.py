"""What a worker makes of a fate: the row, and the bytes that the sink asked for. Finished here, once."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable
from typing import Any

import msgspec

from crawler import warc
from crawler.body import Body
from crawler.changes import is_unmodified, judge
from crawler.config import CrawlConfig
from crawler.digests import digest_of
from crawler.fates import Fate
from crawler.headers import is_public
from crawler.records import Earlier, Headers, Hop, Keep, Result, Row, row_of

Encoder = Callable[[Fate], Result]

_FIELD_LENGTH = 1000  # characters of a server's header field that a row keeps


def make_encoder(keep: Keep, config: CrawlConfig, *, worker: int, engine: str) -> Encoder:
    """The encoder that a sink asks for: `archive` (WARC records), `page` (the decoded body) or `row` (nothing)."""
    secret = _secret(config.header)

    def encode(fate: Fate) -> Result:
        row = _row(fate, worker, engine)
        if config.previous is not None:
            row = _compared(row, fate)
        if keep == "page" and fate.body is not None:
            return Result(row, fate.body.decoded, headers=fate.body.headers)
        if keep == "archive" and (fate.body is not None or fate.state.hops):
            return _archived(fate, row, secret | _secret(fate.state.headers) if fate.state.headers else secret)
        return Result(row)

    return encode


def _secret(own: Headers) -> frozenset[str]:
    """Which of the user's own fields are sent but not archived: all that may be a secret, under whatever name."""
    return frozenset(name.lower() for name, _ in own if not is_public(name))


def _archived(fate: Fate, row: Row, redact: frozenset[str]) -> Result:
    """The records of the whole chain, each redirect's and the page's own, as one piece of bytes."""
    records = b""
    for hop in fate.state.hops:
        records += b"".join(_records(hop, digest_of(hop.payload), redact))
    if fate.body is None:
        return Result(row, records)
    identified = warc.identify(fate.body.start)
    response, request = _records(
        _last(fate, fate.body),
        row.digest or "",
        redact,
        identified,
        fate.body.is_packed,
        _revisited(row, fate.state.earlier),
    )
    return Result(row, b"".join((records, response, request)), record_at=len(records), record_length=len(response))


def _compared(row: Row, fate: Fate) -> Row:
    """The row with what became of the page; of one that did not change, what a 304 leaves out stands as it was."""
    status = row.status if row.outcome == "fetched" else None
    unmodified = is_unmodified(fate.state, status, fate.request_headers)
    changed = judge(fate.state, status, row.body_digest, unmodified=unmodified)
    earlier = fate.state.earlier
    if not unmodified or earlier is None:
        return msgspec.structs.replace(row, changed=changed)
    return msgspec.structs.replace(
        row,
        changed=changed,
        digest=earlier.digest,
        body_digest=earlier.body_digest,
        etag=row.etag or earlier.etag,
        last_modified=row.last_modified or earlier.last_modified,
        content_type=row.content_type or earlier.content_type,
        charset=row.charset or earlier.charset,
    )


def _revisited(row: Row, earlier: Earlier | None) -> Earlier | None:
    """What the record of an answer may refer to, in place of saying it again: the same payload, whole and recorded."""
    if row.changed != "same" or earlier is None or earlier.record is None or row.truncated is not None:
        return None
    return earlier if row.digest == earlier.digest else None


def _last(fate: Fate, body: Body) -> Hop:
    """The chain's last exchange, in the form of the others."""
    return Hop(
        url=fate.state.target,
        method=fate.state.method,
        request_headers=fate.request_headers,
        request_body=fate.state.body,
        status=body.status or 0,
        reason=body.reason,
        http_version=body.http_version,
        headers=body.headers,
        payload=body.payload,
        location="",
        ip=fate.ip,
        started=fate.started,
        truncated=body.truncated,
    )


def _records(
    hop: Hop,
    digest: str,
    redact: frozenset[str],
    identified: str | None = None,
    packed: bool = False,
    earlier: Earlier | None = None,
) -> tuple[bytes, bytes]:
    """The response's record (a revisit's, where it refers to an `earlier` one) and its request's."""
    record_id, date = warc.new_id(), _date(hop.started)
    response = warc.response(
        record_id=record_id,
        url=hop.url,
        date=date,
        ip=hop.ip,
        status=hop.status,
        reason=hop.reason,
        version=f"HTTP/{hop.http_version}",
        headers=hop.headers,
        payload=hop.payload,
        digest=digest,
        truncated=hop.truncated,
        identified=identified,
        packed=packed,
        earlier=earlier,
    )
    request = warc.request(
        concurrent_to=record_id,
        url=hop.url,
        date=date,
        ip=hop.ip,
        method=hop.method,
        headers=hop.request_headers,
        content=hop.request_body,
        redact=redact,
    )
    return response, request


def _row(fate: Fate, worker: int, engine: str) -> Row:
    state, timings = fate.state, fate.timings
    dns_ms, connect_ms, tls_ms, ttfb_ms, total_ms = [
        None if milliseconds is None else round(milliseconds, 3)
        for milliseconds in (fate.dns_ms, timings.connect_ms, timings.tls_ms, timings.ttfb_ms, timings.total_ms)
    ]
    return row_of(
        state,
        fate.outcome,
        error_class=fate.error_class,
        error=fate.error,
        attempts=fate.attempts,
        fetched_at=_date(fate.started),
        dns_ms=dns_ms,
        connect_ms=connect_ms,
        tls_ms=tls_ms,
        ttfb_ms=ttfb_ms,
        total_ms=total_ms,
        redirects=_redirects(state.hops),
        ip=fate.ip,
        engine=engine,
        worker=worker,
        **_answer(fate.body),
    )


def _answer(body: Body | None) -> dict[str, Any]:
    """The columns that an answer fills."""
    if body is None:
        return {}
    return {
        "status": body.status,
        "bytes_wire": body.bytes_wire,
        "bytes_body": body.bytes_body,
        "content_type": body.content_type,
        "charset": body.charset,
        "digest": body.digest,
        "body_digest": body.body_digest if body.problem != "type" else None,  # nobody knows: it was not fetched
        "truncated": body.truncated,
        "http_version": body.http_version,
        "etag": _field(body, "etag"),
        "last_modified": _field(body, "last-modified"),
    }


def _redirects(hops: tuple[Hop, ...]) -> str | None:
    """The chain as JSON: a list of objects with `url`, `status` and `location`."""
    if not hops:
        return None
    return json.dumps([{"url": hop.url, "status": hop.status, "location": hop.location} for hop in hops])


def _field(body: Body, name: str) -> str | None:
    value = body.header(name)
    return value[:_FIELD_LENGTH] if value is not None else None


def _date(seconds: float) -> str:
    """UTC in the form of WARC-Date (WARC 1.1 §5.4), to the millisecond."""
    whole = int(seconds)
    return f"{_to_the_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@functools.lru_cache(maxsize=256)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}"
