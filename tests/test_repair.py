"""An archive whose end the disk has lost or spoiled: what is whole stays, what is not is fetched again."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import TEXT_HEADERS, member, open_store, result
from test_store import INFO, records

from crawler.store.repair import Recorded, is_whole, whole_end

PAGES = [b"the first page", b"the second one", b"the third and last"]
MEMBERS = [member(page, TEXT_HEADERS) for page in PAGES]


def begin(folder: Path) -> Path:
    """A finished crawl of three pages and an entry that failed; its archive."""
    with contextlib.closing(open_store(folder)) as store:
        for seq, record in enumerate(MEMBERS, 1):
            store.add(result(seq, f"http://site.test/{seq}", record))
            store.commit({"offset": seq})
        store.add(result(4, "http://site.test/4", outcome="failed", error_class="dns"))
        store.commit({"offset": 4}, finished=True)
    return folder / "warc" / "00001.warc.gz"


def tail_of(folder: Path) -> int:
    """Where the last page's records begin in the archive."""
    with contextlib.closing(sqlite3.connect(folder / "crawl.db")) as connection:
        return int(connection.execute("SELECT value FROM meta WHERE key = 'warc_tail'").fetchone()[0])


def check(folder: Path, archive: Path) -> set[int]:
    """The seqs that are recorded after a recovery: all of them whole, in an archive that is whole."""
    with contextlib.closing(open_store(folder)) as store:
        done, counts, repaired = set(store.done()), store.counts(), store.repaired
    data = archive.read_bytes() if archive.exists() else b""
    gzip.decompress(data)
    with contextlib.closing(sqlite3.connect(folder / "crawl.db")) as connection:
        found = connection.execute("SELECT seq, warc_offset, warc_length FROM pages WHERE warc_file IS NOT NULL")
        for seq, offset, length in found.fetchall():
            assert gzip.decompress(MEMBERS[seq - 1]) == gzip.decompress(data[offset : offset + length])
        (finished,) = connection.execute("SELECT value FROM meta WHERE key = 'finished'").fetchone()
    assert 4 - len(done) == repaired
    assert {"fetched": len(done) - 1, "failed": 1} == {name: counts[name] for name in ("fetched", "failed")}
    assert (finished == "true") == (not repaired)
    return done


@pytest.fixture
def crawl(tmp_path: Path) -> tuple[Path, Path]:
    """A crawl's folder, and its archive."""
    return tmp_path, begin(tmp_path)


@pytest.fixture
def again(crawl: tuple[Path, Path]) -> Iterator[Callable[[], None]]:
    """Puts the crawl back as it was."""
    folder, archive = crawl
    before = archive.read_bytes(), (folder / "crawl.db").read_bytes()

    def put_back() -> None:
        archive.write_bytes(before[0])
        (folder / "crawl.db").write_bytes(before[1])

    return put_back


def test_cut_at_every_byte(crawl: tuple[Path, Path], again: Callable[[], None]) -> None:
    """Wherever the archive ends, rows stand whose records are whole, and only they; the others are fetched again."""
    folder, archive = crawl
    data, tail = archive.read_bytes(), tail_of(folder)
    for length in range(tail + 1, len(data)):
        again()
        archive.write_bytes(data[:length])
        assert {1, 2, 4} == check(folder, archive)
    for length, left in ((tail, {1, 2, 4}), (tail - 1, {1, 4}), (len(data) // 10, {4}), (3, {4}), (0, {4})):
        again()
        archive.write_bytes(data[:length])
        assert left == check(folder, archive)


def test_a_flip_at_every_byte(crawl: tuple[Path, Path], again: Callable[[], None]) -> None:
    """A byte of the last page's records that has changed costs that page its row, or did no harm to it."""
    folder, archive = crawl
    data, tail = archive.read_bytes(), tail_of(folder)
    kept = 0
    for at in range(tail, len(data)):
        again()
        archive.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        done = check(folder, archive)
        kept += 3 in done
        assert done in ({1, 2, 4}, {1, 2, 3, 4})
    assert kept < 3 * 7  # the time, level and system of each of three heads, which say nothing of the content


def test_the_crawl_goes_on(crawl: tuple[Path, Path]) -> None:
    """What was lost is recorded again behind what is whole."""
    folder, archive = crawl
    archive.write_bytes(archive.read_bytes()[:-1])
    with contextlib.closing(open_store(folder)) as store:
        store.add(result(3, "http://site.test/3", MEMBERS[2]))
        store.commit({"offset": 4}, finished=True)

    assert {1, 2, 3, 4} == check(folder, archive)


def test_a_file_without_its_beginning_is_begun_anew(tmp_path: Path) -> None:
    """A last file of which not even the first record is whole goes, and the crawl goes on behind the one before."""
    small = {"file_bytes": 300}
    with contextlib.closing(open_store(tmp_path, **small)) as store:
        for seq, record in enumerate(MEMBERS, 1):
            store.add(result(seq, f"http://site.test/{seq}", record))
        store.commit()
    files = sorted((tmp_path / "warc").iterdir())
    files[-1].write_bytes(b"")
    with contextlib.closing(open_store(tmp_path, **small)) as store:
        lost = {1, 2, 3} - set(store.done())
        for seq in lost:
            store.add(result(seq, f"http://site.test/{seq}", MEMBERS[seq - 1]))
        store.commit()

    assert {3} == lost
    assert files == sorted((tmp_path / "warc").iterdir())
    assert all(gzip.decompress(path.read_bytes()).startswith(b"WARC/1.1\r\nWARC-Type: warcinfo") for path in files)


def test_a_sound_archive_is_read_at_its_end_alone(crawl: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of the check is the last page, however long the archive is."""
    folder, archive = crawl
    asked: list[tuple[int, int]] = []

    def observed(path: Path, start: int, end: int) -> bool:
        asked.append((start, end))
        return is_whole(path, start, end)

    monkeypatch.setattr("crawler.store.disk.is_whole", observed)
    tail = tail_of(folder)
    open_store(folder).close()

    assert [(tail, archive.stat().st_size)] == asked


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.data())
def test_whole_end(tmp_path_factory: pytest.TempPathFactory, pages: list[bytes], data: st.DataObject) -> None:
    """Of any archive that is cut anywhere, the end of the last page that is whole is found, and nothing behind it."""
    path = tmp_path_factory.mktemp("whole") / "archive"
    whole = [INFO, *(records(page) for page in pages)]
    starts = [sum(map(len, whole[:n])) for n in range(len(whole) + 1)]
    length = data.draw(st.integers(0, starts[-1]))
    path.write_bytes(b"".join(whole)[:length])
    recorded = [Recorded(start, 3) for start in reversed(starts[1:-1])]

    assert max(start for start in starts if start <= length) == whole_end(path, recorded)
    assert (length == starts[-1]) == is_whole(path, starts[-2], starts[-1])
