"""The contract of all sources: the same entries, whatever the format, the compression and the number of files."""

from __future__ import annotations

import itertools
import lzma
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lists import FORMATS, PACKINGS, Row, entries_of, write

from crawler.errors import InputError
from crawler.records import Entry, Request
from crawler.sources import open_urls
from crawler.sources.base import Mark, Source
from crawler.sources.cutter import Layout
from crawler.sources.iterable import IterableSource
from crawler.sources.several import Several

_TEXT = st.text(
    st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" \",;|\t\\'#{["), min_size=1, max_size=12
)
_URLS = _TEXT.map(lambda text: f"http://{text}/x")
_ROWS = st.lists(st.fixed_dictionaries({"id": _TEXT, "url": _URLS, "label": _TEXT | st.just("")}), max_size=9)
_EVERY = list(itertools.product(FORMATS, PACKINGS))
_TABLES = [(form, packing) for form, packing in _EVERY if form != "txt"]

Open = Callable[[list[Row]], Source]


@pytest.fixture(params=[*map("".join, _EVERY), "-", "objects", "several"])
def open_rows(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Makes a source, of each kind that there is, of some rows."""
    kind = request.param

    def open_source(rows: list[Row]) -> Source:
        if kind == "objects":
            return IterableSource([row["url"] for row in rows], name="a list")
        if kind == "several":
            return open_urls(
                [write(tmp_path, rows[at : at + 2], "csv", name=f"{at}") for at in range(0, len(rows), 2)], tmp_path
            )
        if kind == "-":
            return _piped(b"".join(f"{row['url']}\n".encode() for row in rows), tmp_path / "spool")
        form, _, packing = kind.partition(".")
        return open_urls(write(tmp_path, rows, form, f".{packing}" if packing else ""), tmp_path)

    return open_source


def _piped(data: bytes, spool: Path) -> Source:
    """A standard input with this data."""
    from crawler.sources.standard_input import StandardInput

    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return StandardInput(spool, fd=reading)


def _rows(count: int, first: int = 1) -> list[Row]:
    return [{"id": str(n), "url": f"http://a.test/{n}", "label": "x"} for n in range(first, first + count)]


def test_entries(open_rows: Open) -> None:
    """Entries are numbered from `first_seq`, name their source, and come with the line or row that they stand in."""
    source = open_rows(_rows(7))
    source.first_seq = 5
    entries = entries_of(source)
    assert [f"http://a.test/{n}" for n in range(1, 8)] == [entry.request.url for entry in entries]
    assert [*range(5, 12)] == [entry.seq for entry in entries]
    assert 12 == source.next_seq
    assert all(entry.source and entry.problem is None for entry in entries)
    assert max(entry.source_line for entry in entries) <= 8


def test_marks(open_rows: Open) -> None:
    """What was read holds as long as the input begins with it, and survives JSON; the mark moves with the batches."""
    source = open_rows(_rows(7))
    entries_of(source)
    mark = source.mark()
    assert mark is not None
    assert mark == msgspec.json.decode(msgspec.json.encode(mark), type=Mark)
    assert mark.plain
    again = open_rows(_rows(7))
    whole = again.check(mark)
    assert whole in (True, False)
    assert 7 == len(entries_of(again))
    assert mark == again.mark()


@pytest.mark.parametrize(("form", "packing"), _EVERY)
def test_lines_that_are_added(form: str, packing: str, tmp_path: Path) -> None:
    """A list that has grown at its end goes on, one that was changed or cut is refused in a sentence that names it."""
    source = open_urls(write(tmp_path, _rows(7), form, packing), tmp_path)
    entries_of(source)
    mark = source.mark()
    assert mark is not None
    assert source.check(mark)
    assert not open_urls(write(tmp_path, _rows(8), form, packing), tmp_path).check(mark)
    for changed in (_rows(7, first=2), _rows(6)):
        other = open_urls(write(tmp_path, changed, form, packing), tmp_path)
        with pytest.raises(InputError, match=rf"list\.{form}{packing} differs from what this crawl began with"):
            other.check(mark)


def test_files_that_are_added(tmp_path: Path) -> None:
    """Files may follow, and lines in the last one that was begun; a file before that must stay what it was."""
    paths = [write(tmp_path, _rows(3, first=n * 3), form, name=str(n)) for n, form in enumerate(FORMATS)]
    source = open_urls(paths[:3], tmp_path)
    entries_of(source)
    mark = source.mark()
    assert mark is not None
    assert (3, 9) == (mark.files, source.next_seq - 1)
    assert open_urls(paths[:3], tmp_path).check(mark)
    assert not open_urls(paths, tmp_path).check(mark)
    write(tmp_path, _rows(4, first=6), "tsv", name="2")
    assert not open_urls(paths, tmp_path).check(mark)
    for other in (paths[:2], [paths[1], paths[0], *paths[2:]]):
        with pytest.raises(InputError, match="One of the first 3 files differs"):
            open_urls(other, tmp_path).check(mark)
    write(tmp_path, _rows(4), "txt", name="0")
    with pytest.raises(InputError, match="One of the first 3 files differs"):
        open_urls(paths, tmp_path).check(mark)


def test_a_mark_of_one_format_is_none_of_another(tmp_path: Path) -> None:
    """The same bytes read as another format are another list."""
    path = write(tmp_path, _rows(3), "csv")
    source = open_urls(path, tmp_path)
    entries_of(source)
    mark = source.mark()
    assert mark is not None
    with pytest.raises(InputError, match="differs"):
        open_urls(path, tmp_path, Layout("txt")).check(mark)


@settings(deadline=None)  # it writes files
@given(rows=_ROWS.filter(bool), which=st.sampled_from(_TABLES), block=st.sampled_from([1, 7, 65_536]))
def test_any_rows(rows: list[Row], which: tuple[str, str], block: int) -> None:
    """Whatever stands in the rows, each format says the same of them: URL, problem, and what is carried."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(carry=("label", "id"))
        source = open_urls(write(Path(folder), rows, *which), Path(folder), layout)
        found = entries_of(source)
        expected = entries_of(IterableSource([Request(row["url"]) for row in rows]))
        assert _said(expected) == _said(found)
        carried = [{"label": row["label"], "id": row["id"]} for row in rows]
        assert carried == [entry.request.extra for entry in found]


def _said(entries: list[Entry]) -> list[tuple[int, str, str | None]]:
    return [(entry.seq, entry.request.url, entry.problem) for entry in entries]


@pytest.mark.parametrize(("form", "packing"), [each for each in _EVERY if each[1]])
def test_damage_at_every_byte(form: str, packing: str, tmp_path: Path) -> None:
    """An archive that is cut or spoiled anywhere is refused in one sentence that names it, before its first entry.

    (A changed byte in gzip's own header, its date for one, is no damage.)
    """
    path = write(tmp_path, _rows(9), form, packing)
    data = path.read_bytes()
    expected = entries_of(open_urls(path, tmp_path))
    step = 1 if form != "parquet" else 97
    spoiled = (data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :] for at in range(0, len(data), step))
    for bad in itertools.chain((data[:at] for at in range(0, len(data), step)), spoiled):
        path.write_bytes(bad)
        source = open_urls(path, tmp_path)
        assert isinstance(source, Several)
        said = _complaint(source)
        assert re.match(rf".*list\.{form}{packing} is (damaged|no Parquet)[^\n]* mend it", said) or not said
        if not said:
            assert expected == entries_of(source)


