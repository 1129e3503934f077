"""Parsing and joining URLs, and the domain of a host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from crawler import urls
from crawler.urls import Url, UrlError

_PIECES = st.sampled_from(
    ["http://", "https:", "//", "example.com", "ß.de", "①", ":80", ":", "@", "u:p", "%41", "%00", "[::1]",
     "/", "..", "?", "#", "a b", "\t", "\u202e", "xn--", "\\", "1.2", "0x7f", "é"]
)  # fmt: skip
_IN_A_PATH = ("a", "/", "/..", "/.", "%", "%2e", "%2E", "\t", "\n", "é", *" Z0-_~!$&'()*+,;=:@?#|^`{}[]<>\\\"")
_TEXTS = st.text() | st.lists(_PIECES, max_size=8).map("".join)


def _joined(*pieces: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://Example.COM/a/../b?x=1#part", Url("http://example.com/b?x=1", "example.com", "http")),
        ("  https://example.com:443  ", Url("https://example.com/", "example.com", "https")),
        ("example.com/x", Url("http://example.com/x", "example.com", "http")),
        ("example.com:8080", Url("http://example.com:8080/", "example.com", "http")),
        ("localhost:8080/x", Url("http://localhost:8080/x", "localhost", "http")),
        ("localhost:8080?q", Url("http://localhost:8080/?q", "localhost", "http")),
        ("//example.com/x", Url("http://example.com/x", "example.com", "http")),
        ("[::1]:8080/x", Url("http://[::1]:8080/x", "::1", "http")),
        ("http://[2001:DB8::1]/", Url("http://[2001:db8::1]/", "2001:db8::1", "http")),
        ("http://münchen.de/ü?ü", Url("http://xn--mnchen-3ya.de/%C3%BC?%C3%BC", "xn--mnchen-3ya.de", "http")),
        ("http://h/?#", Url("http://h/?", "h", "http")),
        ("http://u:p%40%C3%A9@h:81/", Url("http://h:81/", "h", "http", "u:p@é")),
        ("http://u@h/", Url("http://h/", "h", "http", "u:")),
        ("http://h/@x:y@z", Url("http://h/@x:y@z", "h", "http")),
        ("http://0x7f.1/", Url("http://127.0.0.1/", "127.0.0.1", "http")),
    ],
)
def test_normalises(text: str, expected: Url) -> None:
    """An entry becomes the URL that a browser would fetch, without fragment and credentials."""
    assert expected == urls.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "mailto:x@y",
        "javascript:alert(1)",
        "ftp://h/",
        "tel:+123",
        "tel:123456789",
        "data:,x",
        "a.b://h",
        "FILE:///x",
    ],
)
def test_other_schemes(text: str) -> None:
    """What has another scheme is a URL, but none that is fetched."""
    with pytest.raises(UrlError) as caught:
        urls.parse(text)
    assert "scheme" == caught.value.error_class


@pytest.mark.parametrize(
    "text",
    ["", " ", "a b", "/x", "///x", "./x", "..", "?q", "#f", "\\\\h\\x", "http://", "http:///", "http://h:99999/",
     "http://[::1", "http://[fe80::1%25eth0]/", "http://a\tb/", "http://h/\x00", "http://h/\x85x", "\ud800",
     "http://%00/", "http://256.1.1.1/", "example.com:port/x", "http://h:8x/"],
)  # fmt: skip
def test_no_url(text: str) -> None:
    """What is no URL is `invalid_url`, with one printable line that says so."""
    with pytest.raises(UrlError) as caught:
        urls.parse(text)
    assert ("invalid_url", True) == (caught.value.error_class, str(caught.value).isprintable())


@given(_TEXTS)
@example("http://\u2100@h")
def test_any_text(text: str) -> None:
    """Any text is a URL or a UrlError; a URL is ASCII, without fragment and credentials, and its own."""
    try:
        url = urls.parse(text)
    except UrlError as error:
        assert str(error).isprintable()  # noqa: PT017 - an error is one of the two right answers
        return
    assert (url.href.isascii(), "#" in url.href) == (True, False)
    assert url._replace(userinfo=None) == urls.parse(url.href)
    assert url.href.startswith(urls.origin(url.href) + "/")


@given(st.from_regex(urls._NORMAL, fullmatch=True))
@example("http://a--b.0x1.example.com//a//b;c/d.e/%?%2e/../?")
@example("https://-.x-.abc/a../b.")
def test_normal_form(text: str) -> None:
    """What passes for a URL in normal form is one: the standard's parser gives back the very same."""
    assert urls._parse(text) == urls.parse(text) == Url(text, text.split("/")[2], text.partition(":")[0])


