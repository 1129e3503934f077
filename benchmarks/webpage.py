"""The results as one page that needs nothing else: no network, no script, light and dark, wide and narrow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from benchmarks.outlook import BETTER_STILL, LENGTH, Outlook, duration, outlooks
from benchmarks.plots import Bar, Series, bars, lines
from benchmarks.summary import FIGURES, Line, Summary, summarize
from benchmarks.workloads import WORKLOADS

_STYLE = Path(__file__).with_name("webpage.css")
_NONE = "\N{EN DASH}"
_SECTIONS = {
    "modes": "Modes and recipes",
    "workloads": "Beside other programs",
    "chosen": "Chosen",
    "patience": "Patience",
    "concurrency": "Concurrency",
    "memory": "Memory",
    "killed": "A worker is killed",
    "two million": "2,000,000 in full",
}


def page_of(results: Sequence[Line]) -> str:
    """The page of these results; those that only name what was missing are listed."""
    measured = [line for line in results if line["benchmark"] == "workload"]
    summaries = summarize(measured)
    parts = [
        _machine(measured),
        _outlook(outlooks(summaries)),
        _concurrency(summaries),
        _cpu(summaries),
        _memory(summaries),
        _killed(summaries),
        _tables(summaries),
        _missing([line for line in results if line["benchmark"] == "missing"]),
    ]
    return _PAGE.format(style=_STYLE.read_text(encoding="utf-8"), body="\n".join(filter(None, parts)))


def _machine(measured: Sequence[Line]) -> str:
    if not measured:
        return "<p>Nothing was measured.</p>"
    last = measured[-1]
    machine, versions = last["machine"], last["versions"]
    loads = [line["machine"]["load"] for line in measured]
    runs = len(measured)
    text = (
        f"{runs:,} runs on {machine['cores']} cores of {machine['cpu']}, {machine['memory_mb'] / 1000:,.0f} GB, "
        f"{machine['system']} {machine['kernel']}; load {min(loads):g} to {max(loads):g}. "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ". The origin runs on the same cores; its CPU time is told apart."
    )
    return f'<p class="small">{escape(text)}</p>'


def _outlook(found: Sequence[Outlook]) -> str:
    if not found:
        return ""
    rows = "".join(
        f"<tr{' class=full' if one.pages >= LENGTH else ''}>{_cells(_outlook_cells(one))}</tr>" for one in found
    )
    head = _heads("", "2,000,000 take", "the documents", "in flight", "pages/s", "peak MB", "lost", "how it is known")
    return (
        "<h2>2,000,000 URLs at two seconds each</h2>"
        f'<div class="wide"><table class="outlook"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _outlook_cells(one: Outlook) -> tuple[str, ...]:
    said = one.estimate or ("better still" if one.name in BETTER_STILL else _NONE)
    shape = f"{one.procs} \N{MULTIPLICATION SIGN} {one.conc:,}"
    took = duration(one.seconds)
    return one.name, took, said, shape, f"{one.pages_per_s:,.1f}", f"{one.peak_mb:,.0f}", f"{one.lost:,}", one.basis


def _concurrency(summaries: Sequence[Summary]) -> str:
    """Pages a second against all that is in flight."""
    drawn = []
    for name, sections in (("patient", ("patience", "two million")), ("near", ("concurrency",))):
        found = [one for one in summaries if one.workload == name and one.section in sections and one.kind != "peer"]
        series = _series([(one, one.procs * one.conc, "pages_per_s") for one in found], "pages/s")
        if plot := lines(series, "requests in flight, all processes", "pages a second"):
            drawn.append(f"<figure><figcaption>{escape(WORKLOADS[name].title)}</figcaption>{plot}</figure>")
    return (
        f"<h2>Throughput against concurrency</h2><p>{_KEY}</p><div class='pair'>{''.join(drawn)}</div>" if drawn else ""
    )


def _cpu(summaries: Sequence[Summary]) -> str:
    """CPU a page, a list of bars for each workload and section in which different contenders were compared."""
    drawn = []
    compared = (one for one in summaries if one.section in ("modes", "workloads", "chosen"))
    for (section, workload), group in itertools.groupby(compared, key=lambda one: (one.section, one.workload)):
        found = [bar for one in group if (bar := _cpu_bar(one)) is not None]
        title = f"{workload}: {WORKLOADS[workload].title}" + (" (modes and recipes)" if section == "modes" else "")
        drawn.append(f"<figure><figcaption>{escape(title)}</figcaption>{bars(found)}</figure>")
    return f"<h2>CPU a page, \N{MICRO SIGN}s</h2><div class='columns'>{''.join(drawn)}</div>" if drawn else ""


def _cpu_bar(one: Summary) -> Bar | None:
    cpu, spread = one.median("cpu_us_per_page"), one.spread("cpu_us_per_page")
    if cpu is None or spread is None:
        return None
    ratio = f", {one.cpu_ratio:.2f} times {one.compared_with}" if one.cpu_ratio else ""
    title = (
        f"{one.name}, {one.shape}: {cpu:,.0f}, of {spread[0]:,.0f} to {spread[1]:,.0f} in {len(one.runs)} runs{ratio}"
    )
    return Bar(one.name, cpu, f"{cpu:,.0f}", _style(one), title)


def _memory(summaries: Sequence[Summary]) -> str:
    found = [(one, one.urls, "peak_mb") for one in summaries if one.section == "memory"]
    plot = lines(_series(found, "MB"), "length of the list", "peak memory of all processes, MB")
    return f"<h2>Memory against the length of the list</h2><figure>{plot}</figure>" if plot else ""


def _series(found: Iterable[tuple[Summary, float, str]], unit: str) -> list[Series]:
    """A series a contender, of its name's points of x and the median of a figure."""
    points: dict[str, list[tuple[float, float, str]]] = {}
    styles = {}
    for one, x, figure in found:
        styles[one.name] = _style(one)
        if (y := one.median(figure)) is not None:
            text = f"{one.name}, {one.shape}, {one.urls:,} URLs: {y:,.1f} {unit}"
            points.setdefault(one.name, []).append((x, y, text))
    return [Series(name, styles[name], those) for name, those in points.items()]


