"""The library call: `fetch`, `afetch`, `Pool`, `crawl`, `open`, as a caller sees them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.resources
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Origin
from origin import body_bytes

import crawler

SETTINGS: dict[str, Any] = {"procs": 2, "conc": 8, "allow_private": True}


AMONG_THREADS = ["-W", "ignore::DeprecationWarning"]  # Python 3.12 says at each fork that there are some


def children() -> set[int]:
    """The processes that this one has started and not reaped."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Iterator[None]:
    """No test of this file leaves a child behind."""
    before = children()
    yield
    gc.collect()
    assert before == children()


def test_one_page_for_every_entry(origin: Origin) -> None:
    """Fetched, failed, denied, duplicate and invalid ones alike."""
    urls = [origin.url("/bytes/10"), origin.url("/bytes/10"), "ftp://a/", "http://", origin.url("/reset"), "a\x00b"]
    pages = {page.row.seq: page for page in crawler.fetch(urls, retries=0, **SETTINGS)}

    assert ["fetched", "duplicate", "denied", "invalid", "failed", "invalid"] == [pages[n].outcome for n in range(1, 7)]
    assert [None, None, "scheme", "invalid_url", "reset", "invalid_url"] == [pages[n].error_class for n in range(1, 7)]


def test_a_page_has_what_people_ask_for(origin: Origin) -> None:
    """URL, status, headers, decoded body, text."""
    (page,) = crawler.fetch([origin.url("/gzip")], **SETTINGS)

    assert (origin.url("/gzip"), 200, True, None) == (page.url, page.status, page.ok, page.error)
    assert "gzip" == dict(page.headers)["Content-Encoding"]
    assert page.body.decode() == page.text
    assert page.row.bytes_body == len(page.body) != page.row.bytes_wire


def test_a_request_is_sent_as_it_is(origin: Origin) -> None:
    """Method, headers and body of a Request arrive; `extra` comes back with its page."""
    request = crawler.Request(origin.url("/echo"), "POST", {"X-Key": "k"}, b"body", {"id": 7})
    (page,) = crawler.fetch([request], **SETTINGS)

    assert {"id": 7} == page.extra
    assert '"POST"' in page.text
    assert "X-Key" in page.text


def test_requests_that_differ_in_their_body_are_no_duplicates(origin: Origin) -> None:
    """What makes two entries the same is method, URL and body."""
    url = origin.url("/echo")
    requests = [crawler.Request(url, "POST", body=body) for body in (b"a", b"b", b"a")]

    assert ["duplicate", "fetched", "fetched"] == sorted(page.outcome for page in crawler.fetch(requests, **SETTINGS))


def test_fetch_is_lazy_and_bounded(origin: Origin) -> None:
    """An endless list is read no further than the window reaches; leaving the loop ends everything."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield origin.url(f"/bytes/{taken}")

    pages = crawler.fetch(endless(), **SETTINGS)
    assert 0 == taken
    for page, _ in zip(pages, range(20), strict=False):
        assert page.ok
    pages.close()
    assert 20 <= taken < 200_000


def test_a_list_may_wait_for_earlier_results(origin: Origin) -> None:
    """A crawl that finds its next URL in the page before it: the list is never read too far ahead to answer."""
    found: queue.Queue[str | None] = queue.Queue()
    found.put(origin.url("/page/1"))
    seen = []
    for page in crawler.fetch(iter(found.get, None), **SETTINGS):
        seen.append(page.url)
        found.put(origin.url(f"/page/{len(seen) + 1}") if len(seen) < 5 else None)

    assert [origin.url(f"/page/{n}") for n in range(1, 6)] == seen


def test_what_the_list_raises_reaches_the_caller(origin: Origin) -> None:
    """An exception of the caller's own generator is not swallowed."""

    def broken() -> Iterator[str]:
        yield origin.url("/bytes/1")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        list(crawler.fetch(broken(), **SETTINGS))


