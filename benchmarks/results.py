"""What workers hand over, made without a fetch: the own origin's pages as rows and WARC members; a store for them."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.site import PAGE_BYTES, page
from crawler import urls, warc
from crawler.body import Body
from crawler.config import CrawlConfig
from crawler.encoders import make_encoder
from crawler.exchange import Timings
from crawler.fates import Fate
from crawler.flow import ACCEPT, ACCEPT_ENCODING
from crawler.records import Entry, FlowState, Result
from crawler.store.disk import DiskStore

CONFIG = CrawlConfig(allow_private=True, robots=False)
"""The settings, tuning aside, of the crawls that `job.run_job` starts: these folders can be resumed by it."""

_ANSWER = (("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(PAGE_BYTES)))
_REQUEST = (("User-Agent", CONFIG.user_agent), ("Accept", ACCEPT), ("Accept-Encoding", ACCEPT_ENCODING))
_encode = make_encoder("archive", CONFIG, worker=0, engine="asyncio")


def result_of(entry: Entry) -> Result:
    """The result of an entry that the origin has answered with the page of that number."""
    body = Body(max_bytes=CONFIG.max_body)
    body.head(200, "OK", "1.1", _ANSWER)
    body.feed(page(entry.seq))
    body.end()
    url = urls.parse(entry.request.url)
    state = FlowState(entry.seq, entry.source, entry.source_line, entry.request.url, url.href, url.host)
    return _encode(
        Fate(
            state,
            "fetched",
            attempts=1,
            started=time.time(),
            request_headers=_REQUEST,
            body=body,
            ip="127.0.0.1",
            timings=Timings(ttfb_ms=1.25, total_ms=1.5),
        )
    )


def open_store(out: Path, kind: type[DiskStore] = DiskStore) -> DiskStore:
    """The store of a crawl in the folder `out`, which is made where it is not there."""
    return kind(out, identity=CONFIG.identity(), warcinfo=_warcinfo)


def _warcinfo(name: str) -> bytes:
    return warc.warcinfo(filename=name, date="2026-01-02T03:04:05Z", software="benchmarks", fields={})