def _style(one: Summary) -> str:
    """Colour is what waits (thread, greenlet, coroutine, libcurl), the stroke how many processes, or whose code."""
    families = ("curl", "asyncio", "gevent", "thread")
    family = next((family for family in families if family in one.name.lower()), "plain")
    several = "several" if "processes" in one.name else "one"
    return f"{family} {several if one.kind == 'mode' else one.kind}"


def _killed(summaries: Sequence[Summary]) -> str:
    found = [one for one in summaries if one.section == "killed"]
    if not found:
        return ""
    rows = "".join(f"<tr>{_cells((one.name, one.shape, f'{one.urls:,}', *_end(one)))}</tr>" for one in found)
    head = _heads("", "in flight", "URLs", "good pages", "lost", "end")
    return (
        "<h2>When a worker is killed</h2><p>After half a second one process gets SIGKILL, as from a kernel that is "
        'short of memory.</p><div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _end(one: Summary) -> tuple[str, str, str]:
    run = one.runs[-1]
    took = f"{run['wall_s']:,.1f} s"
    end = f"not over after {took}, ended" if run["hung"] else f"exit status {run['exit_status']} after {took}"
    return f"{run['good']:,}", f"{run['lost']:,}", end


def _tables(summaries: Sequence[Summary]) -> str:
    """Every case with all of its figures."""
    drawn = []
    for (section, workload), group in itertools.groupby(summaries, key=lambda one: (one.section, one.workload)):
        members = list(group)
        heads = ("", "in flight", "URLs", "runs", *(title for _, title, _ in FIGURES))
        head = _heads(
            *heads, "CPU, least to most", f"CPU \N{DIVISION SIGN} {members[0].compared_with}", "failed", "lost"
        )
        rows = "".join(f"<tr>{_cells(_figure_cells(one))}</tr>" for one in members)
        drawn.append(
            f"<h3>{escape(_SECTIONS[section])}, {escape(workload)}: {escape(WORKLOADS[workload].title)}</h3>"
            f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        )
    return f"<h2>All figures</h2><p>{_FOOT}</p>{''.join(drawn)}"


def _figure_cells(one: Summary) -> tuple[str, ...]:
    spread = one.spread("cpu_us_per_page")
    return (
        one.name,
        one.shape,
        f"{one.urls:,}",
        f"{len(one.runs)}",
        *(_text(one.median(figure), digits) for figure, _, digits in FIGURES),
        f"{spread[0]:,.0f} to {spread[1]:,.0f}" if spread else _NONE,
        _text(one.cpu_ratio, 2),
        f"{one.total('failed'):,}",
        f"{one.total('lost'):,}",
    )


def _missing(absent: Sequence[Line]) -> str:
    items = "".join(f"<li>{escape(line['name'])}: {escape(line['why'])}</li>" for line in absent)
    return f"<h2>Not measured</h2><ul>{items}</ul>" if items else ""


def _heads(*texts: str) -> str:
    return "".join(f"<th>{escape(text)}</th>" for text in texts)


def _cells(texts: Iterable[str]) -> str:
    first, *others = texts
    return f"<th>{escape(first)}</th>" + "".join(f"<td>{escape(text)}</td>" for text in others)


def _text(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:,.{digits}f}"


_KEY = (
    "The colour says what waits: threads, greenlets of gevent, coroutines of asyncio, transfers of libcurl. A solid "
    "line or a full bar is the product in several processes, a dashed or faint one in one; dotted or hatched is a "
    "recipe or another program."
)
_FOOT = (
    "Medians of the runs. A rate is good pages (2xx, whole, saved) over the wall time of the whole command, its start "
    "included; CPU is user and system time of all its processes over its good pages; memory the sum of the PSS of all. "
    "A ratio is taken within each run, then its median. Lost is what is in no record: neither a good page nor a known "
    "failure. A dash is what cannot be known."
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Threads, processes and coroutines, measured</title>
<style>
{style}</style>
</head>
<body>
<h1>Threads, processes and coroutines, measured</h1>
{body}
</body>
</html>
"""
