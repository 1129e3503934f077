"""Where entries come from: text files, standard input, the caller's objects."""

from __future__ import annotations

import asyncio
import datetime
import io
import os
import re
import tempfile
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawler.errors import InputError, StoreError
from crawler.escape import printable
from crawler.records import Entry, Request
from crawler.sources.base import LONGEST, Mark, Source
from crawler.sources.iterable import AsyncSource, IterableSource
from crawler.sources.lines import Lines
from crawler.sources.spool import Spool
from crawler.sources.standard_input import StandardInput
from crawler.sources.text import TextSource, check_prefix

_PIECES = st.sampled_from(
    [b"http://a/", b"#", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff", b"\x00", b"\xc3\xa9",
     b"\xe2", b"\xc2\xa0", b"x" * 40_000, b" " * 40_000]
)  # fmt: skip
_NO_TEXTS = (  # UTF-16, archives and other files: refused
    b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PAR1",
    b"BZh", b"\xfd7zXZ\0", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"SQLite format 3\0", b"%PDF-",
)  # fmt: skip


def _is_text(data: bytes) -> bool:
    """Whether it is none of what is refused, nor becomes it with a few bytes more."""
    return not any(data and (data.startswith(mark) or mark.startswith(data)) for mark in _NO_TEXTS)


_TEXTS = (st.binary(max_size=60) | st.lists(_PIECES, max_size=12).map(b"".join)).filter(_is_text)


def entries_of(source: Iterable[list[Entry]]) -> list[Entry]:
    """All entries of a source."""
    return [entry for batch in source for entry in batch]


