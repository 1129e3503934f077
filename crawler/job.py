"""A recorded crawl: a list in, a folder out. What `crawl run`, `crawler.crawl` and `crawl retry` all are."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from crawler.config import CrawlConfig
from crawler.errors import ConfigError, CrawlerError, FolderError, InputError, StoreError
from crawler.executors.base import Executor
from crawler.executors.processes import make_executor
from crawler.executors.spare import Spare
from crawler.fleet.words import Fleet
from crawler.function import load
from crawler.logbook import Logbook
from crawler.pipeline import Pipeline
from crawler.records import Keep, Outcome, Result
from crawler.sources import Urls, open_urls, paths_of
from crawler.sources.base import Mark, Source
from crawler.sources.cutter import Layout
from crawler.sources.files import find_files, open_files
from crawler.sources.formats import plain_name
from crawler.sources.recorded import RecordedSource
from crawler.sources.reread import RereadSource
from crawler.sources.several import Several
from crawler.sources.standard_input import StandardInput
from crawler.store.database import open_reading, read_meta
from crawler.store.disk import DiskStore
from crawler.store.folder import CrawlFolder
from crawler.store.identity import unseal
from crawler.store.previous import previous_of
from crawler.store.selection import Selection
from crawler.store.warcinfo import make_warcinfo

if TYPE_CHECKING:
    from crawler.executors.celery import CeleryExecutor

Watch = Callable[[Pipeline, list[Result]], bool]
"""Called with each batch of results, a few times a second at least; False stops the run, resumably."""


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended. `outcomes` counts all final rows of the crawl, `recorded` those that this run added or replaced.

    `finished` is False when the run was stopped; the same command goes on. `elapsed_s` is this run's time. `repaired`
    rows had lost their records, because the disk had spoiled the end of the archive: they were fetched again.
    """

    out: Path
    outcomes: Mapping[Outcome, int]
    recorded: int
    elapsed_s: float
    finished: bool
    repaired: int = 0

    @property
    def entries(self) -> int:
        """How many entries of the input have their final row."""
        return sum(self.outcomes.values())


def default_out(urls: Urls) -> Path:
    """Where a list's crawl goes if nothing else is said: `NAME.crawl` beside you for a list `NAME.txt`.

    Of several files the first one counts. Raises InputError for a pattern that matches none.
    """
    paths = paths_of(urls)
    if paths is None:
        return Path("list.crawl")
    if paths[0] == "-":
        return Path("stdin.crawl")
    first = paths[0] if Path(paths[0]).is_dir() else next(find_files(paths[:1]))
    return Path(f"{Path(plain_name(first)).stem}.crawl")


def run_job(
    urls: Urls,
    out: Path,
    config: CrawlConfig,
    *,
    restart: bool = False,
    watch: Watch | None = None,
    spare: Spare | None = None,
    fleet: Fleet | None = None,
) -> Summary:
    """Crawl `urls` into `out`, or go on with the crawl that is there; with `spare` as the first worker.

    With a `fleet`, its machines fetch the pages, and keep them in their store.

    Raises InputError and FolderError before anything is fetched, RunError when the run itself fails; what was
    committed until then is intact.
    """
    started = time.monotonic()
    _check(config, out, fleet)
    source = open_urls(urls, CrawlFolder(out).spool, layout_of(config))
    refuse_empty(source)  # before a folder is made for it
    store = DiskStore(out, identity=config.identity(), warcinfo=make_warcinfo(config), restart=restart)
    try:
        finished = _is_finished(source, store)
        if not finished:
            executor = _local(config, store, spare) if fleet is None else _many(config, store, fleet)
            finished = _record(source, store, config, executor, store.done(), watch)
        elapsed_s = time.monotonic() - started
        if finished and fleet is not None:
            _sweep(store)
        if finished and not sum(store.counts().values()):
            if fleet is None:
                store.forget()  # an empty crawl must not hold the next one to its settings
            raise _no_url("Standard input" if source.name == "-" else source.name)
    finally:
        store.close()
    return _summary(store, elapsed_s, finished)


