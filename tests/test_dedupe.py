"""The set of requests seen so far."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.dedupe import Seen, fingerprint

_KEY = b"k" * 16
_HASHES = st.integers(0, 30) | st.integers(2**64 - 30, 2**64 - 1) | st.integers(0, 2**64 - 1)


@settings(deadline=None)  # the first spill imports numpy
@given(
    batches=st.lists(st.lists(_HASHES, max_size=20), max_size=20),
    spill=st.integers(1, 50),
    first=st.sampled_from([1, 2**32 - 20, 2**40]),
)
def test_is_a_dict(batches: list[list[int]], spill: int, first: int) -> None:
    """For any fingerprints, batches and spill size the answers are those of a plain dict."""
    seen, model, seq = Seen(_KEY, spill), dict[int, int](), first
    for batch in batches:
        seqs = list(range(seq, seq + len(batch)))
        seq += len(batch)
        expected = []
        for hashed, at in zip(batch, seqs, strict=True):
            expected.append(model.get(hashed, 0))
            model.setdefault(hashed, at)
        assert expected == seen.admit(batch, seqs)
    assert len(model) == len(seen)


def test_is_no_twin_of_itself() -> None:
    """An entry that is admitted again, before or after a spill, is no duplicate."""
    seen = Seen(_KEY, spill=2)
    answers = [
        seen.admit([7], [1]),
        seen.admit([7], [1]),
        seen.admit([8, 9], [2, 3]),
        seen.admit([7, 9], [1, 4]),
    ]
    assert [[0], [0], [0, 0], [0, 3]] == answers


def test_memory() -> None:
    """A spilled entry takes 12 bytes, in at most log2(n / spill) + 1 runs a shard; no shard holds much of the whole."""
    seen = Seen(_KEY, spill=1_000)
    for start in range(0, 64_000, 500):
        batch = [fingerprint(_KEY, "GET", f"http://h/{n}") for n in range(start, start + 500)]
        seen.admit(batch, range(start + 1, start + 501))
    assert 64_000 == len(seen)
    assert 12 * 64_000 == seen.nbytes
    assert max(map(len, seen._shards)) <= 7
    assert max(sum(len(run.hashes) for run in runs) for runs in seen._shards) < 64_000 / 12


def test_fingerprint() -> None:
    """A fingerprint has 64 bits and depends on the key and on each part of the request, on nothing else."""
    request = ("GET", "http://h/", b"")
    others = [("HEAD", "http://h/", b""), ("GET", "http://h/a", b""), ("GET", "http://h/", b"a")]
    prints = {fingerprint(_KEY, *other) for other in [request, *others]} | {fingerprint(b"other", *request)}
    assert 5 == len(prints)
    assert all(0 <= each < 2**64 for each in prints)
    assert fingerprint(_KEY, *request) == Seen(_KEY).fingerprint(*request)


def test_numpy_is_late() -> None:
    """numpy is imported when the first run is made, and not before: a short list never pays for it."""
    code = (
        "import sys; from crawler.dedupe import Seen; seen = Seen(b'k', 2)\n"
        "seen.admit([1], [1]); early = 'numpy' in sys.modules; seen.admit([2], [2])\n"
        "print(early, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False True\n" == done.stdout
