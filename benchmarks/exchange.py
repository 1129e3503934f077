"""What does our engine add to its library? `python -m benchmarks.exchange [--pages 2000] [--runs 9] [--conc 64]`.

The same pages of 8 KB, over connections that are kept, by bare aiohttp on uvloop, which throws them away, and by the
engine `asyncio`, whose bodies count, cap and digest them. In turn in one process, so the ratio is the figure.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import uvloop
from yarl import URL

from benchmarks.figures import show, show_json
from benchmarks.origin import running_origin
from crawler.body import Body
from crawler.budget import Budget
from crawler.engines import aio
from crawler.exchange import Exchange, Reply
from crawler.flow import ACCEPT, ACCEPT_ENCODING

_HEADERS = (("User-Agent", "crawler-benchmark"), ("Accept", ACCEPT), ("Accept-Encoding", ACCEPT_ENCODING))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    with (
        running_origin(("127.0.0.1",), procs=1) as (base,),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        bare, engine = runner.run(_measure(base, args.pages, args.runs, args.conc))
    ratios = [ours / theirs for ours, theirs in zip(engine, bare, strict=True)]
    figures = {
        "bare_cpu_us": round(statistics.median(bare), 1),
        "engine_cpu_us": round(statistics.median(engine), 1),
        "ratio": round(statistics.median(ratios), 2),
    }
    show(
        f"{args.pages:,} exchanges a run, {args.conc} at once, median of {args.runs}",
        {
            "bare aiohttp": f"{figures['bare_cpu_us']} µs of CPU an exchange",
            "engine asyncio": f"{figures['engine_cpu_us']} µs",
            "ratio": f"{figures['ratio']} ({min(ratios):.2f} to {max(ratios):.2f})",
        },
    )
    show_json("exchange", vars(args), figures)
    return 0


async def _measure(base: str, pages: int, runs: int, conc: int) -> tuple[list[float], list[float]]:
    """Microseconds of processor time an exchange in each run: bare, and by the engine."""
    engine, budget = aio.make(insecure=False, conc=conc), Budget()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def bare(number: int) -> None:
            async with session.get(URL(f"{base}/page/{number}", encoded=True), headers=_HEADERS) as response:
                await response.read()

        async def ours(number: int) -> None:
            body = Body(max_bytes=16 * 1024**2, min_speed=100, budget=budget)
            url = f"{base}/page/{number}"
            exchange = Exchange("GET", url, "127.0.0.1", _HEADERS, b"", ("127.0.0.1",), 60.0, 10.0, body)
            assert isinstance(await engine.exchange(exchange), Reply)

        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(runs + 1):  # the first is to warm up
            for costs, fetch in zip(found, (bare, ours), strict=True):
                costs.append(await _cost(fetch, pages, conc))
        await engine.close()
    return found[0][1:], found[1][1:]


async def _cost(fetch: Callable[[int], Awaitable[None]], pages: int, conc: int) -> float:
    numbers = iter(range(pages))

    async def work() -> None:
        for number in numbers:
            await fetch(number)

    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(conc)))
    return (time.process_time() - began) / pages * 1e6


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exchange", description="An engine beside its library.")
    parser.add_argument("--pages", type=int, default=2_000, metavar="N", help="exchanges a run (default 2000)")
    parser.add_argument("--runs", type=int, default=9, metavar="N", help="how often, in turn (default 9)")
    parser.add_argument("--conc", type=int, default=64, metavar="M", help="in flight at once (default 64)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
