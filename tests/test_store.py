"""The contract of all stores, and what the one on the disk adds: order, recovery, identity, lock."""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.errors import FolderError, StoreError
from crawler.records import Outcome, Result, Row
from crawler.store.archive import archive_files
from crawler.store.base import Store
from crawler.store.database import files_elsewhere, kind_of, open_reading, read_meta
from crawler.store.disk import DiskStore
from crawler.store.group import GROUP_BYTES, GROUP_ROWS, GROUP_SECONDS, Group
from crawler.store.identity import differences, seal, unseal
from crawler.store.memory import MemoryStore
from crawler.store.selection import Selection

INFO = gzip.compress(b"<warcinfo>", mtime=0)
IDENTITY: dict[str, Any] = {
    "max_body": 100,
    "header": (("Accept", "text/html"), ("X-Api-Key", "s3cret")),
    "method": "GET",
    "proxy": "http://u:s3cret@proxy.test:3128",
}


def members(page: bytes) -> tuple[bytes, bytes, bytes]:
    """The records of a page as a worker makes them: a redirect's, its own, its request's; a gzip member each."""
    first, own, request = (gzip.compress(data, mtime=0) for data in (b"<redirect>", page, b"<request>"))
    return first, own, request


def records(*pages: bytes) -> bytes:
    """The records of these pages, one behind the other."""
    return b"".join(b"".join(members(page)) for page in pages)


def result(seq: int, page: bytes | None = None, *, outcome: Outcome = "fetched", **fields: Any) -> Result:
    """A result, with a page's records or with none."""
    url = f"http://site.test/{seq}"
    row = Row(
        seq=seq,
        source="a.txt",
        source_line=seq,
        url=url,
        final_url=url,
        host="site.test",
        outcome=outcome,
        **fields,
    )
    if page is None:
        return Result(row)
    first, own, _ = members(page)
    return Result(row, records(page), record_at=len(first), record_length=len(own))


def open_disk(folder: Path, **settings: Any) -> DiskStore:
    """A store in `folder` under the identity that the tests share."""
    return DiskStore(folder, **{"identity": IDENTITY, "warcinfo": lambda name: INFO, **settings})


def rows_of(folder: Path, columns: str = "seq") -> list[Any]:
    """What another reader sees in `pages`."""
    with contextlib.closing(sqlite3.connect(folder / "crawl.db")) as connection:
        found = connection.execute(f"SELECT {columns} FROM pages ORDER BY seq").fetchall()
    return [row[0] if len(row) == 1 else row for row in found]


def record_of(folder: Path, seq: int) -> bytes:
    """The page that a row points at."""
    [(file, offset, length)] = [
        row[1:] for row in rows_of(folder, "seq, warc_file, warc_offset, warc_length") if row[0] == seq
    ]
    data = (folder / "warc" / str(file)).read_bytes()
    return gzip.decompress(data[offset : offset + length])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "out"


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, out: Path) -> Iterator[Store]:
    """Each store."""
    with contextlib.closing(open_disk(out) if request.param == "disk" else MemoryStore()) as store:
        yield store


