"""What does a page cost a worker beside its exchange? `python -m benchmarks.worker [--pages 20000] [--profile]`.

A worker's session without its pipes and its engine: entries come in chunks, an answer of 8 KB is there at once, and
the frames that would go to the parent are thrown away. What is left is frontier, flow, body, records and row.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import statistics
import sys
import time
from collections.abc import Sequence

from benchmarks.figures import show, show_json
from benchmarks.site import PAGE_BYTES
from crawler.addresses import AddressRule
from crawler.body import Verdict
from crawler.config import CrawlConfig
from crawler.encoders import make_encoder
from crawler.exchange import Addresses, Exchange, Reply, Timings
from crawler.fates import FlowRules
from crawler.frontier import Frontier
from crawler.records import Chunk, FlowState
from crawler.session import Session
from crawler.throttle import Throttle
from crawler.wire import FrameReader, Kind, frame

_CHUNK = 1000
_HEADERS = (
    ("Server", "nginx/1.22.1"),
    ("Date", "Wed, 25 Nov 2026 01:00:00 GMT"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", str(PAGE_BYTES)),
    ("Last-Modified", "Tue, 24 Nov 2026 01:00:00 GMT"),
    ("Connection", "keep-alive"),
    ("ETag", '"6743cf10-2000"'),
    ("Accept-Ranges", "bytes"),
)
_REPLY = Reply("127.0.0.1", Timings(ttfb_ms=1.25, total_ms=1.5))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    config = CrawlConfig(allow_private=True, robots=False, per_host=args.per_host, conc=args.conc)
    payload = page_text()
    run(config, payload, _CHUNK)  # what is made once
    profile = cProfile.Profile() if args.profile else None
    if profile is not None:
        profile.enable()
    costs, out_bytes = run(config, payload, args.pages)
    if profile is not None:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    figures = {
        "cpu_us_per_page": round(statistics.median(costs), 1),
        "least_cpu_us_per_page": round(min(costs), 1),
        "bytes_per_page": round(out_bytes / args.pages),
    }
    show(
        f"{args.pages:,} pages through a worker, without exchange and pipes",
        {
            "CPU a page": f"{figures['cpu_us_per_page']} µs (median over each thousand)",
            "at the least": f"{figures['least_cpu_us_per_page']} µs",
            "to the parent": f"{figures['bytes_per_page']} bytes a page",
        },
    )
    show_json("worker", vars(args), figures)
    return 0


def page_text() -> bytes:
    """A page of words, which compresses as real ones do."""
    chance = random.Random(4)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(800)]
    text = "<!doctype html><html><head><title>A page</title></head><body><p>"
    while len(text) < PAGE_BYTES:
        text += chance.choice(words) + " "
    return text[:PAGE_BYTES].encode("ascii")


def run(config: CrawlConfig, payload: bytes, pages: int) -> tuple[list[float], int]:
    """The microseconds of processor time a page of each thousand, and the bytes that would go to the parent."""
    rules = FlowRules(config, AddressRule(allow_private=True), lambda _: True, time.time, random.random)
    frontier = Frontier(rules, lambda _: Addresses(("127.0.0.1",)), Throttle(config.conc))
    session = Session(frontier, make_encoder("archive", config, worker=0, engine="none"), config.conc, _CHUNK)
    costs, out_bytes = [], 0
    for first in range(0, pages, _CHUNK):
        began = time.process_time()
        states = tuple(_state(n) for n in range(first, min(first + _CHUNK, pages)))
        for message in FrameReader().feed(b"".join(frame(Kind.CHUNK, Chunk(1, states)))):
            session.receive(message)
        while frontier.held:
            turns = []
            while (turn := session.next(time.monotonic())) is not None:
                turns.append(turn)
            for turn in turns:
                assert isinstance(turn.action, Exchange)
                if turn.action.body.head(200, "OK", "1.1", _HEADERS) is Verdict.GO:
                    turn.action.body.feed(payload)
                    turn.action.body.end()
                session.done(turn, _REPLY, time.monotonic())
                out_bytes += sum(map(len, session.outgoing()))
        costs.append((time.process_time() - began) / len(states) * 1e6)
    return costs, out_bytes


def _state(number: int) -> FlowState:
    url = f"http://127.0.0.1:8080/page/{number}"
    return FlowState(number + 1, "urls.txt", number + 1, url, url, "127.0.0.1")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description="A page's cost in a worker.")
    parser.add_argument("--pages", type=int, default=20_000, metavar="N", help="how many (default 20000)")
    parser.add_argument("--conc", type=int, default=64, metavar="M", help="in flight at once (default 64)")
    parser.add_argument("--per-host", type=int, default=0, metavar="N", help="of a host (default 0: no limit)")
    parser.add_argument("--profile", action="store_true", help="print where the time goes, by function")
    return parser


if __name__ == "__main__":
    sys.exit(main())
