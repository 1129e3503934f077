"""What the crawl before this one recorded of the entries that come, looked up a batch at a time."""

from __future__ import annotations

import json
import secrets
import sqlite3
from pathlib import Path

import msgspec

from crawler.config import CrawlConfig
from crawler.errors import ConfigError
from crawler.records import Earlier, FlowState
from crawler.store.byurl import entries, normalised, print_of, temporary
from crawler.store.database import OK, open_reading, read_meta
from crawler.store.folder import CrawlFolder

_FOUND = "SELECT print, seq FROM entries WHERE print IN (SELECT value FROM json_each(?)) ORDER BY seq DESC"
_PAGES = """SELECT seq, url, redirects IS NULL, truncated, warc_file, warc_offset, warc_length,
    final_url, fetched_at, etag, last_modified, digest, body_digest, content_type, charset
    FROM pages WHERE seq IN (SELECT value FROM json_each(?))"""


class Previous:
    """The pages of the crawl at `path`; raises FolderError where there is none, ConfigError where it did not GET them.

    Only a page that it has whole is asked for anew by its validators; `with_records`, only one that its archive holds,
    so that what is not fetched again can still be read. The first batch takes the time to go over its rows once.
    """

    def __init__(self, path: Path, *, with_records: bool) -> None:
        self._pages = open_reading(CrawlFolder(path).database)
        method = json.loads(read_meta(self._pages)["identity"]).get("method", "GET")
        if method != "GET":
            self._pages.close()
            raise ConfigError(f"{path} was crawled with the method {method}; only what GET brought can be compared.")
        self._with_records = with_records
        self._key = secrets.token_bytes(16)
        self._index: sqlite3.Connection | None = None

    def attach(self, states: list[FlowState]) -> list[FlowState]:
        """The states, those with their earlier page whose URL had one."""
        prints = {seq: print_of(self._key, state.target) for seq, state in enumerate(states) if _is_plain(state)}
        if not prints:
            return states
        index = self._index or self._build()
        found = dict(index.execute(_FOUND, (json.dumps(list(prints.values())),)))
        pages = self._earlier(list(found.values()))
        attached = list(states)
        for place, mark in prints.items():
            href, earlier = pages.get(found.get(mark, 0), (None, None))
            if href == states[place].target:  # else two URLs have one fingerprint
                attached[place] = msgspec.structs.replace(states[place], earlier=earlier)
        return attached

    def close(self) -> None:
        """Close what is open."""
        self._pages.close()
        if self._index is not None:
            self._index.close()

    def _build(self) -> sqlite3.Connection:
        self._index = index = temporary()
        index.execute("CREATE TABLE entries (print INTEGER, seq INTEGER)")
        index.execute("BEGIN")
        index.executemany("INSERT INTO entries VALUES (?, ?)", entries(self._pages, self._key, OK))
        index.execute("CREATE INDEX by_print ON entries (print, seq)")
        index.execute("COMMIT")
        return index

    def _earlier(self, seqs: list[int]) -> dict[int, tuple[str | None, Earlier]]:
        """The pages with these seqs, each with the normalised URL of its entry."""
        found = {}
        for seq, url, direct, cut, file, offset, length, *known in self._pages.execute(_PAGES, (json.dumps(seqs),)):
            record = f"{file} {offset} {length}" if file and length and cut is None else None
            earlier = Earlier(*[*known, record])
            if cut is not None or (record is None and self._with_records):
                earlier = msgspec.structs.replace(earlier, etag=None, last_modified=None)
            found[seq] = (earlier.url if direct else normalised(url), earlier)
        return found


def previous_of(config: CrawlConfig) -> Previous | None:
    """The previous crawl that a configuration names; raises FolderError and ConfigError where there is none to use."""
    return None if config.previous is None else Previous(Path(config.previous), with_records=not config.no_bodies)


def _is_plain(state: FlowState) -> bool:
    return state.method == "GET" and not state.body