class TestEveryStore:
    def test_counts_final_rows(self, store: Store) -> None:
        """Only a commit makes rows final, and each outcome is counted, also the ones that did not occur."""
        store.add(result(1))
        store.add(result(2, outcome="failed"))
        before = store.counts()
        store.commit()

        assert {"fetched": 0, "failed": 0, "denied": 0, "duplicate": 0, "invalid": 0} == before
        assert {"fetched": 1, "failed": 1, "denied": 0, "duplicate": 0, "invalid": 0} == store.counts()

    @pytest.mark.parametrize("committed_between", [False, True])
    def test_one_row_a_seq(self, store: Store, committed_between: bool) -> None:
        """The first result of a seq wins, in the same group or a later one; the second is not counted."""
        store.add(result(7, outcome="fetched"))
        if committed_between:
            store.commit()
        store.add(result(7, outcome="failed"))
        store.commit()

        assert (1, 0) == (store.counts()["fetched"], store.counts()["failed"])

    def test_keeps_the_mark(self, store: Store) -> None:
        """The input mark is what was committed last; a commit without one keeps it."""
        nothing = store.mark
        store.commit({"offset": 12, "hash": "ab"})
        store.add(result(1))
        store.commit()

        assert nothing is None
        assert {"offset": 12, "hash": "ab"} == store.mark

    def test_group_is_due_by_age(self, store: Store) -> None:
        """A group is due one second after it was first seen; an empty one never."""
        assert not store.due(0.0)
        store.add(result(1))
        assert not store.due(50.0)
        assert not store.due(50.9)
        assert store.due(51.0)
        store.commit()
        assert not store.due(99.0)

    def test_has_a_key(self, store: Store) -> None:
        """A crawl has 16 secret bytes."""
        assert 16 == len(store.key)

    def test_nothing_is_done_at_first(self, store: Store) -> None:
        """A new store has no earlier run."""
        assert [] == list(store.done())

    def test_a_retry_waits_for_what_it_names(self, store: Store) -> None:
        """By error class, by status, by both (either will do); by neither, all that failed. Never what has no URL."""
        store.add(result(1, status=200))
        store.add(result(2, status=404))
        store.add(result(3, status=503))
        store.add(result(4, outcome="failed", error_class="dns"))
        store.add(result(5, outcome="failed", error_class="incomplete", status=200))
        store.add(result(6, outcome="denied", error_class="scheme"))
        store.add(result(7, outcome="duplicate", duplicate_of=1))
        store.add(result(8, outcome="invalid", error_class="invalid_url"))
        store.commit()
        named: dict[Selection, list[int]] = {
            Selection(): [4, 5],
            Selection(errors=frozenset({"dns", "scheme"})): [4, 6],
            Selection(statuses=frozenset({(500, 599), (404, 404)})): [2, 3],
            Selection(frozenset({"dns"}), frozenset({(200, 299)})): [1, 4, 5],
            Selection(errors=frozenset({"invalid_url", "tls"})): [],
        }

        for selection, seqs in named.items():
            assert (len(seqs), seqs) == (store.retry(selection), [row.seq for row in store.pending()])

    @pytest.mark.parametrize("committed_between", [False, True])
    def test_a_retry_replaces_a_row_once(self, store: Store, committed_between: bool) -> None:
        """The old row stands until the commit, the first new one wins, and the counts are those of what stands."""
        store.add(result(1, outcome="failed"))
        store.add(result(2))
        store.commit()
        store.retry(Selection())
        store.add(result(1, b"new"))
        before = store.counts()["failed"], [row.outcome for row in store.pending()]
        if committed_between:
            store.commit()
        store.add(result(1, b"later", outcome="denied"))
        store.add(result(2, outcome="denied"))
        store.commit()

        assert (1, ["failed"]) == before
        assert {"fetched": 2, "failed": 0, "denied": 0, "duplicate": 0, "invalid": 0} == store.counts()
        assert (3, []) == (store.recorded, list(store.pending()))

    def test_a_retry_goes_on_until_nothing_waits(self, store: Store) -> None:
        """An equal selection goes on with what is left, and then begins anew; another one takes its place."""
        dns, tls = Selection(errors=frozenset({"dns"})), Selection(errors=frozenset({"tls"}))
        for seq in (1, 2):
            store.add(result(seq, outcome="failed", error_class="dns"))
        store.add(result(3, outcome="failed", error_class="tls"))
        store.commit()
        waiting = [store.retry(dns)]
        for seq in (1, 2):
            store.add(result(seq, outcome="failed", error_class="dns"))
            store.commit()
            waiting.append(store.retry(dns))
        waiting += [store.retry(tls), store.retry(dns)]

        assert [2, 1, 2, 1, 2] == waiting

    def test_closes_twice(self, store: Store) -> None:
        """Closing a closed store is harmless."""
        store.close()
        store.close()


def test_memory_rows_point_at_their_records() -> None:
    """The fake fills the same columns: a row of it points at its own record, too."""
    store = MemoryStore()
    store.add(result(1, b"first"))
    store.add(result(2, b"second"))
    store.commit()
    row = store.rows[2]

    assert row.warc_offset is not None
    assert row.warc_length is not None
    assert b"second" == gzip.decompress(store.archive[row.warc_offset : row.warc_offset + row.warc_length])


