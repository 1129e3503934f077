"""Times of pages, put together."""

from __future__ import annotations


def percentiles(times_ms: list[float]) -> tuple[float | None, float | None]:
    """The 50th and the 99th percentile; nothing of nothing."""
    if not times_ms:
        return None, None
    ordered = sorted(times_ms)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
