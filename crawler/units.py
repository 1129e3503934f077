"""Numbers for people: bytes, seconds, shares."""

from __future__ import annotations

import datetime

_LONGEST_S = datetime.timedelta.max.total_seconds() // 2  # in a float there is nothing between it and too much


def size(count: float) -> str:
    """Bytes, in powers of 1000."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds; `-` where nobody can say."""
    return "-" if seconds is None else str(datetime.timedelta(seconds=round(min(seconds, _LONGEST_S))))


def milliseconds(value: float) -> str:
    """A time that is short, with as many digits as can mean something."""
    if value >= 9_995:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.0f} ms" if value >= 9.95 else f"{value:.1f} ms"


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the singular where it is one: `1 host`, `2,000 entries`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def share(part: float, whole: float) -> str:
    """A part of a whole in percent: never rounded to nothing, nor to all of it."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{min(percent, 99.9) if part < whole else percent:.1f} %"