class TestGroup:
    @pytest.mark.parametrize(
        ("results", "due"),
        [
            ([result(seq) for seq in range(GROUP_ROWS)], True),
            ([result(seq) for seq in range(GROUP_ROWS - 1)], False),
            ([Result(result(1).row, bytes(GROUP_BYTES))], True),
            ([Result(result(1).row, bytes(GROUP_BYTES - 1))], False),
        ],
        ids=["rows", "fewer rows", "bytes", "fewer bytes"],
    )
    def test_due_by_size(self, results: list[Result], due: bool) -> None:
        """A group is due as soon as it has 2,000 rows or 8 MB."""
        group = Group()
        for one in results:
            group.add(one)

        assert due == group.due(0.0)
        assert group.due(GROUP_SECONDS)


class TestDisk:
    def test_rows_point_at_their_records(self, out: Path) -> None:
        """A row names file, offset and length of its own record; without a payload they are NULL."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, b"first"))
            store.add(result(2))
            store.add(result(3, b"third"))
            store.commit()

        assert (b"first", b"third") == (record_of(out, 1), record_of(out, 3))
        assert [(None, None, None)] == rows_of(out, "warc_file, warc_offset, warc_length")[1:2]
        assert INFO + records(b"first", b"third") == (out / "warc" / "00001.warc.gz").read_bytes()

    def test_columns_are_the_fields_of_a_row(self, out: Path) -> None:
        """`pages` has the fields of `Row`, in their order, with `seq` as its key."""
        open_disk(out).close()
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection:
            columns = connection.execute("PRAGMA table_info(pages)").fetchall()

        assert list(Row.__struct_fields__) == [column[1] for column in columns]
        assert ["seq"] == [column[1] for column in columns if column[5]]
        kinds = {column[1]: column[2] for column in columns}
        assert ("INTEGER", "REAL", "TEXT", "TEXT") == tuple(
            kinds[name] for name in ("status", "total_ms", "outcome", "truncated")
        )

    def test_no_payload_no_archive(self, out: Path) -> None:
        """Without bodies there are no WARC files, not even an empty one."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1))
            store.commit()

        assert not (out / "warc").exists()

    def test_order_of_writing(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """WARC append, fsync, SQLite commit: at the sync the bytes are in the file and no row is there."""
        seen: list[tuple[bytes, list[int]]] = []
        fdatasync = os.fdatasync

        def observed(descriptor: int) -> None:
            seen.append(((out / "warc" / "00001.warc.gz").read_bytes(), rows_of(out)))
            fdatasync(descriptor)

        monkeypatch.setattr(os, "fdatasync", observed)
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, b"one"))
            store.commit()
            store.add(result(2, b"two"))
            store.commit()

            assert [(INFO + records(b"one"), []), (INFO + records(b"one", b"two"), [1])] == seen
            assert [1, 2] == rows_of(out)

    def test_new_file_survives_power_loss(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A new file's folder is synced before the commit, and so is the folder's own entry in DIR."""
        synced: list[str] = []
        fsync = os.fsync

        def observed(descriptor: int) -> None:
            synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            fsync(descriptor)

        with contextlib.closing(open_disk(out)) as store:
            monkeypatch.setattr(os, "fsync", observed)
            store.add(result(1, b"one"))
            store.commit()

        assert ("out", "warc") == (synced[0], synced[-1])

    def test_few_writes(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The records of a group are joined: one write for many small ones."""
        writes: list[int] = []
        write = os.write

        def observed(descriptor: int, data: bytes) -> int:
            writes.append(len(data))
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", observed)
        with contextlib.closing(open_disk(out)) as store:
            for seq in range(1, 101):
                store.add(result(seq, b"record"))
            store.commit()

        assert [len(INFO) + 100 * len(records(b"record"))] == writes

    def test_short_writes_go_on(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write that takes only a part of the bytes (write(2)) is followed by one for the rest."""
        write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, b"a long record"))
            store.commit()

        assert b"a long record" == record_of(out, 1)

    def test_rotation(self, out: Path) -> None:
        """A file that would grow beyond its limit is followed by another, which begins with a warcinfo."""
        names: list[str] = []

        def warcinfo(name: str) -> bytes:
            names.append(name)
            return INFO

        room = len(INFO) + 2 * len(records(b"ten bytes")) - 1
        with contextlib.closing(open_disk(out, warcinfo=warcinfo, file_bytes=room)) as store:
            for seq in (1, 2, 3):
                store.add(result(seq, b"ten bytes"))
            store.commit()
        with contextlib.closing(open_disk(out, warcinfo=warcinfo, file_bytes=room)) as store:
            store.add(result(4, b"more bytes than a whole file may have"))
            store.commit()
            store.add(result(5, b"five"))
            store.commit()

        assert ["00001.warc.gz", "00002.warc.gz", "00003.warc.gz", "00004.warc.gz"] == names
        assert ["00001", "00002", "00003", "00003", "00004"] == [
            name.split(".")[0] for name in rows_of(out, "warc_file")
        ]
        assert b"more bytes than a whole file may have" == record_of(out, 4)
        assert b"five" == record_of(out, 5)

    def test_resume_appends(self, out: Path) -> None:
        """A second run goes on in the file of the first, knows its rows, its key and its mark."""
        with contextlib.closing(open_disk(out)) as store:
            key = store.key
            store.add(result(1, b"one"))
            store.commit([1, "mark"])
        with contextlib.closing(open_disk(out)) as store:
            assert (key, [1, "mark"], [1], 1) == (
                store.key, store.mark, list(store.done()), store.counts()["fetched"]
            )  # fmt: skip
            store.add(result(1, b"again"))
            store.add(result(2, b"two"))
            store.commit()

        assert INFO + records(b"one", b"two") == (out / "warc" / "00001.warc.gz").read_bytes()
        assert (b"one", b"two") == (record_of(out, 1), record_of(out, 2))

    def test_recovery_cuts_what_was_not_committed(self, out: Path) -> None:
        """At start the archive goes back to its committed end: a torn tail and later files are gone."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, b"one"))
            store.commit()
        first = out / "warc" / "00001.warc.gz"
        committed = first.read_bytes()
        first.write_bytes(committed + b"torn")
        (out / "warc" / "00002.warc.gz").write_bytes(b"uncommitted")
        (out / "warc" / "mine.txt").write_bytes(b"not the crawl's")
        open_disk(out).close()

        assert ["00001.warc.gz", "mine.txt"] == sorted(path.name for path in (out / "warc").iterdir())
        assert committed == first.read_bytes()

    def test_recovery_before_the_first_commit(self, out: Path) -> None:
        """What a run left that died before its first commit is deleted, and the first file is 00001."""
        open_disk(out).close()
        (out / "warc").mkdir()
        (out / "warc" / "00001.warc.gz").write_bytes(b"uncommitted")
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, b"one"))
            store.commit()

        assert INFO + records(b"one") == (out / "warc" / "00001.warc.gz").read_bytes()

    def test_a_lost_archive_is_refused(self, out: Path) -> None:
        """A crawl whose last archive file is gone is not written on: that was no disk's doing."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, b"one"))
            store.commit()
        (out / "warc" / "00001.warc.gz").unlink()

        with pytest.raises(FolderError, match=r"00001\.warc\.gz should hold \d+ bytes and is missing"):
            open_disk(out)
        open_disk(out, restart=True).close()

    def test_close_does_not_commit(self, out: Path) -> None:
        """What was added and not committed never happened."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, b"one"))

        assert [] == rows_of(out)
        assert not (out / "warc").exists()

    def test_what_is_adopted_is_an_earlier_runs(self, out: Path) -> None:
        """What it left elsewhere counts as done, too; each seq once, the first result of it."""
        with contextlib.closing(open_disk(out)) as store:
            store.adopt("run", [result(3), result(1)])
            store.adopt("run", [result(3, outcome="failed"), result(2)])

            assert ([1, 2, 3], 3) == (list(store.done()), store.counts()["fetched"])

    def test_done_is_what_earlier_runs_committed(self, out: Path) -> None:
        """`done` ascends whatever the order of commits, over many batches, without this run's rows."""
        with contextlib.closing(open_disk(out)) as store:
            for seq in itertools.chain(range(20_000, 0, -2), [30_001]):
                store.add(result(seq))
            store.commit()
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(40_000))
            store.commit()

            assert [*range(2, 20_001, 2), 30_001] == list(store.done())

    def test_mark_and_rows_are_one_transaction(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A commit that fails leaves neither the rows nor the mark, nor the counts."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1))
            store.commit("first")
            store.add(result(2, error=1 << 70))  # no SQLite value
            with pytest.raises(OverflowError):
                store.commit("second")
            assert ("first", 1) == (store.mark, store.counts()["fetched"])
        with contextlib.closing(open_disk(out)) as store:
            assert ("first", [1]) == (store.mark, list(store.done()))

    def test_a_commit_without_a_mark_reads_no_input(self, out: Path) -> None:
        """Whether the crawl is finished, and how far its input was read, only a commit with a mark changes."""
        for finished in (True, False):
            with contextlib.closing(open_disk(out)) as store:
                store.commit("mark", finished=finished)
                store.commit(finished=not finished)
            with contextlib.closing(open_reading(out / "crawl.db")) as reader:
                meta = read_meta(reader)
            assert ('"mark"', finished) == (meta["mark"], json.loads(meta["finished"]))

    def test_a_retry_outlives_its_run(self, out: Path) -> None:
        """What waits to be replaced, and for which selection, is on the disk from the moment that a retry begins."""
        with contextlib.closing(open_disk(out)) as store:
            for seq in range(1, 2_501):
                store.add(result(seq, b"old", outcome="failed"))
            store.commit()
            store.retry(Selection())
            store.add(result(7, b"new", outcome="failed"))
            store.commit()
        with contextlib.closing(open_disk(out)) as store:
            assert 2_499 == store.retry(Selection())
            assert [seq for seq in range(1, 2_501) if seq != 7] == [row.seq for row in store.pending()]
            assert 2_500 == len(list(store.done()))
        assert (b"old", b"new") == (record_of(out, 6), record_of(out, 7))

    def test_what_is_adopted_replaces_rows_of_its_own_retry_alone(self, out: Path) -> None:
        """Rows that other machines left are new, or of a run of this retry, or late: of a crawl, of another retry.

        Which it is, is known after a death, too; and the files that rows point into now, or did before a retry.
        """
        away = "warc/run/1.warc.gz"
        with contextlib.closing(open_disk(out)) as store:
            store.adopt("crawl", [result(seq, outcome="failed", warc_file=away) for seq in (1, 2)])
            store.retry(Selection())
            store.retried_by("mine")
        with contextlib.closing(open_disk(out)) as store:
            store.adopt("crawl", [result(1, outcome="failed"), result(3, outcome="denied")])
            left = [store.waiting(), store.retries(Selection()), store.retries(Selection(errors=frozenset({"dns"})))]
            store.adopt("mine", [result(1, outcome="failed"), result(2, outcome="failed")])
            left += [store.waiting(), store.retries(Selection())]
            store.begin_retry(Selection())
            store.adopt("mine", [result(1)])
            left.append(store.waiting())
            with contextlib.closing(open_reading(out / "crawl.db")) as reading:
                assert {away} == files_elsewhere(reading)
            assert ["warc/run/2.warc.gz"] == store.unneeded([away, "warc/run/2.warc.gz"])
            assert {"fetched": 0, "failed": 2, "denied": 1, "duplicate": 0, "invalid": 0} == store.counts()

        assert [2, True, False, 0, False, 2] == left

    def test_a_folder_from_before_there_were_retries(self, out: Path) -> None:
        """A crawl without the table gets it when it is opened."""
        open_disk(out).close()
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection:
            connection.execute("DROP TABLE retries")
            connection.execute("DROP TABLE replaced")
            assert set() == files_elsewhere(connection)
        with contextlib.closing(open_disk(out)) as store:
            assert 0 == store.retry(Selection())

    def test_text_without_utf8_is_recorded(self, out: Path) -> None:
        """A lone surrogate costs its row one escape, not the group its commit."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, error="odd \udcff text"))
            store.add(result(2))
            store.commit()

        assert ["odd \\udcff text", None] == rows_of(out, "error")

    def test_no_index_while_it_runs(self, out: Path) -> None:
        """An index that a reader has built is dropped when the crawl goes on."""
        open_disk(out).close()
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection:
            connection.execute("CREATE INDEX pages_by_url ON pages (url)")
        open_disk(out).close()
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection:
            assert [] == connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'pages_by%'").fetchall()

    def test_readers_do_not_stop_it(self, out: Path) -> None:
        """A reader in the middle of a query sees its snapshot, and the crawl commits on."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1))
            store.commit()
            with contextlib.closing(sqlite3.connect(out / "crawl.db", isolation_level=None)) as reader:
                reader.execute("BEGIN")
                before = reader.execute("SELECT count(*) FROM pages").fetchone()
                store.add(result(2))
                store.commit()

                assert before == reader.execute("SELECT count(*) FROM pages").fetchone()
        assert [1, 2] == rows_of(out)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 12), st.binary(max_size=12)),
        st.tuples(st.sampled_from(["commit", "die", "retry"]), st.just(0), st.binary(max_size=40)),
    ),
    max_size=30,
)