def _check(config: CrawlConfig, out: Path, fleet: Fleet | None) -> None:
    """Say what is wrong with a function, a broker or a previous crawl before anything begins. Raises UsageError."""
    if config.parse is not None:
        load(config.parse)
    if fleet is not None:
        from crawler.fleet.broker import Broker  # who has one machine does not pay for it

        Broker(fleet.broker)
    if config.previous is None:
        return
    if out.resolve() == Path(config.previous).resolve():
        raise ConfigError(f"{out} cannot be compared with itself; name another folder with --out.")
    if not CrawlFolder(out).database.exists() and (previous := previous_of(config)) is not None:
        previous.close()


def run_retry(
    out: Path, config: CrawlConfig, selection: Selection, *, watch: Watch | None = None, fleet: Fleet | None = None
) -> Summary:
    """Fetch the entries again whose rows `selection` names, or go on with the retry of them that was begun.

    With a `fleet`, its machines fetch them; its store is the crawl's own where it names none.

    Each old row stands until its new one is committed. Where nothing matches, nothing is fetched (`recorded` is 0).
    What is fetched and how is taken from the crawl: of `config` only the tuning counts, and what the folder does not
    have: the proxy, and the header fields whose values are secret. Whole requests are read again from their lists.
    Raises FolderError before anything is fetched, InputError where a list is not what it was, RunError when the run
    itself fails.
    """
    started = time.monotonic()
    config = _as_begun(out, config)
    _check(config, out, fleet)
    with contextlib.closing(DiskStore(out, identity=config.identity(), warcinfo=make_warcinfo(config))) as store:
        lists = _lists_of(store, config)
        if fleet is None:
            length, executor = store.retry(selection), _local(config, store)
        else:
            length, executor = _begin_on_many(config, store, selection, fleet)
        with contextlib.closing(executor):
            source: Source = (
                RecordedSource(str(out), store.pending(), length)
                if lists is None
                else RereadSource(str(out), store.pending(), length, lists)
            )
            finished = not length or _record(source, store, config, executor, (), watch)
        elapsed_s = time.monotonic() - started
        if finished and length and fleet is not None:
            _sweep(store)
    return _summary(store, elapsed_s, finished)


def _begin_on_many(
    config: CrawlConfig, store: DiskStore, selection: Selection, fleet: Fleet
) -> tuple[int, CeleryExecutor]:
    """Begin a retry on many machines, or go on with it; how many rows wait, and who does them.

    What machines laid down for an earlier run is taken in first, while the rows still wait for it. Where that was all
    that waited, the retry is done, and not begun anew.
    """
    begun = store.retries(selection)
    executor = _many(config, store, fleet)
    try:
        if not begun:
            store.begin_retry(selection)
        store.retried_by(executor.run)
        return store.waiting(), executor
    except BaseException:
        executor.close()
        raise


def _is_finished(source: Source, store: DiskStore) -> bool:
    """Whether the list is the one that this crawl has finished, and not a byte longer; raises InputError for another.

    Then there is nothing to read again, however long it is: its hash has told.
    """
    if store.mark is None:
        return False
    mark = msgspec.convert(store.mark, Mark)
    return source.check(mark) and store.finished


def _summary(store: DiskStore, elapsed_s: float, finished: bool) -> Summary:
    return Summary(store.folder.path, store.counts(), store.recorded, elapsed_s, finished, store.repaired)


def _as_begun(out: Path, config: CrawlConfig) -> CrawlConfig:
    """The configuration with the identity of the crawl in `out`; raises FolderError."""
    with contextlib.closing(open_reading(CrawlFolder(out).database)) as connection:
        sealed = json.loads(read_meta(connection)["identity"])
    identity = unseal(sealed, config.header, config.proxy, out)
    return msgspec.convert({**dataclasses.asdict(config), **identity}, CrawlConfig)


def _lists_of(store: DiskStore, config: CrawlConfig) -> Callable[[str], Source] | None:
    """Opens a list by its name, where a row is not all of its entry (a method, a header or a body may be missing).

    Raises FolderError where there is no list to read again.
    """
    if store.mark is None or msgspec.convert(store.mark, Mark).plain:
        return None
    with contextlib.closing(open_reading(store.folder.database)) as connection:
        (source,) = connection.execute("SELECT source FROM pages ORDER BY seq LIMIT 1").fetchone() or ("",)
    if source.startswith("<"):  # so the caller's own objects are called
        raise FolderError(
            f"{store.folder.path} was crawled from Requests with a method, header fields or a body of their own, which "
            "are not kept; fetch those that failed from your program, as a new crawl."
        )
    layout = layout_of(config)
    spooled = StandardInput(store.folder.spool, fd=None, layout=layout)
    return lambda name: spooled if name == "-" else open_files([name], layout)