def _complaint(source: Several) -> str:
    try:
        source.probe()
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("form", "packing"), [each for each in _EVERY if each[1] and each[0] != "parquet"])
def test_what_came_before_the_damage(form: str, packing: str, tmp_path: Path) -> None:
    """Of an archive that is cut in its middle all whole lines are entries, and the sentence names the last of them."""
    path = write(tmp_path, _rows(20_000), form, packing)
    path.write_bytes(path.read_bytes()[:-20])
    source = open_urls(path, tmp_path)
    found: list[Entry] = []
    said = r"list\.\S+ is damaged behind line [\d,]+: its \S+ stream is cut; mend it"
    with pytest.raises(InputError, match=said) as caught:
        found.extend(entry for batch in source for entry in batch)
    assert len(found) > 10_000
    assert f"behind line {found[-1].source_line:,}:" in str(caught.value)
    mark = source.mark()
    assert mark is not None
    open_urls(write(tmp_path, _rows(20_000), form, packing), tmp_path).check(mark)


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_streams_one_after_the_other(packing: str, tmp_path: Path) -> None:
    """Compressed files that were joined are one list; what else stands behind one is damage, but for padding."""
    one, two = (PACKINGS[packing](f"http://{name}.test/\n".encode()) for name in "ab")
    path = tmp_path / f"list.txt{packing}"
    path.write_bytes(one + PACKINGS[packing](b"") + two + (bytes(100_000) if packing == ".gz" else b""))
    assert ["http://a.test/", "http://b.test/"] == [
        entry.request.url for entry in entries_of(open_urls(path, tmp_path))
    ]
    path.write_bytes(one + b"junk")
    with pytest.raises(InputError, match="behind the end of a stream stands no"):
        entries_of(open_urls(path, tmp_path))


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_bombs(packing: str, tmp_path: Path) -> None:
    """An archive that unpacks to a thousand times its size comes in blocks, and its endless line is one bad entry."""
    path = tmp_path / f"list.txt{packing}"
    path.write_bytes(PACKINGS[packing](b"x" * 50_000_000 + b"\nhttp://a.test/\n"))
    source = open_urls(path, tmp_path)
    assert [True, False] == [entry.problem is not None for entry in entries_of(source)]
    assert source.position == source.total_bytes == path.stat().st_size


