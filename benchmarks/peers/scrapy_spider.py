"""The spider that `scrapy.py` runs, with Scrapy's own Python: it knows nothing of this package.

`python scrapy_spider.py LIST OUT CONC [--parse CHECKOUT]` saves every good page under the last part of its URL's path,
and prints a JSON object: how many failed, and the 50th and the 99th percentile of the time a page in ms.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy.crawler import CrawlerProcess

LIST, OUT, CONC = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if sys.argv[4:]:
    sys.path.insert(0, sys.argv[5])
    from benchmarks.parsing import parse

failed = 0
times_ms: list[float] = []


class Pages(scrapy.Spider):  # type: ignore[misc]
    """Every URL of the list, once."""

    name = "pages"

    async def start(self) -> AsyncIterator[Any]:
        """A request for each line."""
        with LIST.open(encoding="ascii") as lines:  # noqa: ASYNC230 - a file in memory
            for line in lines:
                yield scrapy.Request(line.strip(), self.parse, errback=self.missed)

    def parse(self, response: Any, **_: Any) -> None:
        """Save a page of 2xx."""
        times_ms.append(response.meta["download_latency"] * 1000)
        asked = response.meta.get("redirect_urls", [response.url])[0]
        name = urlsplit(asked).path.rpartition("/")[2]
        (OUT / name).write_bytes(response.body)
        if sys.argv[4:]:
            (OUT / f"{name}.json").write_text(json.dumps(parse(response.body)), encoding="utf-8")

    def missed(self, _: Any) -> None:
        """Count what brought no page."""
        global failed
        failed += 1


process = CrawlerProcess(
    {
        "CONCURRENT_REQUESTS": CONC,
        "CONCURRENT_REQUESTS_PER_DOMAIN": CONC,
        "DOWNLOAD_DELAY": 0,
        "LOG_LEVEL": "ERROR",
        "RETRY_ENABLED": False,
        "ROBOTSTXT_OBEY": False,
        "TELNETCONSOLE_ENABLED": False,
    }
)
process.crawl(Pages)
process.start()
times_ms.sort()
ranks = {"p50_ms": len(times_ms) // 2, "p99_ms": len(times_ms) * 99 // 100}
told = {name: times_ms[rank] if times_ms else None for name, rank in ranks.items()}
print(json.dumps({"failed": failed, **told}))
