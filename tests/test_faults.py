"""Whatever dies, and whenever, the same command finishes the crawl; and the judge who says so can say otherwise."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import faults
import pytest
from faults.arena import Arena, arena, number_of, seed_of
from faults.judge import Snapshot, judge, read_rows
from faults.runner import SHORT_ENTRIES, run_case

CASES = {case.NAME: case for case in faults.cases()}
RUNS = [(name, number) for name, case in CASES.items() for number in range(case.SHORT)]


@pytest.mark.parametrize(("name", "number"), RUNS, ids=[f"{name}-{number}" for name, number in RUNS])
def test_the_promise(name: str, number: int) -> None:
    """After any fault the same command finishes the crawl: one row an entry, whole records, nothing fetched again."""
    ran = run_case(CASES[name], seed_of(4, name, number), SHORT_ENTRIES)

    assert [] == ran.violations


def test_seeds() -> None:
    """Each run of a case has a seed of its own, that counts on; the first is the base, so that any can be repeated."""
    seeds = [seed_of(4, "workers", number) for number in range(200)]

    assert 200 == len(set(seeds))
    assert [4 + number for number in range(200)] == [number_of(seed) for seed in seeds]
    assert seeds[0] == 4 == number_of(seed_of(seeds[7], "workers", 0)) - 7


def test_whatever_breaks_fails() -> None:
    """A case that raises, or that does not end, is a violation and no end of the harness."""
    waits = ModuleType("waits")
    waits.NAME, waits.BOUND_S, waits.run = "waits", 0.1, lambda place, seed: place.until(lambda: False)  # type: ignore[attr-defined]

    assert ["HungError: the run's bound is over"] == run_case(waits, 4, 1).violations


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """A crawl that came to its end without a fault."""
    with arena(tmp_path_factory.mktemp("whole"), 4, 60) as place:
        assert [] == place.complete()
        yield place


class TestJudge:
    """A judge that cannot fail is worth nothing."""

    @pytest.fixture
    def place(self, whole: Arena, tmp_path: Path) -> Arena:
        """A copy of a crawl that is whole, to be spoilt."""
        place = dataclasses.replace(whole, folder=tmp_path, snapshots=[], violations=[])
        for path in sorted(whole.out.rglob("*")):
            if path.is_file():
                copy = place.out / path.relative_to(whole.out)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
        return place

    def change(self, place: Arena, sql: str, *values: Any) -> None:
        with contextlib.closing(sqlite3.connect(place.out / "crawl.db")) as connection, connection:
            connection.execute(sql, values)

    def kinds(self, place: Arena, hits: dict[str, int] | None = None) -> set[str]:
        """The kinds of violations that are found."""
        found = judge(place.out, place.truths, {**place.hits(), **(hits or {})}, place.snapshots)
        return {text.partition(":")[0] for text in found}

    def page(self, place: Arena) -> dict[str, Any]:
        """A row with a page of some length."""
        rows = read_rows(place.out / "crawl.db").values()
        return next(
            dict(row) for row in rows if row["status"] == 200 and "/page/" in row["url"] and not row["redirects"]
        )

    def test_whole(self, place: Arena) -> None:
        """What is whole is not spoken against."""
        assert set() == self.kinds(place)

    def test_missing_row(self, place: Arena) -> None:
        """An entry without a row, whose record is nobody's."""
        self.change(place, "DELETE FROM pages WHERE seq = ?", self.page(place)["seq"])
        assert {"rows", "sums", "records"} == self.kinds(place)

    def test_doubled_row(self, place: Arena) -> None:
        """An entry with two rows."""
        self.change(place, "CREATE TABLE copy AS SELECT * FROM pages")
        self.change(place, "INSERT INTO copy SELECT * FROM pages WHERE seq = 7")
        self.change(place, "DROP TABLE pages")
        self.change(place, "ALTER TABLE copy RENAME TO pages")
        assert {"rows", "sums"} <= self.kinds(place)

    def test_row_of_nobody(self, place: Arena) -> None:
        """A row beyond the list."""
        self.change(place, "UPDATE pages SET seq = 61 WHERE seq = 60")
        assert "rows" in self.kinds(place)

    @pytest.mark.parametrize("column", ["outcome", "status", "error_class", "url"])
    def test_another_fate(self, place: Arena, column: str) -> None:
        """A row that says something else than the truth."""
        self.change(place, f"UPDATE pages SET {column} = 'other' WHERE seq = ?", self.page(place)["seq"])
        assert "fates" in self.kinds(place)

    def test_not_finished(self, place: Arena) -> None:
        """A crawl that does not say that it is finished."""
        self.change(place, "UPDATE meta SET value = 'false' WHERE key = 'finished'")
        assert {"sums"} == self.kinds(place)

    def test_wrong_body(self, place: Arena) -> None:
        """A row that points at the whole record of another entry."""
        row = self.page(place)
        self.change(
            place,
            "UPDATE pages SET (warc_file, warc_offset, warc_length, digest) = (SELECT warc_file, warc_offset, "
            "warc_length, digest FROM pages WHERE digest <> ? AND warc_file IS NOT NULL LIMIT 1) WHERE seq = ?",
            row["digest"],
            row["seq"],
        )
        assert {"bodies", "records"} == self.kinds(place)

    @pytest.mark.parametrize(("at", "by"), [("warc_offset", 1), ("warc_length", 1), ("warc_length", -1)])
    def test_beside_its_record(self, place: Arena, at: str, by: int) -> None:
        """A row that points beside its record."""
        self.change(place, f"UPDATE pages SET {at} = {at} + ? WHERE seq = ?", by, self.page(place)["seq"])
        assert {"bodies"} == self.kinds(place)

    @pytest.mark.parametrize("column", ["digest", "body_digest"])
    def test_wrong_digest(self, place: Arena, column: str) -> None:
        """A digest that is not its payload's."""
        self.change(place, f"UPDATE pages SET {column} = 'sha1:A' WHERE seq = ?", self.page(place)["seq"])
        assert {"bodies"} == self.kinds(place)

    def last(self, place: Arena) -> Path:
        return max((place.out / "warc").iterdir())

    def test_cut_archive(self, place: Arena) -> None:
        """An archive whose last record is not whole."""
        whole = self.last(place).read_bytes()
        self.last(place).write_bytes(whole[:-1])
        assert {"gzip", "end"} <= self.kinds(place)

    def test_longer_archive(self, place: Arena) -> None:
        """An archive that holds a record more than the rows have."""
        row = self.page(place)
        data = (place.out / "warc" / row["warc_file"]).read_bytes()
        self.last(place).write_bytes(
            self.last(place).read_bytes() + data[row["warc_offset"] : row["warc_offset"] + row["warc_length"]]
        )
        assert {"end", "records"} == self.kinds(place)

    def test_file_of_nobody(self, place: Arena) -> None:
        """A file beside those that were committed."""
        (place.out / "warc" / "00099.warc.gz").write_bytes(b"")
        assert {"files", "end"} <= self.kinds(place)

    def test_changed_byte(self, place: Arena) -> None:
        """A record whose payload is another than its digest says, in a gzip member that is whole."""
        row = self.page(place)
        path = place.out / "warc" / row["warc_file"]
        data, start, end = path.read_bytes(), row["warc_offset"], row["warc_offset"] + row["warc_length"]
        record = zlib.decompress(data[start:end], 31).replace(b"word1", b"wOrd1")
        pack = zlib.compressobj(wbits=31)
        path.write_bytes(data[:start] + pack.compress(record) + pack.flush() + data[end:])
        assert {"digests", "bodies"} <= self.kinds(place)

    def test_extra_hit(self, place: Arena) -> None:
        """A URL that was asked for more often than its row says, or never, or that stands in no list."""
        target = "/page/" + self.page(place)["url"].partition("/page/")[2]

        assert {"hits"} == self.kinds(place, {target: 2})
        assert {"hits"} == self.kinds(place, {target: 0})
        assert {"hits"} == self.kinds(place, {"/page/1?n=0": 1})

    def test_again(self, place: Arena) -> None:
        """A fault excuses a second request for what was not committed then, and none for what was."""
        row = self.page(place)
        target, rows = "/page/" + row["url"].partition("/page/")[2], read_rows(place.out / "crawl.db")
        others = {seq: found for seq, found in rows.items() if seq != row["seq"]}

        place.snapshots = [Snapshot(frozenset(others), others, place.hits())]
        assert set() == self.kinds(place, {target: 2})
        place.snapshots = [Snapshot(frozenset(rows), rows, place.hits())]
        assert {"hits", "again"} == self.kinds(place, {target: 2})

    def test_changed_row(self, place: Arena) -> None:
        """A row that was committed and is another now."""
        rows = read_rows(place.out / "crawl.db")
        place.snapshots = [Snapshot(frozenset(rows), rows, place.hits())]
        self.change(place, "UPDATE pages SET attempts = 2 WHERE seq = ?", self.page(place)["seq"])

        assert {"changes"} == self.kinds(place)