def refuse_empty(source: Source) -> None:
    """Raise InputError for files without a URL, and for what is wrong with the beginning of one."""
    if isinstance(source, Several) and not source.probe():
        raise _no_url(source.name)


def _no_url(name: str) -> InputError:
    return InputError(f"{name} holds no URL; put one on each line.")


def layout_of(config: CrawlConfig) -> Layout:
    """How the list of a crawl is written."""
    return Layout(config.format, config.column, config.carry)


def _keep(config: CrawlConfig) -> Keep:
    return "row" if config.no_bodies else "archive"


def _local(config: CrawlConfig, store: DiskStore, spare: Spare | None = None) -> Executor:
    """This machine's own workers."""
    return make_executor(config, _keep(config), store.folder.path, spare)


def _many(config: CrawlConfig, store: DiskStore, fleet: Fleet) -> CeleryExecutor:
    """Many machines. What they laid down for an earlier run of this crawl, and nobody took in, is in the store then."""
    from crawler.depot import open_depot  # who has one machine does not pay for it
    from crawler.executors.celery import CeleryExecutor
    from crawler.fleet.broker import Broker

    where = fleet.store or store.depot
    if where is None:
        raise ConfigError(f"{store.folder.path} has no pages in a store yet; say with --store where they are to lie.")
    broker, depot = Broker(fleet.broker), open_depot(where)
    crawl = hashlib.blake2b(store.key, digest_size=8).hexdigest()
    executor = CeleryExecutor(broker, depot, config, _keep(config), crawl)
    try:
        store.keep_in(depot.url)
        earlier = frozenset(store.runs)
        store.begun_by(executor.run)
        for run, results in executor.left_behind(earlier):
            store.adopt(run, results)
        executor.swept(earlier)
    except BaseException:
        executor.close()
        raise
    return executor


def _sweep(store: DiskStore) -> None:
    """Leave nothing of our runs in the depot of a finished crawl but what rows point into, whatever was killed.

    Not where entries are still to come: rows of theirs may be laid down yet, and would point at nothing.
    """
    from crawler.depot import open_depot
    from crawler.packs import FOLDERS, names_of

    if store.depot is None or not store.finished:
        return
    with contextlib.suppress(CrawlerError):  # what is left there costs room, and nothing else
        depot = open_depot(store.depot)
        depot.delete(store.unneeded(names_of(depot, frozenset(store.runs), *FOLDERS)))
        depot.abandon()


def _record(
    source: Source,
    store: DiskStore,
    config: CrawlConfig,
    executor: Executor,
    done: Iterable[int],
    watch: Watch | None,
) -> bool:
    """Run the pipeline into the store, for all entries but those that are `done`; whether it came to its end."""
    pipeline = Pipeline(source, executor, config, store.key, done)
    logbook = Logbook(store.history, config)
    results = pipeline.run()
    try:
        for batch in results:
            for result in batch:
                store.add(result)
            logbook.follow(pipeline)
            if store.due(time.monotonic()):
                store.commit(_further(pipeline.feed.mark, store), history=logbook.kept())
                executor.recorded()
            if watch is not None and not watch(pipeline, batch):
                pipeline.stop()
        finished = pipeline.stops_at is None
        store.commit(_further(pipeline.feed.mark, store), finished=finished, history=logbook.end(pipeline))
        executor.recorded()
    except BaseException:
        # What came is worth keeping, if it still can be; but what ended the run is what its user must hear of.
        with contextlib.suppress(StoreError):
            store.commit(_further(pipeline.feed.mark, store), history=logbook.end(pipeline))
        raise
    finally:
        results.close()
        executor.close()
    return finished


def _further(mark: Mark | None, store: DiskStore) -> Any:
    """The input mark as JSON values; None where the list was read again, and not yet as far as was committed."""
    if mark is None or (store.mark is not None and mark.place < msgspec.convert(store.mark, Mark).place):
        return None
    return msgspec.to_builtins(mark)
