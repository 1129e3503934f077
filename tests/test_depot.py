"""The contract of all depots, and what a machine lays down in them."""

from __future__ import annotations

import gzip
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from buckets import BUCKET, running_buckets
from scripted import state

from crawler.depot import open_depot
from crawler.depot.base import Depot
from crawler.depot.s3 import S3Depot
from crawler.errors import ConfigError, StoreError
from crawler.packs import Packer, chunk_of, read_pack, write_pack
from crawler.records import Result, row_of


@pytest.fixture(scope="module")
def buckets() -> Iterator[dict[str, str]]:
    with running_buckets() as environment:
        yield environment


@pytest.fixture(params=["folder", "s3"])
def depot(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Depot:
    if request.param == "folder":
        return open_depot(str(tmp_path / "shared"))
    for name, value in request.getfixturevalue("buckets").items():
        monkeypatch.setenv(name, value)
    return open_depot(f"s3://{BUCKET}/{tmp_path.name}")


def test_what_was_laid_down_is_there(depot: Depot, tmp_path: Path) -> None:
    """All of it, part of it, and again under the same name; from memory or from a file of any length."""
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 50_000)
    depot.put("a/one", b"first")
    depot.put("a/one", b"second")
    depot.put("a/large", large)

    assert (b"second", b"con", large.read_bytes()) == (
        depot.get("a/one"),
        depot.read("a/one", 2, 3),
        depot.get("a/large"),
    )
    assert bytes(range(256)) == depot.read("a/large", 256 * 40_000, 256)


def test_what_is_not_there(depot: Depot) -> None:
    """It is None as a whole, and an error where somebody points into it; deleting it is none."""
    depot.delete(["no/such", "no/other"])

    assert depot.get("no/such") is None
    with pytest.raises(FileNotFoundError):
        depot.read("no/such", 0, 1)


def test_names_are_listed_by_folder(depot: Depot) -> None:
    """With their sizes, below the prefix alone, and not after they were deleted."""
    for name in ("rows/1/a", "rows/1/b", "rows/12/c", "warc/1/a"):
        depot.put(name, name.encode())
    before = sorted(depot.sizes("rows/1/"))
    depot.delete(["rows/1/a"])

    assert [("rows/1/a", 8), ("rows/1/b", 8)] == before
    assert {("rows/1/b", 8), ("rows/12/c", 9), ("warc/1/a", 8)} == set(depot.sizes(""))
    assert [] == list(depot.sizes("nothing/"))


def test_a_depot_that_cannot_be_used_says_so(depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, without a secret in it."""
    if depot.url.startswith("s3"):
        depot = open_depot("s3://no-such-bucket/x")
    else:
        (tmp_path / "shared").write_text("a file")
    with pytest.raises(StoreError) as caught:
        depot.put("a", b"")

    assert "\n" not in str(caught.value)
    assert "secret-of-a-test" not in str(caught.value)


def test_no_reader_sees_half_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not whole has no name, and leaves nothing behind where writing it failed."""
    depot = open_depot(str(tmp_path / "shared"))

    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StoreError, match="No space left"):
        depot.put("a", b"x")

    assert [] == list(depot.sizes(""))
    assert [] == [path for path in (tmp_path / "shared").rglob("*") if stat.S_ISREG(path.stat().st_mode)]


def test_what_broke_off_is_abandoned(depot: Depot, tmp_path: Path) -> None:
    """Who dies while he lays something down leaves a file without a name; what has one stays."""
    depot.put("a", b"x")
    left = tmp_path / "shared" / ".unfinished" / "0123"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"half")
    depot.abandon()
    depot.put("b", b"y")

    assert [("a", 1), ("b", 1)] == sorted(depot.sizes(""))
    assert isinstance(depot, S3Depot) or not left.exists()


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "a//b", ""])
def test_no_name_leads_out_of_a_folder(name: str, tmp_path: Path) -> None:
    """Names come through the broker."""
    depot = open_depot(str(tmp_path / "shared"))
    for use in (lambda: depot.put(name, b"x"), lambda: depot.get(name), lambda: depot.delete([name])):
        with pytest.raises(StoreError, match="is no name in the store"):
            use()


def test_credentials_from_the_usual_file(
    buckets: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the environment has none."""
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = from-a-file\naws_secret_access_key = s\n")
    for name, value in buckets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    depot = open_depot(f"s3://{BUCKET}/{tmp_path.name}")
    depot.put("a", b"x")

    assert b"x" == depot.get("a")


@pytest.mark.parametrize("where", ["gs://bucket/x", "redis://a"])
def test_a_store_that_nobody_knows(where: str) -> None:
    """It is refused, with what can be written."""
    with pytest.raises(ConfigError, match="write s3://bucket/prefix, or a folder"):
        open_depot(where)


def packer(folder: Path) -> Packer:
    return Packer("run", 7, "attempt", "machine", lambda name: gzip.compress(name.encode(), mtime=0), folder)


def result(seq: int, payload: bytes = b"") -> Result:
    row = row_of(state(seq=seq), "fetched", status=200)
    return Result(row, payload, record_at=2 if payload else 0, record_length=len(payload[2:]))


def test_rows_point_into_the_file_beside_them(depot: Depot, tmp_path: Path) -> None:
    """A part at a time; each is a file of its own, that begins with its warcinfo."""
    folder = tmp_path / "parts"
    folder.mkdir()
    one = packer(folder)
    one.add(result(1, b"--first"))
    one.add(result(2))
    names = [one.cut(depot, done=False)()]
    one.add(result(3, b"--third"))
    one.moved.append(state(seq=4))
    names.append(one.cut(depot, done=True)())
    packs = [read_pack(depot.get(name) or b"") for name in names]

    assert ["rows/run/7.attempt.0000", "rows/run/7.attempt.0001"] == names
    assert [(7, "attempt", 0), (7, "attempt", 1)] == [chunk_of(name) for name in names]
    assert [[b"first", None], [b"third"]] == [
        [
            depot.read(row.warc_file, row.warc_offset or 0, row.warc_length or 0) if row.warc_file else None
            for row in pack.rows
        ]
        for pack in packs
    ]
    assert [("7.attempt.0000.warc.gz", False, []), ("7.attempt.0001.warc.gz", True, [4])] == [
        (
            gzip.decompress((depot.get(pack.warc) or b"").partition(b"--")[0]).decode(),
            pack.done,
            [m.seq for m in pack.moved],
        )
        for pack in packs
    ]
    assert [] == list(folder.iterdir())


def test_a_part_without_records_has_no_file(depot: Depot, tmp_path: Path) -> None:
    """Rows alone are laid down alone, and what was dropped is not laid down at all."""
    one = packer(tmp_path)
    one.add(result(1, b"--gone"))
    one.drop()
    one.add(result(2))
    name = one.cut(depot, done=True)()

    assert [name] == [found for found, _ in depot.sizes("")]
    assert "" == read_pack(depot.get(name) or b"").warc


def test_damage_is_seen(tmp_path: Path) -> None:
    """Every byte of a pack counts."""
    depot = open_depot(str(tmp_path))
    one = packer(tmp_path)
    one.add(result(1))
    data = bytearray(depot.get(one.cut(depot, done=True)()) or b"")
    assert write_pack(read_pack(bytes(data))) == bytes(data)
    for at in range(len(data)):
        data[at] ^= 1
        with pytest.raises(ValueError, match="digest"):
            read_pack(bytes(data))
        data[at] ^= 1
