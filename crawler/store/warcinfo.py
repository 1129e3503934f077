"""The record that begins each WARC file of a crawl: who wrote it, and by which rules."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from crawler import warc
from crawler.config import CrawlConfig
from crawler.version import __version__


def make_warcinfo(config: CrawlConfig) -> Callable[[str], bytes]:
    """Makes the record that begins an archive file of a given name."""

    def make(filename: str) -> bytes:
        return warc.warcinfo(
            filename=filename,
            date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
            software=f"crawler/{__version__}",
            fields={"http-header-user-agent": config.user_agent, "robots": "obey" if config.robots else "ignore"},
        )

    return make
