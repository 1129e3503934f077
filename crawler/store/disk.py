"""The store on the disk: WARC files and SQLite, in the one order that leaves no row without its bytes."""

from __future__ import annotations

import contextlib
import datetime
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from crawler.errors import FolderError, StoreError
from crawler.records import OUTCOMES, Outcome, Result, Row
from crawler.store.archive import FILE_BYTES, Archive
from crawler.store.database import COLUMNS, SCHEMA_VERSION, Database, kind_of, open_reading
from crawler.store.folder import CrawlFolder
from crawler.store.group import Group
from crawler.store.identity import differences, seal
from crawler.store.limits import writing
from crawler.store.repair import is_whole, whole_end
from crawler.store.selection import Selection
from crawler.version import __version__

_DONE_ROWS = 10_000
_PENDING_ROWS = 1_000
_PENDING = f"""SELECT {", ".join(COLUMNS)} FROM retries CROSS JOIN pages USING (seq)
    WHERE seq > ? ORDER BY seq LIMIT ?"""  # noqa: S608 - the names of a struct's fields
_SEQ = COLUMNS.index("seq")
_OUTCOME = COLUMNS.index("outcome")


class DiskStore:
    """The store of `crawl run`: a `CrawlFolder`, opened or made, locked until `close`.

    `identity` are the settings that must match those of the crawl's first run; `warcinfo` makes the gzip
    member that begins a WARC file of a given name; `restart` empties a folder that holds a crawl. Raises
    FolderError where the folder, its crawl or its lock do not allow that.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        identity: Mapping[str, Any],
        warcinfo: Callable[[str], bytes],
        restart: bool = False,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self.folder = CrawlFolder(Path(folder))
        self._archive = Archive(self.folder.warc, warcinfo=warcinfo, limit_bytes=file_bytes)
        self._group = Group()
        self._broken: StoreError | None = None
        self.recorded = 0
        self.repaired = 0
        """How many rows lost their records, and were deleted, because the archive's end was damaged."""
        with contextlib.ExitStack() as undo:
            undo.callback(self.folder.release)
            with writing(self.folder.path):
                self.folder.claim(though_damaged=restart)
                if restart:
                    self.folder.clear()
                self._database = Database(self.folder.database)
                undo.callback(self._database.close)
                self._recover(identity)
            undo.pop_all()

    @property
    def key(self) -> bytes:
        """See `Store.key`."""
        return bytes.fromhex(self._meta["key"])

    @property
    def mark(self) -> Any:
        """See `Store.mark`."""
        return json.loads(self._meta["mark"])

    @property
    def history(self) -> str | None:
        """See `Store.history`."""
        return self._meta.get("history")

    @property
    def finished(self) -> bool:
        """Whether every entry of the input up to `mark` had its row when that was committed."""
        return bool(json.loads(self._meta["finished"]))

    def done(self) -> Iterator[int]:
        """See `Store.done`. The iterator has a connection of its own, so it may run in another thread."""
        # A batch at a time: one long read would keep the write-ahead log from ever being emptied.
        query = "SELECT seq FROM pages WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        last, batch = 0, [(0,)] if self._done_until else []
        with contextlib.closing(open_reading(self.folder.database)) as connection:
            while batch:
                batch = connection.execute(query, (last, self._done_until, _DONE_ROWS)).fetchall()
                for (last,) in batch:
                    yield last

    def retry(self, selection: Selection) -> int:
        """See `Store.retry`. It is on the disk when this returns: only then the first row may be replaced."""
        if not self.retries(selection):
            self.begin_retry(selection)
        return self.waiting()

    def retries(self, selection: Selection) -> bool:
        """Whether a retry of that selection was begun, and rows wait for it."""
        return self._meta.get("retry") == selection.text and self.waiting() > 0

    def begin_retry(self, selection: Selection) -> None:
        """Let the rows that `selection` names wait to be replaced, and no others."""
        with writing(self.folder.path):
            self._database.begin_retry(selection)
            self._meta |= {"retry": selection.text, "retry_runs": "[]"}

    def waiting(self) -> int:
        """How many rows wait to be replaced."""
        with writing(self.folder.path):
            return self._database.pending()

    @property
    def runs(self) -> list[str]:
        """The runs on many machines that there were."""
        return self._runs_in("runs")

    def begun_by(self, run: str) -> None:
        """Note that this run on many machines is ours, with all that it leaves behind."""
        self._note_run("runs", run)

    def retried_by(self, run: str) -> None:
        """Note that what this run on many machines leaves behind is of the retry that was begun."""
        self._note_run("retry_runs", run)

    def _runs_in(self, key: str) -> list[str]:
        return list(json.loads(self._meta.get(key, "[]")))

    def _note_run(self, key: str, run: str) -> None:
        self._meta[key] = json.dumps([*self._runs_in(key), run])
        with writing(self.folder.path):
            self._database.note({key: self._meta[key]})

    def pending(self) -> Iterator[Row]:
        """See `Store.pending`. The iterator has a connection of its own, so it may run in another thread."""
        last = 0
        with contextlib.closing(open_reading(self.folder.database)) as connection:
            while rows := connection.execute(_PENDING, (last, _PENDING_ROWS)).fetchall():
                yield from (Row(*values) for values in rows)
                last = rows[-1][_SEQ]

    @property
    def depot(self) -> str | None:
        """Where the pages are that lie in no archive of ours; None where there is no such place."""
        return self._meta.get("depot")

    def keep_in(self, depot: str) -> None:
        """Note where the pages are that lie in no archive of ours; raises FolderError where others lie elsewhere."""
        before = self._meta.setdefault("depot", depot)
        if before != depot:
            raise FolderError(
                f"{self.folder.path} has pages in the store {before}; give that one with --store, or another --out."
            )
        with writing(self.folder.path):
            self._database.note({"depot": depot})

    def unneeded(self, names: Iterable[str]) -> list[str]:
        """Those names of objects in the depot into which no row points, nor did before a retry."""
        with writing(self.folder.path):
            return self._database.unneeded(names)

    def adopt(self, run: str, results: Iterable[Result]) -> None:
        """Make results final that an earlier `run` had left elsewhere: for `done` they are that run's.

        They replace rows that wait for it only where that run was of the same retry.
        """
        results = list(results)
        may_replace = run in self._runs_in("retry_runs")
        known = {} if may_replace else self._database.recorded(result.row.seq for result in results)
        for result in results:
            if result.row.seq not in known:
                self.add(result)
        self.commit()
        self._done_until = self._database.last_seq()

    def add(self, result: Result) -> None:
        """See `Store.add`."""
        self._group.add(result)

    def due(self, now: float) -> bool:
        """See `Store.due`."""
        return self._group.due(now)

    def commit(self, mark: Any = None, *, finished: bool = False, history: str | None = None) -> None:
        """See `Store.commit`. After a StoreError the store is of no more use: every commit raises one."""
        if self._broken is not None:
            raise self._broken
        self._broken = StoreError(
            f"A commit to {self.folder.path} was interrupted; run the same command again, "
            "it goes on from what was committed."
        )
        try:
            with writing(self.folder.path):
                # 1. The archive's bytes, 2. on the disk, 3. then the rows that point at them.
                results, replaced = self._wanted(self._group.take())
                rows = self._append(results)
                self._archive.sync()
                self._commit(rows, replaced, self._changes(mark, finished, history))
        except StoreError as error:
            self._broken = error
            raise
        self._broken = None

    def counts(self) -> dict[Outcome, int]:
        """See `Store.counts`."""
        return dict(self._counts)

    def forget(self) -> None:
        """Delete what was made here, as if there had been no crawl; then only `close` is left."""
        self._group.take()
        with writing(self.folder.path):
            self._archive.close()
            self._database.close()
            self.folder.clear()

    def close(self) -> None:
        """See `Store.close`."""
        self._group.take()
        try:
            with writing(self.folder.path):
                self._archive.close()
                self._database.close()
        finally:
            self.folder.release()

    def _recover(self, identity: Mapping[str, Any]) -> None:
        """Begin the crawl, or check that it is ours and go back to what was committed."""
        if kind_of(self.folder.database) == "none":
            self._database.create(_first_meta(identity))
        self._meta = self._database.meta()
        self._refuse_another(identity)
        self._archive.cut(*self._committed_end())
        self._counts: dict[Outcome, int] = json.loads(self._meta["counts"])
        self._done_until = self._database.last_seq()
        self._database.make_retries()
        self._database.drop_indexes()

    def _committed_end(self) -> tuple[str | None, int]:
        """The archive's last file and its length, as committed; or to where it is whole, if the disk broke its word."""
        file, length = self._meta["warc_file"], int(self._meta["warc_length"])
        path = self.folder.warc / file
        if not file or not path.is_file() or is_whole(path, int(self._meta.get("warc_tail", length)), length):
            return file or None, length
        end = whole_end(path, self._database.records_of(file))
        left = (file, end) if end else self._archive.before(file)
        meta = {"warc_file": left[0] or "", "warc_length": str(left[1]), "warc_tail": str(left[1])}
        self.repaired = self._database.unrecord(file, end, meta)
        self._meta = self._database.meta()
        return left

    def _refuse_another(self, identity: Mapping[str, Any]) -> None:
        path, version = self.folder.path, self._meta["schema_version"]
        if version != SCHEMA_VERSION:
            raise FolderError(
                f"{path} has schema version {version} and this program writes {SCHEMA_VERSION}; "
                "choose another --out, or empty it with --restart."
            )
        changed = differences(json.loads(self._meta["identity"]), seal(identity, self.key))
        if changed:
            raise FolderError(
                f"{path} holds a crawl with other settings: {'; '.join(changed)}; "
                "give the same ones, or choose another --out, or empty it with --restart."
            )

    def _wanted(self, results: dict[int, Result]) -> tuple[list[Result], list[Outcome]]:
        """The results that are new, or replace a row that waits for it; and the outcomes of the rows replaced."""
        known = self._database.recorded(results) if results else {}
        wanted = [result for seq, result in results.items() if seq not in known or known[seq][1]]
        return wanted, [outcome for outcome, waits in known.values() if waits]

    def _append(self, results: list[Result]) -> list[tuple[Any, ...]]:
        """The archive takes the results' payloads; returns their rows, complete."""
        rows = []
        for result in results:
            values = msgspec.structs.astuple(result.row)
            if result.payload:
                file, offset = self._archive.append(result.payload)
                values = (*values[:-3], file, offset + result.record_at, result.record_length)
            rows.append(values)
        return rows

    def _changes(self, mark: Any, finished: bool, history: str | None) -> dict[str, str]:
        """What `meta` is to hold besides the counts and the archive's end."""
        meta = {"mark": json.dumps(mark), "finished": json.dumps(finished)} if mark is not None else {}
        return meta | ({"history": history} if history is not None else {})

    def _commit(self, rows: list[tuple[Any, ...]], replaced: list[Outcome], changes: Mapping[str, str]) -> None:
        counts = dict(self._counts)
        for row in rows:
            counts[row[_OUTCOME]] += 1
        for outcome in replaced:
            counts[outcome] -= 1
        meta = {
            "counts": json.dumps(counts),
            "warc_file": self._archive.file or "",
            "warc_length": str(self._archive.length),
            "warc_tail": str(self._archive.tail),
            **changes,
        }
        self._database.commit(rows, meta)
        self._meta |= meta
        self._counts = counts
        self.recorded += len(rows)


def _first_meta(identity: Mapping[str, Any]) -> dict[str, str]:
    key = secrets.token_bytes(16)
    return {
        "schema_version": SCHEMA_VERSION,
        "software_version": __version__,
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "identity": json.dumps(seal(identity, key)),
        "key": key.hex(),
        "mark": "null",
        "counts": json.dumps(dict.fromkeys(OUTCOMES, 0)),
        "finished": "false",
        "warc_file": "",
        "warc_length": "0",
        "warc_tail": "0",
    }