@given(_STEPS)
@settings(deadline=None)
def test_what_was_committed_stays_whatever_happens(steps: list[tuple[str, int, bytes]]) -> None:
    """After any adds, commits, retries and sudden ends, committed rows have their bytes, and no other row is there."""
    with tempfile.TemporaryDirectory() as name:
        out, final, group, waiting = Path(name), dict[int, bytes](), dict[int, bytes](), set[int]()
        store = open_disk(out, file_bytes=200)
        for step, seq, data in [*steps, ("die", 0, b"")]:
            if step == "add":
                store.add(result(seq, data, outcome="failed"))
                group.setdefault(seq, data)
            elif step == "commit":
                store.commit()
                final |= {seq: data for seq, data in group.items() if seq not in final or seq in waiting}
                waiting, group = waiting - group.keys(), {}
            elif step == "retry":
                waiting = waiting or set(final)
                assert len(waiting) == store.retry(Selection())
            else:
                store.close()
                for path in archive_files(out / "warc")[-1:]:
                    path.write_bytes(path.read_bytes() + data)
                store, group = open_disk(out, file_bytes=200), {}
        assert (waiting, len(final)) == ({row.seq for row in store.pending()}, store.counts()["failed"])
        store.close()

        assert final == {seq: record_of(out, seq) for seq in rows_of(out)}