def test_the_content_tells_what_is_compressed(tmp_path: Path) -> None:
    """A file is unpacked, or read as Parquet, whatever its name, where its first bytes tell."""
    for name, data in [("a.txt", PACKINGS[".gz"](b"http://a.test/1\n")), ("b", FORMATS["parquet"](_rows(1)))]:
        (tmp_path / name).write_bytes(data)
        assert ["http://a.test/1"] == [entry.request.url for entry in entries_of(open_urls(tmp_path / name, tmp_path))]


def test_standard_input_is_told_what_it_is(tmp_path: Path) -> None:
    """A stream of an archive is refused by its first bytes, however they are cut."""
    for data in (PACKINGS[".gz"](b"x"), PACKINGS[".zst"](b"x"), FORMATS["parquet"](_rows(1)), lzma.compress(b"x")):
        with pytest.raises(InputError, match=r"- is (gzip|zstd|Parquet|xz) and no text"):
            entries_of(_piped(data, tmp_path / "spool"))
        (tmp_path / "spool").unlink()


def test_folders_and_patterns(tmp_path: Path) -> None:
    """A folder is all lists in it, sorted, a pattern what matches it; a file that is named twice is read once."""
    deep = tmp_path / "lists" / "deep"
    deep.mkdir(parents=True)
    paths = [write(folder, _rows(1), "csv", packing, name) for folder, packing, name in
             [(tmp_path / "lists", "", "b"), (deep, ".gz", "a"), (tmp_path / "lists", ".zst", "c")]]  # fmt: skip
    (tmp_path / "lists" / "notes.md").write_text("no list")
    write(tmp_path / "lists", _rows(1), "csv", name=".hidden")
    everything = sorted(map(str, paths))
    for named in (tmp_path / "lists", [tmp_path / "lists", paths[0]]):
        assert everything == sorted({entry.source for entry in entries_of(open_urls(named, tmp_path))})
    matched = open_urls(str(tmp_path / "lists" / "?.csv*"), tmp_path)
    assert [str(paths[0]), str(paths[2])] == [entry.source for entry in entries_of(matched)]


def test_paths_and_urls_are_told_apart(tmp_path: Path) -> None:
    """A list of paths is files, a list of strings is URLs; both at once, or names where URLs are meant, is refused."""
    path = write(tmp_path, _rows(1), "txt")
    assert isinstance(open_urls([path], tmp_path), Several)
    assert isinstance(open_urls(["list.txt"], tmp_path), IterableSource)
    with pytest.raises(InputError, match="either paths or URLs"):
        open_urls([path, "http://a.test/"], tmp_path)  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"is read as a URL here; to read files give their paths: \[Path\("):
        open_urls([str(path)], tmp_path)
