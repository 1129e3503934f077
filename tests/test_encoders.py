"""The encoders: what a worker makes of a fate."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from scripted import PUBLIC, World, answer, failure, state
from warcio.archiveiterator import ArchiveIterator

from crawler.config import CrawlConfig
from crawler.encoders import make_encoder
from crawler.fates import Fate
from crawler.records import Keep, Result

URL = "http://example.com/"
HTML = (("Content-Type", "text/html; charset=ISO-8859-1"), ("ETag", '"v1"'))


def encode(world: World, keep: Keep, **settings: object) -> Result:
    config = CrawlConfig(**settings)  # type: ignore[arg-type]
    ending = world.run(state(URL, headers=(("X-Token", "secret-of-entry"), ("Referer", "http://r/"))), config)
    assert isinstance(ending, Fate)
    return make_encoder(keep, config, worker=3, engine="fake")(ending)


def records(result: Result) -> list[tuple[str, str, bytes]]:
    """Kind, URL and block of each record, as warcio reads them, their digests verified."""
    return [
        (
            record.rec_type,
            record.rec_headers.get_header("WARC-Target-URI"),
            record.http_headers.to_ascii_bytes() + record.content_stream().read(),
        )
        for record in ArchiveIterator(io.BytesIO(result.payload), check_digests="raise")
    ]


def test_the_row_has_what_is_known() -> None:
    """Columns that an answer fills, the engine and the worker; what nobody knows is None."""
    row = encode(World({URL: [answer(200, HTML, b"<p>x</p>")]}), "row").row

    assert ("fetched", 200, "text/html", "windows-1252", 8, 8, '"v1"', PUBLIC, "fake", 3) == (
        row.outcome, row.status, row.content_type, row.charset, row.bytes_wire, row.bytes_body, row.etag, row.ip,
        row.engine, row.worker,
    )  # fmt: skip
    assert (10.0, None, "1970-01-01T00:16:40.000Z") == (row.total_ms, row.tls_ms, row.fetched_at)


def test_a_failure_has_a_row_and_no_records() -> None:
    """Nothing came, nothing is archived."""
    result = encode(World({URL: [failure("tls")]}), "archive")

    assert ("failed", "tls", "scripted tls", b"") == (
        result.row.outcome, result.row.error_class, result.row.error, result.payload,
    )  # fmt: skip


def test_a_type_that_is_not_wanted_has_no_body() -> None:
    """Its head is archived; a digest of nothing would make all such pages one."""
    result = encode(World({URL: [answer(200, HTML, b"page")]}), "archive", accept_type=("image/*",))

    assert ("denied", "type", None) == (result.row.outcome, result.row.error_class, result.row.body_digest)
    assert [b""] == [block.partition(b"\r\n\r\n")[2] for kind, _, block in records(result) if kind == "response"]


def test_a_page_is_a_response_and_its_request() -> None:
    """The row points at the response's own record."""
    result = encode(World({URL: [answer(200, HTML, b"page")]}), "archive")

    assert ["response", "request"] == [kind for kind, _, _ in records(result)]
    member = result.payload[result.record_at : result.record_at + result.record_length]
    assert [("response", URL)] == [(kind, url) for kind, url, _ in records(Result(result.row, member))]


@pytest.mark.parametrize(
    ("coding", "payload", "as_it_is"),
    [
        pytest.param("gzip", gzip.compress(b"<p>page</p>" * 99), True, id="it has"),
        pytest.param("gzip", b"<p>no gzip</p>" * 99, False, id="it lies"),
        pytest.param("x", b"a" * 99, False, id="who knows"),
    ],
)
def test_what_a_server_has_compressed_is_not_compressed_again(coding: str, payload: bytes, as_it_is: bool) -> None:
    """Where it has, and does not only say so."""
    headers = (*HTML, ("Content-Encoding", coding))
    result = encode(World({URL: [answer(200, headers, payload)]}), "archive")

    assert as_it_is is (payload in result.payload)
    assert ["response", "request"] == [kind for kind, _, _ in records(result)]


def test_the_whole_chain_is_archived() -> None:
    """Each redirect is a response and a request of its own, before the page's."""
    world = World(
        {URL: [answer(302, (("Location", "/b"),), b"gone")], "http://example.com/b": [answer(200, HTML, b"page")]}
    )
    result = encode(world, "archive")

    assert [URL, URL, "http://example.com/b", "http://example.com/b"] == [url for _, url, _ in records(result)]
    assert result.record_at > 0
    assert [{"url": URL, "status": 302, "location": "/b"}] == json.loads(result.row.redirects or "")


def test_secrets_are_sent_and_not_archived() -> None:
    """The user's own header fields are redacted under whatever name, unless they are known to be public."""
    world = World({URL: [answer(200, HTML, b"page")]})
    result = encode(world, "archive", header=(("X-Api-Key", "secret-of-run"), ("Accept-Language", "de")))
    archived = b"".join(block for _, _, block in records(result))

    sent = dict(world.exchanges[0].headers)
    assert ("secret-of-run", "secret-of-entry") == (sent["X-Api-Key"], sent["X-Token"])
    assert b"secret-of" not in archived
    assert b"Accept-Language: de" in archived
    assert b"Referer: http://r/" in archived


@pytest.mark.parametrize(("keep", "payload", "headers"), [("page", b"page", HTML), ("row", b"", ())])
def test_the_sink_chooses(keep: Keep, payload: bytes, headers: object) -> None:
    """A library call gets the body and its headers; a run without bodies gets the row."""
    result = encode(World({URL: [answer(200, HTML, b"page")]}), keep)

    assert (payload, headers) == (result.payload, result.headers)
