"""The live view: a bar, the pace, what came of the entries, whom the run waits for, and what limits it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from crawler.escape import printable
from crawler.load import Load
from crawler.records import OUTCOMES, Waiting
from crawler.tally import Reading
from crawler.units import clock, size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_BAR_COLUMNS = 80
_WORKERS_NAMED = 4
_STYLES = {"fetched": "green", "failed": "red", "denied": "yellow", "duplicate": "cyan", "invalid": "magenta"}
_HOST_CHARACTERS = 30


def view(reading: Reading) -> RenderableType:
    """What to draw now; each line is one line, cut where the terminal ends."""
    from rich.console import Group
    from rich.constrain import Constrain
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    known = reading.fraction is not None
    bar = ProgressBar(1.0 if known else None, reading.fraction or 0.0, complete_style="green")
    # Rounded down: 100 % is when nothing is open. No wider than 80: a terminal that shrinks would break a longer bar.
    done = f"{math.floor(100 * reading.fraction):3}% · " if reading.fraction is not None else ""
    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True, justify="right")
    head.add_row(bar, _line(f"{done}{clock(reading.elapsed_s)} · ETA {clock(reading.eta_s)}"))
    lines = [_line(pace(reading)), _counts(reading)]
    if reading.error_classes:
        lines.append(_line(errors(reading), label="errors"))
    if reading.load is not None:
        lines += _load(reading.load, replaced(reading.deaths, reading.last_death))
    return Group(Constrain(head, _BAR_COLUMNS), *lines)


def pace(reading: Reading) -> str:
    """How fast, as one phrase."""
    mean = "-" if reading.mean_page_ms is None else f"{reading.mean_page_ms:,.{int(reading.mean_page_ms < 10)}f} ms"
    return (
        f"{reading.pages_per_s:,.0f} pages/s, {reading.mean_pages_per_s:,.0f} on average · "
        f"{size(reading.bytes_per_s)}/s · mean {mean} a page"
    )


def counts(reading: Reading) -> str:
    """What came of the entries, as one phrase."""
    return " · ".join(text for text, _ in _parts(reading))


def errors(reading: Reading) -> str:
    """The error classes, most frequent first, as one phrase."""
    return " · ".join(f"{count:,} {name}" for name, count in reading.error_classes.items())


def replaced(deaths: int, last_death: str) -> str:
    """How many workers died, and of what the last one did, as one phrase; nothing where none did."""
    if not deaths:
        return ""
    return f"{deaths:,} replaced, {'it' if deaths == 1 else 'the last one'} {printable(last_death)}"


def awaited(waiting: Waiting) -> str:
    """A host that entries wait for, and why, as one phrase."""
    host = printable(waiting.host, _HOST_CHARACTERS)
    if waiting.why == "slow":
        pages = f"{waiting.entries:,} pages, " if waiting.entries > 1 else ""
        return f"{host} (slow, {pages}{waiting.seconds:.0f} s)"
    after = f", {waiting.seconds:.0f} s" if waiting.seconds else ""
    return f"{host} ({waiting.why}, {waiting.entries:,}{after})"


def _parts(reading: Reading) -> list[tuple[str, str]]:
    """The counts with their styles."""
    rate = "" if reading.success_rate is None else f" ({reading.success_rate:.1%})"
    parts = [(f"{reading.ok:,} ok{rate}", "bold green")]
    named = [(name, reading.outcomes[name]) for name in OUTCOMES if reading.outcomes.get(name)]
    return parts + [(f"{count:,} {name}", _STYLES[name]) for name, count in named]


def _counts(reading: Reading) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    for number, (part, style) in enumerate(_parts(reading)):
        text.append(" · " if number else "", "dim")
        text.append(part, style)
    return text


def _load(load: Load, deaths: str) -> list[Text]:
    """Whom it waits for (where it does), the workers, the limit."""
    lines = []
    if load.waiting:
        lines.append(_line(" · ".join(map(awaited, load.waiting)), label="waiting"))
    workers = [_workers(load), size(load.memory_bytes), *filter(None, [deaths])]
    lines.append(_line(" · ".join(workers), label="workers"))
    lines.append(_line(load.limit, label="limit"))
    return lines


def _workers(load: Load) -> str:
    if not load.workers:
        return "none yet"
    if len(load.workers) <= _WORKERS_NAMED:
        return " · ".join(f"{w.number}: {w.in_flight}/{w.conc}, CPU {w.cpu:.0%}" for w in load.workers)
    flying, places = sum(w.in_flight for w in load.workers), sum(w.conc for w in load.workers)
    mean = sum(w.cpu for w in load.workers) / len(load.workers)
    return f"{len(load.workers)}: {flying:,}/{places:,}, CPU {mean:.0%} each"


def _line(text: str, label: str = "") -> Text:
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    if label:
        line.append(f"{label:<8}", "dim")
    return line.append(text)
