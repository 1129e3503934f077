"""SURT keys."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import urls
from crawler.surt import surt

# Of webarchive-commons (WaybackURLKeyMakerTest, IAURLCanonicalizerTest, BasicURLCanonicalizerTest: IIPC, Apache-2.0),
# and of Common Crawl's schema and tests.
PUBLISHED = {
    "http://archive.org/": "org,archive)/",
    "http://archive.org/goo/": "org,archive)/goo",
    "http://archive.org/goo/?": "org,archive)/goo",
    "http://archive.org/goo/?b&a": "org,archive)/goo?a&b",
    "http://archive.org/goo/?a=2&b&a=1": "org,archive)/goo?a=1&a=2&b",
    "https://34.203.211.192/robots.txt": "192,211,203,34)/robots.txt",
    "https://[2600:1f18:200d:fb00:2b74:867c:ab0c:150a]/robots.txt": (
        "2600:1f18:200d:fb00:2b74:867c:ab0c:150a)/robots.txt"
    ),
    "http://1kr.ua/newslist.html?tag=%E4%EE%F8%EA%EE%EB%FC%ED%EE%E5": (
        "ua,1kr)/newslist.html?tag=%e4%ee%f8%ea%ee%eb%fc%ed%ee%e5"
    ),
    "http://www.aluroba.com/tags/%C3%CE%CA%C7%D1%E5%C7.htm": "com,aluroba)/tags/%c3%ce%ca%c7%d1%e5%c7.htm",
    "https://www.insbase.ac/xoops2/modules/xpwiki/?%A4%D5%A4%AF%BB%D4": (
        "ac,insbase)/xoops2/modules/xpwiki?%a4%d5%a4%af%bb%d4"
    ),
    "https://www.archive.org:80/": "org,archive:80)/",
    "http://www.archive.org:443/": "org,archive:443)/",
    "http://www12.foo.com/": "com,foo)/",
    "http://www2foo.com/": "com,www2foo)/",
    "http://www2.www2foo.com/": "com,www2foo)/",
    "http://x.org/?a=1&": "org,x)/?&a=1",
    "http://x.org/?b=b&a=b&b=a&a=a": "org,x)/?a=a&a=b&b=a&b=b",
    "http://www.nsf.gov/sed/2009/SED_2009.zip?CFID=14387305&CFTOKEN=72942008": "gov,nsf)/sed/2009/sed_2009.zip",
    "http://www.nsf.gov/SED.zip?CFID=1&CFTOKEN=7&jsessionid=f030eacc7e49c4ca0b077922347418418766": (
        "gov,nsf)/sed.zip?jsessionid=f030eacc7e49c4ca0b077922347418418766"
    ),
    "http://host/%2525252525252525": "host)/%25",
    "http://host/%%%25%32%35asd%%": "host)/%25%25%25asd%25%25",
    "http://host.com/ab%23cd": "com,host)/ab%23cd",
    "http://host.com//twoslashes?more//slashes": "com,host)/twoslashes?more//slashes",
    "http://foobar.org./": "org,foobar)/",
    "https://www.example.com/path/index.html": "com,example)/path/index.html",
    "https://commoncrawl.org/faq/": "org,commoncrawl)/faq",
}


@pytest.mark.parametrize("url", PUBLISHED)
def test_published_examples(url: str) -> None:
    """The keys are those that the authors of the rules publish."""
    assert PUBLISHED[url] == surt(urls.parse(url).href)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a/x.aspx?sid=" + "0" * 32,
        "http://www.example.com:80/a/(s(" + "0" * 24 + "))/X.aspx",
        "https://WWW2.example.com/a/(" + "0" * 24 + ")/x.aspx?PHPSESSID=" + "f" * 32,
        "http://example.com/a/%78.aspx/?aspsessionidabcdefgh=" + "B" * 24,
    ],
)
def test_sessions_have_no_keys_of_their_own(url: str) -> None:
    """An id of a session in a path or a query is no part of the key."""
    assert "com,example)/a/x.aspx" == surt(urls.parse(url).href)


@given(st.text(alphabet="ab.%25/?&=;:@[]()~ \x00é\u2028\ud800", max_size=60))
def test_a_key_is_one_word(tail: str) -> None:
    """Whatever the URL, its key is printable ASCII without a space, since an index ends it there."""
    with contextlib.suppress(urls.UrlError):
        assert re.fullmatch(r"[!-~]+", surt(urls.parse(f"http://example.com{tail}").href))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "tail",
    ["%" + "25" * 32_000, "?" + "cfid=" * 13_000, "?" + "sid=" * 16_000, "/(a(" * 9_000 + ".aspx", "../" * 20_000],
)
def test_bounded_work(tail: str) -> None:
    """No URL of the length that is fetched costs much."""
    for _ in range(20):
        assert surt(f"http://example.com/{tail}").startswith("com,example)/")