def test_pages_come_in_order_where_asked(origin: Origin) -> None:
    """A slow first page holds the others back, not the other way round; and all come in the list's order."""
    urls = [origin.url("/slow-head?s=0.3"), *(origin.url(f"/bytes/{n}") for n in range(50)), "http://", "ftp://x/"]
    pages = list(crawler.fetch(urls, ordered=True, **SETTINGS))

    assert urls == [page.url for page in pages]


def test_an_empty_list_has_no_pages() -> None:
    """Nothing in, nothing out, and no worker started."""
    assert [] == list(crawler.fetch([], **SETTINGS))


@pytest.mark.parametrize("name", ["curl", "asyncio", "serial", "threads"])
def test_engines_are_chosen_by_name(origin: Origin, name: str) -> None:
    """The same page under each; the row says which."""
    (page,) = crawler.fetch([origin.url("/bytes/1000")], engine=name, **SETTINGS)

    assert (200, body_bytes(1000), name) == (page.status, page.body, page.row.engine)


@pytest.mark.parametrize(
    "settings",
    [
        {"cnoc": 1}, {"conc": 0}, {"engine": "none"}, {"header": {"a b": "c"}}, {"allow_net": ["x"]},
        {"max_body": "16M"}, {"header": "A: b"}, {"accept_type": "text/html"}, {"conc": 1.5},
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    """At once, by ConfigError, before a worker is started."""
    with pytest.raises(crawler.ConfigError):
        crawler.fetch(["http://a/"], **settings)


def test_a_lone_string_is_no_list() -> None:
    """`fetch("http://…")` would fetch its letters."""
    with pytest.raises(crawler.InputError):
        crawler.fetch("http://a/")


async def test_afetch_yields_the_same_pages(origin: Origin) -> None:
    """In a running loop, without blocking it."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    bodies = {page.body async for page in crawler.afetch([origin.url(f"/bytes/{n}") for n in range(1, 9)], **SETTINGS)}
    ticking.cancel()

    assert {body_bytes(n) for n in range(1, 9)} == bodies
    assert ticks > 10


async def test_afetch_pulls_an_async_list_in_the_callers_loop(origin: Origin) -> None:
    """An async generator that waits for earlier pages works, with the caller's own asyncio objects."""
    found: asyncio.Queue[str] = asyncio.Queue()
    found.put_nowait(origin.url("/page/1"))

    async def urls() -> AsyncIterator[str]:
        for _ in range(3):
            yield await found.get()

    seen = []
    async for page in crawler.afetch(urls(), **SETTINGS):
        seen.append(page.url)
        found.put_nowait(origin.url(f"/page/{len(seen) + 1}"))

    assert [origin.url(f"/page/{n}") for n in (1, 2, 3)] == seen


async def test_afetch_can_be_left_and_cancelled(origin: Origin) -> None:
    """Neither a break nor a cancellation leaves a worker."""
    async with crawler_pages(origin) as pages:
        async for page in pages:
            assert page.ok
            break

    async def forever() -> None:
        async for _ in crawler.afetch([origin.url("/hold/api-cancel")], **SETTINGS):
            pass

    task = asyncio.create_task(forever())
    await asyncio.to_thread(until_asked, origin, "/hold/api-cancel")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    origin.release("api-cancel")


def until_asked(origin: Origin, path: str) -> None:
    while not origin.hits(path):
        pass


def crawler_pages(origin: Origin) -> Any:
    from contextlib import aclosing

    return aclosing(crawler.afetch([origin.url(f"/bytes/{n}") for n in range(100)], **SETTINGS))


def test_a_sync_call_takes_an_async_list(origin: Origin) -> None:
    """`fetch` runs the generator on a loop of its own."""

    async def urls() -> AsyncIterator[str]:
        yield origin.url("/bytes/1")

    assert [200] == [page.status for page in crawler.fetch(urls(), **SETTINGS)]


def test_a_pool_keeps_its_workers(origin: Origin) -> None:
    """Many calls, the same processes; closed, none is left and it says so."""
    with crawler.Pool(**SETTINGS) as pool:
        workers = set()
        for n in range(20):
            assert [n] == [len(page.body) for page in pool.fetch([origin.url(f"/bytes/{n}")])]
            workers |= children()
        assert len(workers) <= 2
    with pytest.raises(crawler.UsageError):
        list(pool.fetch(["http://a/"]))


def test_a_pool_survives_a_loop_that_is_left(origin: Origin) -> None:
    """The pages of an abandoned call never show up in a later one."""
    with crawler.Pool(**SETTINGS) as pool:
        for _ in pool.fetch([origin.url(f"/bytes/{n}") for n in range(100)]):
            break
        assert [origin.url("/page/7")] == [page.url for page in pool.fetch([origin.url("/page/7")])]


def test_a_pool_serves_several_threads(origin: Origin) -> None:
    """Calls at the same time do not mix their pages."""
    got: dict[int, set[str]] = {}

    def call(n: int) -> None:
        got[n] = {page.url for page in pool.fetch([origin.url(f"/page/{n}{k}") for k in range(10)])}

    with crawler.Pool(**SETTINGS) as pool:
        threads = [threading.Thread(target=call, args=(n,)) for n in range(1, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert {n: {origin.url(f"/page/{n}{k}") for k in range(10)} for n in range(1, 4)} == got


def test_a_pool_does_not_grow(origin: Origin) -> None:
    """After a thousand calls there are no more descriptors, threads and objects of ours than after ten."""

    def call(times: int) -> tuple[int, int, int]:
        for _ in range(times):
            assert [200] == [page.status for page in pool.fetch([origin.url("/bytes/1")])]
        gc.collect()
        ours = sum(str(type(item).__module__).startswith("crawler.") for item in gc.get_objects())
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), ours

    with crawler.Pool(**SETTINGS) as pool:
        before = call(10)
        after = call(1_000)

    # A reader thread may be on its last line while we count: two of a kind are no growth, a thousand calls on.
    assert [True] * 3 == [later <= earlier + 2 for earlier, later in zip(before, after, strict=True)]


async def test_a_pool_closes_without_blocking_the_loop(origin: Origin) -> None:
    """`aclose` is `close` for a running loop."""
    pool = crawler.Pool(**SETTINGS)
    assert [200] == [page.status async for page in pool.afetch([origin.url("/bytes/1")])]
    await pool.aclose()
    await pool.aclose()


def test_a_pool_that_nobody_closed_ends_with_the_interpreter(origin: Origin, tmp_path: Path) -> None:
    """Its workers' input ends with their parent, and they with it."""
    script = (
        "import crawler, pathlib, os\n"
        f"pool = crawler.Pool(procs=1, allow_private=True); list(pool.fetch([{origin.url('/bytes/1')!r}]))\n"
        "print(pathlib.Path(f'/proc/self/task/{os.getpid()}/children').read_text())"
    )
    worker = int(run_python(["-c", script], tmp_path))
    while Path(f"/proc/{worker}/stat").exists() and ") Z " not in Path(f"/proc/{worker}/stat").read_text():
        pass


def test_a_pool_that_is_dropped_ends_its_workers(origin: Origin) -> None:
    """With the last reference, as what was never closed."""
    before = children()
    pool = crawler.Pool(**SETTINGS)
    assert [200] == [page.status for page in pool.fetch([origin.url("/bytes/1")])]
    assert before < children()
    del pool
    gc.collect()

    assert before == children()


def test_a_pool_heeds_a_fork(origin: Origin, tmp_path: Path) -> None:
    """Either side of it has workers of its own, and ends none of the other's; what was begun before goes on in one."""
    script = (
        "import crawler, os\n"
        "pool = crawler.Pool(procs=1, allow_private=True, robots=False)\n"
        f"base = {origin.url('/bytes/')!r}\n"
        "def pages(sign):\n"
        "    return {page.url == f'{base}{n}?{sign}' for n, page in enumerate(\n"
        "        pool.fetch([f'{base}{n}?{sign}' for n in range(40)], ordered=True))}\n"
        "assert pages('before') == {True}\n"
        "begun = crawler.fetch([f'{base}{n}?begun' for n in range(300)], procs=1, allow_private=True, robots=False)\n"
        "next(begun)\n"
        "if not (child := os.fork()):\n"
        "    try:\n"
        "        list(begun)\n"
        "    except crawler.WorkerError as error:\n"
        "        assert 'fork' in str(error)\n"
        "        assert pages('child') == {True}\n"
        "        pool.close()\n"
        "        os._exit(0)\n"
        "    os._exit(1)\n"
        "assert pages('parent') == {True}\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(list(begun)))"
    )

    assert "0 299\n" == run_python(["-c", script], tmp_path)


def test_a_fork_has_nothing_of_the_workers(origin: Origin, tmp_path: Path) -> None:
    """No pipe stays open there by which a worker would see its parent live on."""
    script = (
        "import crawler, os\n"
        "def opened():\n"
        "    return sorted(os.listdir('/proc/self/fd'))\n"
        "settings = {'procs': 2, 'allow_private': True, 'robots': False}\n"
        "before = opened()\n"
        "pool = crawler.Pool(**settings)\n"
        f"assert len(list(pool.fetch([{origin.url('/bytes/1')!r}]))) == 1\n"
        f"begun = crawler.fetch(({origin.url('/bytes/1')!r} + f'?{{n}}' for n in range(10**9)), **settings)\n"
        "next(begun)\n"
        "if not (child := os.fork()):\n"
        "    after = opened()\n"
        "    begun.close()\n"
        "    os._exit(after != before)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), next(begun).status)"
    )

    assert "0 200\n" == run_python([*AMONG_THREADS, "-c", script], tmp_path)


def test_a_call_goes_on_in_one_process(origin: Origin, tmp_path: Path) -> None:
    """Who goes on with it behind a fork is told so, and costs the other process no page, and doubles none."""
    script = (
        "import crawler, os\n"
        f"urls = ({origin.url('/bytes/1')!r} + f'?{{n}}' for n in range(10**9))\n"
        "begun = crawler.fetch(urls, procs=1, conc=4, chunk_size=2, allow_private=True, robots=False)\n"
        "pages, said = [], set()\n"
        "while len(pages) < 100:\n"
        "    pages.append(next(begun).url)\n"
        "    if len(pages) % 5:\n"
        "        continue\n"
        "    if not (child := os.fork()):\n"
        "        try:\n"
        "            [page for page in begun]\n"
        "        except crawler.WorkerError as error:\n"
        "            os._exit('fork' in str(error))\n"
        "        os._exit(2)\n"
        "    said.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "pages += [next(begun).url for _ in range(200)]\n"
        "print(said, len(pages) - len(set(pages)))"
    )

    assert "{1} 0\n" == run_python([*AMONG_THREADS, "-c", script], tmp_path)


async def test_an_async_list_that_waits_is_closed(origin: Origin) -> None:
    """Who leaves the loop ends it, and no thread and no task is left."""
    ended = asyncio.Event()

    async def urls() -> AsyncIterator[str]:
        try:
            yield origin.url("/bytes/1")
            await asyncio.Event().wait()
        finally:
            ended.set()

    tasks = len(asyncio.all_tasks())
    async with contextlib.aclosing(crawler.afetch(urls(), **SETTINGS)) as pages:
        async for page in pages:
            assert page.ok
            break
    await ended.wait()
    await asyncio.to_thread(until_no_list_is_read)

    assert tasks == len(asyncio.all_tasks())


def until_no_list_is_read() -> None:
    while any(thread.name == "list" for thread in threading.enumerate()):
        pass


def test_a_request_of_the_wrong_types_is_one_bad_entry(origin: Origin) -> None:
    """It costs nobody else's page; bytes are bytes, and no text is taken for them."""
    good, body = origin.url("/bytes/1"), bytearray(b"a=1")
    odd: list[Any] = [
        crawler.Request(origin.url("/echo"), "POST", body="test"),  # type: ignore[arg-type]
        crawler.Request(5),  # type: ignore[arg-type]
        crawler.Request(good, headers={"A": 1}),  # type: ignore[dict-item]
        crawler.Request(origin.url("/echo"), "POST", body=body),  # type: ignore[arg-type]
        good,
    ]
    pages = list(crawler.fetch(odd, ordered=True, **SETTINGS))

    assert ["invalid", "invalid", "invalid", "fetched", "fetched"] == [page.outcome for page in pages]
    assert "The Request cannot be sent: Expected `bytes`, got `str` - at `$.body`." == pages[0].error
    assert "a=1" == json.loads(pages[3].body)["body"]


def test_types_are_published() -> None:
    """Whoever checks types sees ours (PEP 561)."""
    assert importlib.resources.files("crawler").joinpath("py.typed").is_file()


def test_fetch_works_where_a_loop_is_running(origin: Origin) -> None:
    """As in a notebook's cell: the sync call inside a coroutine."""

    async def cell() -> list[int | None]:
        return [page.status for page in crawler.fetch([origin.url("/bytes/1")], **SETTINGS)]

    assert [200] == asyncio.run(cell())


def test_crawl_and_open(origin: Origin, tmp_path: Path) -> None:
    """`crawl` records a list, a second call makes no request, and `open` reads it back."""
    urls = tmp_path / "urls.txt"
    urls.write_text("".join(f"{origin.url(f'/bytes/{n}?open')}\n" for n in range(5)))
    first = crawler.crawl(urls, tmp_path / "out", **SETTINGS)
    again = crawler.crawl(urls, tmp_path / "out", **SETTINGS)

    assert (5, 5, True, 0) == (first.entries, first.recorded, first.finished, again.recorded)
    assert 1 == origin.hits("/bytes/3?open")
    with crawler.open(tmp_path / "out") as results:
        assert 5 == results.stats().ok
        assert body_bytes(3) == results.get(origin.url("/bytes/3?open")).body


def test_crawl_takes_what_fetch_takes(origin: Origin, tmp_path: Path) -> None:
    """A list of the caller's own is recorded like a file."""
    summary = crawler.crawl(
        [origin.url("/bytes/1"), crawler.Request(origin.url("/echo"), "POST")], tmp_path / "o", **SETTINGS
    )

    assert 2 == summary.outcomes["fetched"]


def run_python(arguments: list[str], folder: Path, given: str = "") -> str:
    """What a fresh interpreter prints that can import this package."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=60,
    )
    return done.stdout + done.stderr


SCRIPT = """
import crawler
pages = list(crawler.fetch([{url!r}], procs=2, allow_private=True))
print(len(pages), pages[0].status)
"""


def test_a_function_is_of_the_module_that_the_script_has(origin: Origin, tmp_path: Path) -> None:
    """Also where an installed one has the same name: the script's own folder comes first, and so it does in workers."""
    (tmp_path / "iniconfig.py").write_text("def parse(page):\n    return 'mine'\n")
    (tmp_path / "script.py").write_text(
        "import crawler, iniconfig\n"
        f"pages = crawler.fetch([{origin.url('/bytes/1')!r}], procs=1, allow_private=True, parse=iniconfig.parse)\n"
        "print([page.parsed for page in pages])\n"
    )

    assert "['mine']\n" == run_python(["script.py"], tmp_path)


@pytest.mark.parametrize("how", ["script", "command", "interpreter"])
def test_no_guard_is_needed(origin: Origin, tmp_path: Path, how: str) -> None:
    """A script without `if __name__ == "__main__"`, `python -c`, and the interactive interpreter work."""
    code = SCRIPT.format(url=origin.url("/bytes/1"))
    (tmp_path / "script.py").write_text(code)
    command = {"script": ["script.py"], "command": ["-c", code], "interpreter": ["-i", "-q"]}[how]
    given = code if how == "interpreter" else ""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, *command],
        input=given,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
    )

    assert "1 200" in done.stdout, done.stderr


def test_a_file_beside_the_script_shadows_nothing(origin: Origin, tmp_path: Path) -> None:
    """Workers do not import what lies in the current folder, whatever its name (`python -P`)."""
    (tmp_path / "email.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "script.py").write_text(
        "import sys; here = sys.path.pop(0)\n" + SCRIPT.format(url=origin.url("/bytes/1"))
    )

    assert "1 200" in run_python(["script.py"], tmp_path)