def urls_of(source: Iterable[list[Entry]]) -> list[str]:
    """The URLs of a source."""
    return [entry.request.url for entry in entries_of(source)]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """The data in blocks."""
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes, size: int) -> list[Entry]:
    """The entries of a text that comes in blocks of this size."""
    lines = Lines("list")
    return [entry for block in cut(data, size) for entry in lines.feed(block)] + lines.finish()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes a list."""

    def write_list(data: bytes) -> Path:
        path = tmp_path / "list.txt"
        path.write_bytes(data)
        return path

    return write_list


Write = Callable[[bytes], Path]


def test_text(write: Write) -> None:
    """Blank lines and comments count as lines alone; an entry has no white space or BOM around it."""
    path = write(b"\xef\xbb\xbf a.com \r\n\r\n# b.com\n\thttp://c.com/\xc3\xa9\n  #d\n\xc2\xa0e.com\rf.com")
    source: Source = TextSource(path, first_seq=5)
    assert (path.stat().st_size, None, 0, 5) == (
        source.total_bytes, source.length, source.position, source.next_seq
    )  # fmt: skip
    expected = [(5, 1, "a.com"), (6, 4, "http://c.com/é"), (7, 6, "e.com"), (8, 7, "f.com")]
    entries = entries_of(source)
    assert expected == [(entry.seq, entry.source_line, entry.request.url) for entry in entries]
    assert {(str(path), None)} == {(entry.source, entry.problem) for entry in entries}
    assert (path.stat().st_size, 9) == (source.position, source.next_seq)


@pytest.mark.parametrize(
    ("line", "shown", "problem"),
    [
        (b"a\xff.com", "a\\xff.com", "UTF-8"),
        (b"a\x00b", "a\\x00b", "control"),
        (b"a\tb", "a\\x09b", "control"),
        (b"a\x7f", "a\\x7f", "control"),
        (b"\x1c\xc3\xa9", "\\x1cé", "control"),
        (b"a\xc2\x85", "a\\x85", "control"),
        (b"x" * (LONGEST + 1), "x" * 1_999 + "…", "longer"),
        (b"\xff" * (LONGEST + 1), "\\xff" * 499 + "\\xf…", "longer"),
    ],
)
def test_problems(line: bytes, shown: str, problem: str) -> None:
    """A line that cannot be a URL is an entry with a problem and a printable URL, bounded in length."""
    (entry,) = read(line + b"\n", 1_000)
    assert shown == entry.request.url
    assert problem in str(entry.problem)


@pytest.mark.parametrize(
    "line", [b"x" * LONGEST, b" " * 10**6 + b"x" * LONGEST + b" " * 10**6, b"#" * 10**6, b" " * 10**6]
)
def test_not_too_long(line: bytes) -> None:
    """White space around an entry does not count, and comments and blank lines may have any length."""
    assert [None] * (b"x" in line) == [entry.problem for entry in read(line, 10_000)]


def test_a_long_line_is_never_held() -> None:
    """Of a line without end no more is held than an entry may have."""
    lines = Lines("list")
    for _ in range(100):
        assert [] == lines.feed(b"x" * 100_000)
        assert len(lines._rest) <= LONGEST + 2
    assert [(1, True), (2, False)] == [(entry.source_line, entry.problem is not None) for entry in lines.feed(b"\na\n")]


@settings(deadline=None)  # some texts are long
@given(data=_TEXTS, size=st.integers(1, 9) | st.sampled_from([1_000, 65_536, 10**6]))
@example(data=b"\xef\xbb\xbf" + b"x" * LONGEST + b"\r\nx", size=40_000)
@example(data=b" " * LONGEST + b"\r#", size=LONGEST + 1)
@example(data=b"x" * LONGEST + b"   \r\n", size=LONGEST + 2)
def test_any_blocks(data: bytes, size: int) -> None:
    """Any bytes in any blocks are the same entries: one for each line that is neither blank nor a comment."""
    if len(data) > 1_000:
        size = max(size, 1_000)
    entries = read(data, size)
    assert read(data, len(data) or 1) == entries
    lines = [line.strip() for line in re.split(rb"\r\n|\r|\n", data.removeprefix(b"\xef\xbb\xbf"))]
    kept = [at for at, line in enumerate(lines, 1) if not _is_nothing(line)]
    assert kept == [entry.source_line for entry in entries]
    assert list(range(1, len(kept) + 1)) == [entry.seq for entry in entries]
    assert all(printable(entry.request.url) == entry.request.url for entry in entries if entry.problem)


def _is_nothing(line: bytes) -> bool:
    if line[:1] in (b"", b"#"):
        return True
    text = line.decode(errors="replace")
    bad = len(line) > LONGEST or "\ufffd" in text or any(unicodedata.category(each) == "Cc" for each in text)
    return not bad and text.strip()[:1] in ("", "#")


@settings(deadline=None)
@given(data=_TEXTS, size=st.integers(1, 9), more=st.binary(max_size=5))
def test_marks(data: bytes, size: int, more: bytes) -> None:
    """A mark covers exactly the lines that were yielded, and holds while the text begins with these alone."""
    if len(data) > 1_000:
        size *= 7_000
    lines = Lines("list")
    entries: list[Entry] = []
    for block in [*cut(data, size), None]:
        entries += lines.finish() if block is None else lines.feed(block)
        mark = lines.mark()
        assert entries == read(data[: mark.offset], 10**6)
        check_prefix(io.BytesIO(data), mark, "list")
    assert len(data) == lines.mark().offset
    grows = data[-1:] not in (b"", b"\r", b"\n") and more[:1] not in (b"", b"\r", b"\n")
    assert grows != _holds(data + more, lines.mark())
    if data:
        assert not _holds(data[:-1], lines.mark())
        assert not _holds(bytes([data[0] ^ 1]) + data[1:], lines.mark())


def _holds(data: bytes, mark: Mark) -> bool:
    try:
        check_prefix(io.BytesIO(data), mark, "list")
    except InputError:
        return False
    return True


def test_mark_of_a_batch(write: Write) -> None:
    """While a file is read, the mark stands behind the batch that came last, and survives JSON."""
    source = TextSource(write(b"a\nbb\nccc\ndddd"), block=4)
    marks = [(batch[-1].request.url, msgspec.json.encode(source.mark())) for batch in source]
    offsets = [(url, msgspec.json.decode(mark, type=Mark).offset) for url, mark in marks]
    assert [("a", 2), ("bb", 5), ("ccc", 9), ("dddd", 13)] == offsets


def test_check(write: Write) -> None:
    """Lines that are appended are fine, what was changed is refused in a sentence that names the file."""
    source = TextSource(write(b"a\nb"))
    entries_of(source)
    mark = source.mark()
    source.check(mark)
    TextSource(write(b"a\nb\nc\n")).check(mark)
    for changed in (b"a\nbc\n", b"a\nc", b"a\n", b""):
        with pytest.raises(InputError, match=r"list\.txt differs"):
            TextSource(write(changed)).check(mark)


def test_bad_files(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read as a list is refused when the source is made, in a sentence that names it."""
    os.mkfifo(tmp_path / "pipe")
    utf16 = write("http://a.com".encode("utf-16"))
    cases = {
        "none.txt": "does not exist",
        ".": "a folder",
        "pipe": "regular",
        utf16.name: "UTF-16",
        "a\0": "opened",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            TextSource(tmp_path / name)
    denied = PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(denied))
    with pytest.raises(InputError, match=r"list\.txt may not be read"):
        TextSource(utf16)


