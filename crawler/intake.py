"""From what was read to what is fetched: normalise, sort out, dedupe. What ends here gets its row here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

from crawler import urls
from crawler.config import CrawlConfig, check_header
from crawler.dedupe import Seen, fingerprint
from crawler.errors import ConfigError
from crawler.records import Entry, FlowState, Headers, Request, Result, Row, json_of, row_of


class Intake:
    """Admits entries in their order. `done` gives, ascending, the seqs that have their final row already.

    Entries that are done are normalised and remembered all the same, so a resumed crawl finds the same duplicates.
    """

    def __init__(self, config: CrawlConfig, key: bytes, done: Iterable[int] = ()) -> None:
        self._config = config
        self._key = key
        self._seen = None if config.keep_duplicates else Seen(key)
        self._done: Iterator[int] = iter(done)
        self._next_done = next(self._done, 0)

    def admit(self, entries: list[Entry]) -> tuple[list[FlowState], list[Result]]:
        """The entries to fetch, and the results of those that end here: invalid, denied by scheme, duplicate."""
        states: list[FlowState] = []
        results: list[Result] = []
        done = {entry.seq for entry in entries if self._is_done(entry.seq)} if self._next_done else set[int]()
        for entry in entries:
            try:
                states.append(self._state(entry))
            except urls.UrlError as error:
                results.append(_refused(entry, error))
        fresh: list[FlowState] = []
        for state, first in zip(states, self._firsts(states), strict=True):
            if first:
                results.append(_duplicate(state, first))
            elif state.seq not in done:
                fresh.append(state)
        return fresh, [result for result in results if result.row.seq not in done]

    def _firsts(self, states: list[FlowState]) -> list[int]:
        """For each state the seq of the same request before it, or 0."""
        if self._seen is None:
            return [0] * len(states)
        prints = [fingerprint(self._key, state.method, state.target, state.body) for state in states]
        return self._seen.admit(prints, [state.seq for state in states])

    def _state(self, entry: Entry) -> FlowState:
        request = entry.request
        if entry.problem is not None:
            raise urls.UrlError("invalid_url", entry.problem)
        target = urls.parse(request.url)
        method = self._config.method if request.method == "GET" else request.method
        return FlowState(
            seq=entry.seq,
            source=entry.source,
            source_line=entry.source_line,
            url=request.url,
            target=target.href,
            host=target.host,
            method=method,
            headers=_headers(request, target.userinfo),
            body=request.body,
            extra=request.extra,
            earlier_attempts=entry.attempts,
        )

    def _is_done(self, seq: int) -> bool:
        """Whether an entry has its row already; to be asked in ascending order."""
        while self._next_done and self._next_done < seq:
            self._next_done = next(self._done, 0)
        return self._next_done == seq


def _headers(request: Request, userinfo: str | None) -> Headers:
    """The request's own header fields; credentials in the URL become Basic authentication (RFC 7617)."""
    if not request.headers and userinfo is None:
        return ()
    headers = tuple(request.headers.items())
    try:
        for name, value in headers:
            check_header(name, value)
    except ConfigError as error:
        raise urls.UrlError("invalid_url", str(error)) from error
    if userinfo is not None and not any(name.lower() == "authorization" for name, _ in headers):
        token = base64.b64encode(userinfo.encode()).decode("ascii")
        headers = (*headers, ("Authorization", f"Basic {token}"))
    return headers


def _refused(entry: Entry, error: urls.UrlError) -> Result:
    denied = error.error_class == "scheme"
    return Result(
        Row(
            seq=entry.seq,
            source=entry.source,
            source_line=entry.source_line,
            url=entry.request.url,
            final_url=None,
            host=None,
            outcome="denied" if denied else "invalid",
            error_class="scheme" if denied else "invalid_url",
            error=str(error),
            attempts=entry.attempts,
            extra=json_of(entry.request.extra),
        )
    )


def _duplicate(state: FlowState, first: int) -> Result:
    return Result(row_of(state, "duplicate", duplicate_of=first))