@given(host=_joined("a", "B", "9", "-", ".", "xn--", "xn--a.", "0x1", "%41"), path=_joined(*_IN_A_PATH))
@example(host="a.xn--99999999", path="")
@example(host="a", path="b/%2E.")
@example(host="a", path="b/.")
@example(host="a", path="/.")
@example(host="a", path="?'")
def test_any_form(host: str, path: str) -> None:
    """Whatever form an entry has, the short way never gives another answer than the parser."""
    text = f"http://{host}.com/{path}"
    assert _outcome(urls._parse, text) == _outcome(urls.parse, text)


def _outcome(parse: Callable[[str], Url], text: str) -> Url | str:
    try:
        return parse(text)
    except UrlError as error:
        return str(error)


@given(_TEXTS)
def test_any_location(location: str) -> None:
    """Whatever a Location says, it leads to a normalised URL or is a UrlError."""
    try:
        url = urls.join("http://example.com/a/b?c", location)
    except UrlError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    assert url._replace(userinfo=None) == urls.parse(url.href)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("", "http://h/a/b?c"),
        ("d#e", "http://h/a/d"),
        ("?d", "http://h/a/b?d"),
        ("//i:81/", "http://i:81/"),
        ("https://u:p@i/x", "https://i/x"),
        ("/é".encode().decode("latin-1"), "http://h/%C3%A9"),
        ("/\xe9", "http://h/%C3%A9"),
        ("/\u20ac", "http://h/%E2%82%AC"),
        ("\\\\i\\x", "http://i/x"),
    ],
)
def test_join(location: str, expected: str) -> None:
    """A Location is relative to what answered; its bytes are UTF-8 where they can be, else Latin-1."""
    assert expected == urls.join("http://h/a/b?c", location).href


def test_join_refuses() -> None:
    """A redirect to another scheme, or to nowhere, is an error of its class."""
    with pytest.raises(UrlError) as other:
        urls.join("http://h/", "file:///etc/passwd")
    with pytest.raises(UrlError) as nowhere:
        urls.join("http://h/", "http://[")
    assert ("scheme", "invalid_url") == (other.value.error_class, nowhere.value.error_class)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("www.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("a.b.github.io", "b.github.io"),
        ("localhost", "localhost"),
        ("www.example.com.", "example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("a.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("a..b", "a..b"),
        (".", "."),
    ],
)
def test_domain(host: str, expected: str) -> None:
    """The domain is the label behind the public suffix; what has none is its own."""
    assert expected == urls.domain(host)


def test_rules_are_those_of_the_list() -> None:
    """What is handed to the package in ASCII makes the rules that it makes of the whole list itself, in ASCII."""
    assert {rule for rule in PublicSuffixList()._publicsuffix if rule.isascii()} == urls._suffixes()._publicsuffix


def test_origin() -> None:
    """An origin has the port that differs from the scheme's own, and no path."""
    assert ["http://h", "https://h:81", "http://[::1]:81"] == [
        urls.origin(urls.parse(text).href) for text in ("http://h:80/a/b", "https://h:81/?q", "[::1]:81")
    ]