def test_io_errors(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails in the middle is an InputError too."""
    source = TextSource(write(b"a\n"))

    class Broken(io.BytesIO):
        name = "list.txt"

        def read(self, _: int | None = None) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("crawler.sources.text.open_list", lambda _: Broken())
    with pytest.raises(InputError, match=r"list\.txt cannot be read on \(Input/output error\)"):
        entries_of(source)


def test_empty(write: Write) -> None:
    """An empty list has no entries."""
    for data in (b"", b"\n\n", b"\xef\xbb\xbf", b"# a"):
        assert [] == list(TextSource(write(data)))


class Pipe:
    """Standard input as a test sees it: what is written can be read, and nothing more."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()

    def send(self, data: bytes) -> None:
        os.write(self.write_fd, data)

    def end(self) -> None:
        os.close(self.write_fd)


def piped(spool: Path, data: bytes) -> list[str]:
    """The URLs of a standard input with this data."""
    pipe = Pipe()
    pipe.send(data)
    pipe.end()
    try:
        return urls_of(StandardInput(spool, fd=pipe.read_fd))
    finally:
        os.close(pipe.read_fd)


def kept(spool: Path) -> bytes:
    """What a spool holds of standard input."""
    with Spool(spool) as file:
        return b"".join(file.blocks())


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where standard input is kept."""
    return tmp_path / "input"


def test_partial_lines_flow(spool: Path) -> None:
    """Entries that are complete are yielded at once, spooled before, while the producer pauses."""
    pipe = Pipe()
    source: Source = StandardInput(spool, fd=pipe.read_fd)
    batches = iter(source)
    for sent, expected in [(b"a\nb\nht", ["a", "b"]), (b"tp://c\r\nd", ["http://c"])]:
        pipe.send(sent)
        assert expected == [entry.request.url for entry in next(batches)]
        assert spool.read_bytes().endswith(sent)
    assert 14 == getattr(source.mark(), "offset", None)
    pipe.end()
    assert ["d"] == urls_of(batches)
    assert b"a\nb\nhttp://c\r\nd\n" == kept(spool)
    assert (16, 5) == (source.position, source.next_seq)
    os.close(pipe.read_fd)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (b"a\nb\n", b"", ["a", "b"]),
        (b"a\nb\n", b"a\n", ["a", "b"]),
        (b"a\nb\n", b"a\nb\n", ["a", "b"]),
        (b"a\nb\n", b"a\nb\nc\n", ["a", "b", "c"]),
        (b"a\nb", b"a\nb\nc", ["a", "b", "c"]),
        (b"a\nb", b"a\nb", ["a", "b"]),
        (b"a\rb\r", b"", ["a", "b"]),
        (b"", b"", []),
        (b"", b"a", ["a"]),
    ],
)
def test_resume(spool: Path, before: bytes, now: bytes, expected: list[str]) -> None:
    """A resumed crawl has the spool's entries first, then what standard input adds to them."""
    piped(spool, before)
    assert expected == piped(spool, now)
    assert expected == piped(spool, b"")


@pytest.mark.parametrize(
    ("now", "expected"),
    [(b"", ["a"]), (b"a\n", ["a"]), (b"a\nhtt", ["a", "htt"]), (b"a\nhttp", ["a", "http"])],
)
def test_resume_of_a_cut_line(spool: Path, now: bytes, expected: list[str]) -> None:
    """A line that was cut when the crawl was interrupted is an entry only when its end comes."""
    with Spool(spool) as file:
        file.append(b"a\nhtt")
    assert expected == piped(spool, now)


@pytest.mark.parametrize("now", [b"a\nc\n", b"x", b"a\nbc\n"])
def test_resume_with_another_list(spool: Path, now: bytes) -> None:
    """Another standard input is refused, one whose last line has grown too."""
    piped(spool, b"a\nb")
    with pytest.raises(InputError, match="Standard input differs"):
        piped(spool, now)


def test_check_of_the_spool(spool: Path) -> None:
    """A mark holds for the spool that it was made of, and not for one that was lost."""
    pipe = Pipe()
    pipe.send(b"a\nb")
    pipe.end()
    source = StandardInput(spool, fd=pipe.read_fd)
    entries_of(source)
    mark = source.mark()
    source.check(mark)
    spool.unlink()
    with pytest.raises(InputError, match="differs"):
        source.check(mark)
    os.close(pipe.read_fd)


def test_standard_input_that_waits_without_blocking(spool: Path) -> None:
    """A stream that somebody made non-blocking is waited for."""
    pipe = Pipe()
    os.set_blocking(pipe.read_fd, False)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(urls_of(StandardInput(spool, fd=pipe.read_fd))), daemon=True)
    reader.start()
    pipe.send(b"a\n")
    pipe.end()
    reader.join(60)
    assert ["a"] == found
    os.close(pipe.read_fd)


