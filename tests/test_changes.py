"""What has changed since the previous crawl, and who is asked for it; without a socket."""

from __future__ import annotations

import msgspec
import pytest
from scripted import World, answer, state

from crawler.changes import conditions, is_unmodified, judge
from crawler.config import CrawlConfig
from crawler.encoders import make_encoder
from crawler.flow import Fate
from crawler.records import Earlier, FlowState, Headers, Row

URL = "http://example.com/"
DATE = "Mon, 01 Jan 2024 00:00:00 GMT"
EARLIER = Earlier(
    URL, "2026-01-31T12:00:00Z", '"v1"', DATE, "sha1:P", "sha1:B", "text/plain", "utf-8", "00001.warc.gz 10 20"
)
ASKED = (("If-None-Match", '"v1"'), ("If-Modified-Since", DATE))


def entry(url: str = URL, *, earlier: Earlier | None = EARLIER, **fields: object) -> FlowState:
    return msgspec.structs.replace(state(url, **fields), earlier=earlier)


def sent(world: World) -> list[tuple[str, Headers]]:
    """Of each request its URL, and those of its fields that ask whether the page has changed."""
    return [(e.url, tuple(f for f in e.headers if f[0].lower().startswith("if-"))) for e in world.exchanges]


def fetched(world: World, start: FlowState, **settings: object) -> Row:
    config = CrawlConfig(robots=False, previous="before", **settings)  # type: ignore[arg-type]
    fate = world.run(start, config)
    assert isinstance(fate, Fate)
    return make_encoder("archive", config, worker=0, engine="fake")(fate).row


def test_validators_are_sent_as_they_came() -> None:
    """Both of them, weak and malformed ones too; a page without one is asked for as ever."""
    assert ASKED == conditions(entry(), set())
    weak = msgspec.structs.replace(EARLIER, etag="W/unquoted", last_modified=None)
    assert (("If-None-Match", "W/unquoted"),) == conditions(entry(earlier=weak), set())
    assert () == conditions(entry(earlier=None), set())


@pytest.mark.parametrize("value", ["é", "a\r\nb", "", " a", "x" * 1000], ids=ascii)
def test_what_cannot_be_sent_or_was_cut_is_not_sent(value: str) -> None:
    """A row keeps 1,000 characters of a field: a longer one could only be wrong."""
    assert () == conditions(entry(earlier=msgspec.structs.replace(EARLIER, etag=value, last_modified=None)), set())


@pytest.mark.parametrize("name", ["If-None-Match", "if-modified-since", "If-Match", "Range", "If-Range"])
def test_the_callers_own_condition_wins(name: str) -> None:
    """Then nothing of ours is sent, and a 304 says nothing of the previous crawl."""
    world = World({URL: [answer(304)]})
    row = fetched(world, entry(), header=((name, "own"),))

    assert [(name, "own")] == [field for field in world.exchanges[0].headers if field[0] == name]
    assert not set(ASKED) & set(world.exchanges[0].headers)
    assert (304, None, False) == (row.status, row.changed, row.ok)


def test_validators_go_to_the_url_that_they_belong_to_alone() -> None:
    """To the one that answered in the end, wherever in the chain it comes; never to another one."""
    there = "http://example.com/there"
    earlier = msgspec.structs.replace(EARLIER, url=there)
    moved = answer(302, (("Location", there),))

    world = World({URL: [moved], there: [answer(304)]})
    row = fetched(world, entry(earlier=earlier))
    assert [(URL, ()), (there, ASKED)] == sent(world)
    assert "same" == row.changed

    world = World({URL: [answer(200)]})
    fetched(world, entry(earlier=earlier))
    assert [(URL, ())] == sent(world)

    world = World({URL: [answer(302, (("Location", "http://example.com/elsewhere"),))],
                   "http://example.com/elsewhere": [answer(200)]})  # fmt: skip
    fetched(world, entry())
    assert [(URL, ASKED), ("http://example.com/elsewhere", ())] == sent(world)


def test_only_get_is_conditional() -> None:
    """Another method asks for something else; its answer is compared with nothing."""
    for method in ("HEAD", "POST"):
        world = World({URL: [answer(200)]})
        row = fetched(world, entry(method=method))
        assert [(URL, ())] == sent(world)
        assert row.changed is None


def test_a_304_stands_for_the_page_that_was_there() -> None:
    """It is ok, has the digests, validators and type of the page, and new ones where it told some."""
    told = fetched(World({URL: [answer(304, (("ETag", '"v2"'),))]}), entry())

    assert told.ok
    assert ("text/plain", "utf-8") == (told.content_type, told.charset)
    assert ("same", "sha1:P", "sha1:B", '"v2"', DATE) == (
        told.changed,
        told.digest,
        told.body_digest,
        told.etag,
        told.last_modified,
    )


def test_a_304_that_nobody_asked_for_is_what_it_is() -> None:
    """Fetched with that status, and no page."""
    for earlier in (None, msgspec.structs.replace(EARLIER, etag=None, last_modified=None)):
        row = fetched(World({URL: [answer(304)]}), entry(earlier=earlier))
        assert ("fetched", 304, None, False) == (row.outcome, row.status, row.changed, row.ok)
    assert not is_unmodified(entry(), 200, ASKED)
    assert not is_unmodified(entry(), 304, ())


@pytest.mark.parametrize(
    ("earlier", "status", "digest", "changed"),
    [
        (None, 200, "sha1:B", "new"),
        (None, 404, "sha1:B", None),
        (EARLIER, 200, "sha1:B", "same"),
        (EARLIER, 206, "sha1:C", "changed"),
        (EARLIER, 404, "sha1:C", "gone"),
        (EARLIER, 410, None, "gone"),
        (EARLIER, 403, "sha1:C", None),
        (EARLIER, 503, "sha1:C", None),
        (EARLIER, None, None, None),
    ],
)
def test_changed_is_judged_on_the_decoded_body(
    earlier: Earlier | None, status: int | None, digest: str | None, changed: str | None
) -> None:
    """A page that cannot be had now may be there all the same: only 404 and 410 say that it is gone."""
    assert changed == judge(entry(earlier=earlier), status, digest, unmodified=False)


def test_without_a_previous_crawl_nothing_is_said() -> None:
    """`changed` is NULL then, not new."""
    config = CrawlConfig(robots=False)
    fate = World({URL: [answer(200)]}).run(state(URL), config)
    assert isinstance(fate, Fate)
    assert make_encoder("row", config, worker=0, engine="fake")(fate).row.changed is None
