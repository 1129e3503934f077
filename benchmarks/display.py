"""What the live view costs: `python -m benchmarks.display` draws it many times and prints the share of a core."""

from __future__ import annotations

import argparse
import io
import time

from rich.console import Console
from rich.live import Live

from benchmarks.figures import show, show_json
from crawler.display import view
from crawler.load import Load, WorkerLoad
from crawler.progress import DRAW_S
from crawler.records import OUTCOMES, Waiting
from crawler.tally import Reading


def reading(number: int) -> Reading:
    """A full view: every line has something to say, and the numbers change."""
    hosts = tuple(Waiting(f"host-{n}.example", 1_000 + number, "delay") for n in range(3))
    workers = tuple(WorkerLoad(n, 100 + number % 28, 128, 0.9) for n in range(4))
    return Reading(
        elapsed_s=float(number),
        read=10_000_000,
        recorded=number * 1_000,
        ok=number * 990,
        pages_per_s=1_234.5,
        mean_pages_per_s=1_200.0,
        bytes_per_s=4.5e7,
        mean_page_ms=81.0,
        fraction=(number % 1_000) / 1_000,
        eta_s=3_600.0,
        outcomes=dict.fromkeys(OUTCOMES, number * 10),
        error_classes={"dns": number, "timeout": number, "reset": 3, "connect": 2},
        in_hand=20_000,
        workers=4,
        load=Load(workers, 512_000_000, hosts, "politeness: 3,000 entries wait for 3 hosts (--per-host, --delay)"),
    )


def main() -> None:
    """Draw, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2_000)
    draws = parser.parse_args().draws
    console = Console(file=io.StringIO(), force_terminal=True, width=140, color_system="truecolor")
    with Live(console=console, auto_refresh=False, transient=True) as live:
        started = time.process_time()
        for number in range(draws):
            live.update(view(reading(number)), refresh=True)
        each_s = (time.process_time() - started) / draws
    figures = {"CPU a draw, ms": round(each_s * 1000, 3), "share of a core, %": round(100 * each_s / DRAW_S, 2)}
    show("display", {name: str(value) for name, value in figures.items()})
    show_json("display", {"draws": draws, "every_s": DRAW_S}, figures)


if __name__ == "__main__":
    main()