class TestLimits:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (errno.ENOSPC, "the disk is full"),
            (errno.EIO, "the disk reports an error"),
            (errno.EACCES, "EACCES"),
        ],
    )
    @pytest.mark.parametrize("call", ["write", "fdatasync"])
    def test_an_archive_that_cannot_be_written(
        self, out: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, words: str
    ) -> None:
        """A StoreError names the limit and how to go on; no row is final; a later commit says it again."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1, b"one"))
            store.commit("first")
            with monkeypatch.context() as patch:
                patch.setattr(os, call, _failing(code))
                store.add(result(2, b"two"))
                with pytest.raises(StoreError, match=words) as caught:
                    store.commit("second")
            store.add(result(3, b"three"))
            with pytest.raises(StoreError, match=words):
                store.commit("third")

        assert "run the same command again" in str(caught.value)
        with contextlib.closing(open_disk(out)) as store:
            assert ("first", [1]) == (store.mark, list(store.done()))
            store.add(result(2, b"two"))
            store.commit()
        assert (b"one", b"two") == (record_of(out, 1), record_of(out, 2))

    def test_a_database_that_cannot_grow(self, out: Path) -> None:
        """SQLite's own limits are StoreErrors of the same form."""
        with contextlib.closing(open_disk(out)) as store:
            store._database._connection.execute("PRAGMA max_page_count = 10")
            for seq in range(1, 1000):
                store.add(result(seq))
            with pytest.raises(StoreError, match=r"SQLITE_FULL.*the disk is full.*run the same command again"):
                store.commit()

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE], ids=errno.errorcode.get)
    def test_a_folder_without_room(self, out: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        """Where the machine has no room, the advice is to make some: another folder would lose the crawl."""
        open_disk(out).close()
        with monkeypatch.context() as patch:
            patch.setattr("crawler.store.folder.os.open", _failing(code))
            with pytest.raises(StoreError, match="run the same command again"):
                open_disk(out)
        open_disk(out).close()

    def test_a_full_disk_makes_no_crawl_a_strange_one(self, out: Path) -> None:
        """A crawl can be read also where SQLite cannot make the file that it shares with writers."""
        with contextlib.closing(open_disk(out)) as store:
            store.add(result(1))
            store.commit()
        (out / "crawl.db-shm").mkdir()  # nobody can make a file there
        (out / "crawl.db-wal").touch()  # what a run leaves that got no further than this

        assert "crawl" == kind_of(out / "crawl.db")
        with contextlib.closing(open_reading(out / "crawl.db")) as connection:
            assert [(1,)] == connection.execute("SELECT seq FROM pages").fetchall()

    def test_tables_of_the_same_names_are_no_crawl(self, out: Path) -> None:
        """What has our tables and nothing of our own in them is somebody else's."""
        out.mkdir()
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection, connection:
            connection.execute("CREATE TABLE pages (seq)")
            connection.execute("CREATE TABLE meta (key, value)")

        with pytest.raises(FolderError, match="holds no crawl"):
            open_disk(out)

    def test_a_broken_database_is_no_strange_one(self, out: Path) -> None:
        """A database that cannot be read is not taken for somebody else's, and certainly not for none."""
        open_disk(out).close()
        data = (out / "crawl.db").read_bytes()
        (out / "crawl.db").write_bytes(data[:100] + bytes(len(data) - 100))

        with pytest.raises(StoreError, match="malformed"):
            open_disk(out)
        with pytest.raises(FolderError, match="cannot be read"):
            open_reading(out / "crawl.db")

    def test_a_broken_database_can_be_begun_anew(self, out: Path) -> None:
        """`restart`, which the error names, needs nothing of it; but it must be ours, by its name and its lock."""
        open_disk(out).close()
        data = (out / "crawl.db").read_bytes()
        (out / "crawl.db").write_bytes(data[:5_000])
        with pytest.raises(StoreError, match=r"malformed .* begin anew with --restart"):
            open_disk(out)
        (out / "crawl.lock").rename(out / "another.lock")
        with pytest.raises(StoreError, match="malformed"):
            open_disk(out, restart=True)
        (out / "another.lock").rename(out / "crawl.lock")
        open_disk(out, restart=True).close()

        assert [] == rows_of(out)


def _failing(code: int) -> Callable[..., int]:
    def call(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    return call


class TestFolder:
    def test_makes_its_parents(self, tmp_path: Path) -> None:
        """Missing parents are made."""
        open_disk(tmp_path / "a" / "b" / "out").close()

        assert (tmp_path / "a" / "b" / "out" / "crawl.db").is_file()

    def test_a_second_run_is_refused(self, out: Path) -> None:
        """One run at a time writes to a folder; afterwards the next one may."""
        with (
            contextlib.closing(open_disk(out)),
            pytest.raises(FolderError, match="Another run is writing to"),
        ):
            open_disk(out)
        open_disk(out).close()

    def test_a_refused_open_releases_the_lock(self, out: Path) -> None:
        """Who is refused for another reason leaves no lock behind."""
        open_disk(out).close()
        with pytest.raises(FolderError):
            open_disk(out, identity={})
        open_disk(out).close()

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        """A path that is a file, or leads through one, is refused in a sentence."""
        (tmp_path / "file").write_text("x")
        with pytest.raises(FolderError, match="is a file, not a folder"):
            open_disk(tmp_path / "file")
        with pytest.raises(FolderError, match="cannot hold a crawl: Not a directory"):
            open_disk(tmp_path / "file" / "out")

    def test_no_permission(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A folder that the system refuses is a FolderError (injected: root is refused nothing)."""
        monkeypatch.setattr(Path, "mkdir", _failing(errno.EACCES))
        with pytest.raises(FolderError, match="cannot hold a crawl: Permission denied"):
            open_disk(out)

    @pytest.mark.parametrize("restart", [False, True])
    @pytest.mark.parametrize("name", ["notes.txt", "warc/00001.warc.gz", "crawl.db"])
    def test_strangers_are_refused(self, out: Path, name: str, restart: bool) -> None:
        """A folder with contents that no crawl left is refused and untouched, restart or not."""
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("somebody else's")
        with pytest.raises(FolderError, match="is not empty and holds no crawl"):
            open_disk(out, restart=restart)

        assert [out / name] == [path for path in out.rglob("*") if path.is_file()]
        assert "somebody else's" == (out / name).read_text()

    def test_anothers_database_is_refused(self, out: Path) -> None:
        """A crawl.db with other tables is not ours."""
        out.mkdir()
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection:
            connection.execute("CREATE TABLE customers (name)")
        with pytest.raises(FolderError, match="holds no crawl"):
            open_disk(out, restart=True)

    def test_a_run_that_died_at_once_can_be_repeated(self, out: Path) -> None:
        """What a run leaves that was killed before it made its tables is an empty crawl."""
        out.mkdir()
        (out / "crawl.db").touch()
        (out / "crawl.lock").touch()
        with contextlib.closing(open_disk(out)) as store:
            assert [] == list(store.done())

    def test_restart_empties_only_what_is_the_crawls(self, out: Path) -> None:
        """`restart` deletes database, archive and spool; other files in the folder stay."""
        with contextlib.closing(open_disk(out)) as store:
            key = store.key
            store.add(result(1, b"one"))
            store.commit("mark")
        others = [out / "report.html", out / "warc" / "notes.txt", out / "warc" / "mine.warc.gz"]
        for path in others:
            path.write_text("keep")
        (out / "spool").mkdir()
        (out / "spool" / "stdin").write_text("standard input")
        with contextlib.closing(open_disk(out, restart=True, identity={"max_body": 1})) as store:
            assert (None, [], 0) == (store.mark, list(store.done()), store.counts()["fetched"])
            assert key != store.key

        assert ["keep", "keep", "keep"] == [path.read_text() for path in others]
        assert not (out / "spool").exists()
        assert not (out / "warc" / "00001.warc.gz").exists()

    def test_another_schema_is_refused(self, out: Path) -> None:
        """A crawl of another schema version is not written on."""
        open_disk(out).close()
        with contextlib.closing(sqlite3.connect(out / "crawl.db")) as connection, connection:
            connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
        with pytest.raises(FolderError, match="schema version 99"):
            open_disk(out)


class TestIdentity:
    def test_the_same_goes_on(self, out: Path) -> None:
        """The same settings resume, tuples or lists alike."""
        open_disk(out).close()
        open_disk(out, identity={**IDENTITY, "header": [list(pair) for pair in IDENTITY["header"]]}).close()

    def test_another_is_refused(self, out: Path) -> None:
        """The error names each field that differs with both values, and the ways out."""
        open_disk(out).close()
        with pytest.raises(FolderError) as caught:
            open_disk(out, identity={**IDENTITY, "max_body": 200, "method": "HEAD"})

        text = str(caught.value)
        assert 'max_body was 100 and is now 200; method was "GET" and is now "HEAD"' in text
        assert "--restart" in text
        assert "--out" in text
        assert "header" not in text

    def test_secrets_are_compared_and_never_written(self, out: Path) -> None:
        """Another secret is refused, but neither one is in the message or in any file."""
        open_disk(out).close()
        header = (("Accept", "text/html"), ("X-Api-Key", "0ther-secret"))
        with pytest.raises(FolderError) as caught:
            open_disk(out, identity={**IDENTITY, "header": header})

        text = str(caught.value)
        assert "header was [Accept: " in text
        assert "s3cret" not in text + str(caught.value.__context__)
        assert "0ther-secret" not in text
        written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
        assert b"s3cret" not in written
        assert b"0ther-secret" not in written

    def test_an_identity_comes_back_with_its_secrets(self) -> None:
        """Public values are known, secrets are taken from what is given again, under whatever case of their name."""
        sealed = seal(IDENTITY, b"k" * 16)
        identity = unseal(sealed, (("x-api-key", "s3cret"),), IDENTITY["proxy"], Path("out"))
        more = unseal(
            sealed, (("X-Api-Key", "s3cret"), ("Accept", "*/*"), ("Via", "x")), "http://p.test:1", Path("out")
        )

        assert IDENTITY == identity
        assert {
            **IDENTITY,
            "header": (("Accept", "*/*"), ("X-Api-Key", "s3cret"), ("Via", "x")),
            "proxy": "http://p.test:1",
        } == more
        with pytest.raises(FolderError, match=r"out was crawled with a header field X-Api-Key.*give it again with --h"):
            unseal(sealed, (("Accept", "text/html"),), IDENTITY["proxy"], Path("out"))
        with pytest.raises(FolderError, match=r"out was crawled through a proxy.*give it again with --proxy URL"):
            unseal(sealed, (("X-Api-Key", "s3cret"),), None, Path("out"))

    @given(st.text(min_size=1), st.text(min_size=1))
    def test_a_seal_tells_secrets_apart(self, one: str, other: str) -> None:
        """Two identities differ exactly when their secrets do, under the same key."""
        sealed = [seal({"proxy": f"http://u:{text}@p.test"}, b"k" * 16) for text in (one, other)]

        assert (one != other) == bool(differences(*sealed))

    def test_a_setting_of_another_version(self) -> None:
        """A field that only one of two identities has is named."""
        assert ["new was not set and is now 1"] == differences({}, {"new": 1})
        assert ["old was 1 and is now not set"] == differences({"old": 1}, {})