def test_bad_standard_input(spool: Path, tmp_path: Path) -> None:
    """A closed stream is refused at once; a spool that cannot be written is the store's error."""
    pipe = Pipe()
    pipe.end()
    os.close(pipe.read_fd)
    with pytest.raises(InputError, match="closed"):
        StandardInput(spool, fd=pipe.read_fd)
    with pytest.raises(StoreError, match="cannot be opened"):
        piped(tmp_path / "none" / "input", b"a")
    with pytest.raises(InputError, match="UTF-16"):
        piped(spool, "http://a".encode("utf-16"))


def test_streams_that_break(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that cannot be read is an InputError, a disk that is full is the store's error."""

    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("crawler.sources.standard_input.os.fdatasync", fail)
        with pytest.raises(StoreError, match=r"input cannot be written \(No space left on device\)"):
            piped(spool, b"b\n")
    with monkeypatch.context() as patched:
        patched.setattr("crawler.sources.standard_input.os.read", fail)
        with pytest.raises(InputError, match="Standard input cannot be read"):
            piped(spool, b"a\n")


@settings(deadline=None)  # it syncs files
@given(
    data=st.binary(max_size=60).filter(_is_text),
    cut_at=st.integers(0, 80),
    junk=st.one_of(st.binary(max_size=40), st.just(bytes(40))),
)
def test_interrupted_anywhere(data: bytes, cut_at: int, junk: bytes) -> None:
    """Wherever the spool was cut, and whatever stands there instead, every entry is found from the same input."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "input"
        expected = [entry.request.url for entry in read(data, 100)]
        assert expected == piped(spool, data)
        spool.write_bytes(spool.read_bytes()[:cut_at] + junk)
        assert expected == piped(spool, data)
        assert expected == piped(spool, b"")


def test_list() -> None:
    """A list has a length and comes in batches; its entries are numbered and stripped."""
    request = Request("b.com", "POST", {"A": "b"}, b"body", {"k": [1]})
    source: Source = IterableSource([" a.com\n", request, ""], first_seq=3)
    assert (3, None) == (source.length, source.total_bytes)
    (batch,) = list(source)
    assert [
        Entry(3, "<list>", 1, Request("a.com")),
        Entry(4, "<list>", 2, request),
        Entry(5, "<list>", 3, Request("")),
    ] == batch
    assert (6, 3) == (source.next_seq, source.position)
    assert [1_000, 500] == [len(batch) for batch in IterableSource(("a",) * 1_500)]


@pytest.mark.parametrize(
    ("item", "shown", "problem"),
    [
        (b"http://a/", "b'http://a/'", "bytes"),
        (5, "5", "int"),
        (None, "None", "NoneType"),
        (["a"], "['a']", "list"),
        ("a\nb", "a\\x0ab", "control"),
        ("\ud800", "\\xed\\xa0\\x80", "UTF-8"),
        ("x" * (LONGEST + 1), "x" * 1_999 + "…", "longer"),
        (Request("a\x00"), "a\\x00", "control"),
        (Request(5), "5", "url"),  # type: ignore[arg-type]
        (Request("a", headers={"a": 1}), "a", "headers"),  # type: ignore[dict-item]
        (Request("a", body="x"), "a", "body"),  # type: ignore[arg-type]
        (Request("a", extra={"a": object()}), "a", "object"),
        (Request("a", method="GET\r\nX: y"), "a", "method"),
    ],
)
def test_items(item: Any, shown: str, problem: str) -> None:
    """Whatever stands in a list is an entry; what cannot be sent has a problem, and a printable URL."""
    ((entry,),) = IterableSource([item])
    assert (shown, True) == (entry.request.url, problem in str(entry.problem))


def test_items_that_raise() -> None:
    """An object without a representation is an entry too."""

    class Bad:
        def __repr__(self) -> str:
            raise ValueError

    ((entry,),) = IterableSource([Bad()])
    assert "Bad" in str(entry.problem)


def test_generator() -> None:
    """A generator is pulled one at a time, for the next item may have to be waited for."""
    pulled: list[int] = []

    def urls() -> Iterator[str]:
        for number in range(3):
            pulled.append(number)
            yield f"{number}.com"

    source = IterableSource(urls())
    assert (None, "<iterable>") == (source.length, source.name)
    assert ["0.com"] == [entry.request.url for entry in next(iter(source))]
    assert [0] == pulled
    assert ["1.com", "2.com"] == urls_of(source)


def test_one_url_is_no_list() -> None:
    """A lone URL where a list is expected is refused, and not read letter by letter."""
    for lone in ("http://a/", b"http://a/", Request("http://a/")):
        with pytest.raises(InputError, match=r"\[url\]"):
            IterableSource(lone)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6), st.booleans())
def test_marks_of_objects(before: list[str], now: list[str], lazily: bool) -> None:
    """Objects are those that a crawl began with, or more; others raise, before one behind the mark is yielded."""
    first = IterableSource(before)
    list(first)
    source = IterableSource(iter(now) if lazily else now)
    mark = first.mark()
    assert mark is not None
    source.check(mark)
    if now[: len(before)] == before:
        assert now == [entry.request.url for batch in source for entry in batch]
    else:
        yielded: list[str] = []
        with pytest.raises(InputError, match="differs"):
            yielded += (entry.request.url for batch in source for entry in batch)
        assert len(yielded) < max(len(before), 1)


def test_a_mark_of_a_file_is_none_of_objects(write: Write) -> None:
    """A crawl of a list of objects does not go on with a file, nor the other way round, though the URLs agree."""
    objects, file = IterableSource(["a", "b"]), TextSource(write(b"a\nb\n"))
    list(objects), list(file)
    of_objects, of_file = objects.mark(), file.mark()
    assert of_objects is not None
    with pytest.raises(InputError):
        TextSource(write(b"a\nb\n")).check(of_objects)
    other = IterableSource(["a", "b"])
    other.check(of_file)
    with pytest.raises(InputError):
        list(other)


def test_extra_is_json() -> None:
    """What a caller gives along is what JSON makes of it, before it travels; what JSON cannot say is a problem."""
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    items = [Request("a", extra={"when": when, "raw": b"x", "n": float("nan")}), Request("a", extra={"n": 2**70})]
    ((entry, bad),) = IterableSource(items)

    assert {"when": "2026-01-02T00:00:00Z", "raw": "eA==", "n": None} == entry.request.extra
    assert "cannot be sent" in str(bad.problem)


async def _numbers(loops: list[asyncio.AbstractEventLoop]) -> AsyncIterator[str]:
    for number in range(3):
        loops.append(asyncio.get_running_loop())
        yield f"{number}.com"


async def test_async_on_a_loop() -> None:
    """An asynchronous iterable is pulled on the caller's loop, while a reader thread iterates."""
    loops: list[asyncio.AbstractEventLoop] = []
    source: Source = AsyncSource(_numbers(loops), asyncio.get_running_loop(), first_seq=4)
    batches = await asyncio.to_thread(list, source)
    assert [[4], [5], [6]] == [[entry.seq for entry in batch] for batch in batches]
    assert {asyncio.get_running_loop()} == set(loops)


def test_async_without_a_loop() -> None:
    """Without a loop the source runs its own."""
    assert ["0.com", "1.com", "2.com"] == urls_of(AsyncSource(_numbers([])))


def test_chained(write: Write) -> None:
    """Sources that follow one another go on counting."""
    sources: list[Source] = [
        TextSource(write(b"a\n\nb\n")),
        IterableSource(["c"]),
        IterableSource(iter("de")),
    ]
    seqs: list[int] = []
    next_seq = 1
    for source in sources:
        source.first_seq = next_seq
        seqs += [entry.seq for entry in entries_of(source)]
        next_seq = source.next_seq
    assert ([1, 2, 3, 4, 5], 6) == (seqs, next_seq)
