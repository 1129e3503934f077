"""Do real pages arrive byte by byte? `python -m benchmarks.pages FOLDER [--repeat 3]`.

Serves every file of a folder, crawls them all, then compares each stored payload with the file on disk and has the
archive read by three independent readers. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import crawler
from benchmarks.figures import show, show_json
from benchmarks.job import Job, add_flags, flags_of, run_job, scratch
from benchmarks.origin import running_origin
from benchmarks.readers import READERS, verdict
from benchmarks.site import served_files

_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    args = _parser().parse_args(arguments)
    files = served_files(args.folder)
    if not files:
        raise SystemExit(f"{args.folder} holds no file.")
    sizes = [file.stat().st_size for file in files.values()]
    with scratch(sum(sizes) * args.repeat) as folder, _served(args) as bases:
        urls, out = folder / "urls.txt", folder / "out"
        expected = url_list(bases, files, args.repeat)
        urls.write_text("".join(f"{url}\n" for url in expected), encoding="ascii")
        job = run_job(urls, out, [*flags_of(args), "--max-body", str(max(*sizes, 1))])
        compared, differing = compare(out, expected)
        verdicts = {name: verdict(name, sorted(out.glob("warc/*"))) for name in READERS}
    _show(args, job, compared, differing, verdicts)
    whole = compared == len(expected) and not differing
    return 0 if whole and all(right for right, _ in verdicts.values()) else 1


def url_list(bases: Sequence[str], files: Mapping[str, Path], repeat: int) -> dict[str, Path]:
    """Every file `repeat` times under a URL of its own, on the bases in turn, with the file that it must bring."""
    turn = itertools.cycle(bases)
    return {
        f"{next(turn)}/{path}{f'?repeat={number}' if number else ''}": file
        for number in range(repeat)
        for path, file in files.items()
    }


def compare(out: Path, expected: Mapping[str, Path]) -> tuple[int, list[str]]:
    """How many pages were fetched, and the URLs of those whose body, read back from the archive, is not its file's."""
    wanted = {file: _digest(file.read_bytes()) for file in set(expected.values())}
    compared, differing = 0, []
    with crawler.open(out) as results:
        for page in results.pages(outcome="fetched"):
            compared += 1
            if not (page.ok and _digest(page.body) == page.row.body_digest == wanted[expected[page.url]]):
                differing.append(page.url)
    return compared, differing


def _digest(body: bytes) -> str:
    """A digest as rows have it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode("ascii")


@contextlib.contextmanager
def _served(args: argparse.Namespace) -> Iterator[Sequence[str]]:
    """The base URLs of the folder: those of the user's own server, or of an origin that runs meanwhile."""
    if args.base:
        yield [base.rstrip("/") for base in args.base]
        return
    with running_origin(procs=args.origin_procs, root=args.folder) as bases:
        yield [f"{base}/file" for base in bases]


def _show(
    args: argparse.Namespace,
    job: Job,
    compared: int,
    differing: Sequence[str],
    verdicts: Mapping[str, tuple[bool, str]],
) -> None:
    show(
        f"{args.folder}, --repeat {args.repeat} {' '.join(flags_of(args))}",
        {
            "outcomes": job.sum_of_outcomes,
            "pages a second": f"{job.figures['pages_per_s']:,.0f}",
            "CPU a page": f"{job.figures['cpu_us_per_page']:,.0f} µs",
            "peak memory": f"{job.measurement.peak_mb:,.1f} MB",
            "payloads": f"{compared:,} compared, {len(differing):,} differing",
            **{f"read by {name}": text for name, (_, text) in verdicts.items()},
        },
    )
    for url in differing[:_SHOWN]:
        print(f"  differs: {url}")
    readers = {name: right for name, (right, _) in verdicts.items()}
    payloads = {"compared": compared, "differing": len(differing)}
    settings = {**vars(args), "folder": str(args.folder)}
    show_json("pages", settings, {**job.figures, **job.outcomes, **payloads, "readers": readers})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description="Real pages, byte by byte.")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a folder of real pages")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="URLs for each file (default 3)")
    parser.add_argument("--base", action="append", default=[], metavar="URL", help="where FOLDER is served already")
    parser.add_argument("--origin-procs", type=int, default=1, metavar="N", help="processes that serve (default 1)")
    add_flags(parser, procs=2, conc=64)
    return parser


if __name__ == "__main__":
    sys.exit(main())
