"""The encoding of a body: where it is said, which word wins, and text from any bytes."""

from __future__ import annotations

import pytest
import webencodings
from hypothesis import given
from hypothesis import strategies as st

from crawler.charset import charset_of, decode

HTML = (("Content-Type", "text/html"),)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/html; charset=utf-8", "utf-8"),
        ("text/html;charset=ISO-8859-1", "windows-1252"),
        ('text/html; charset="Shift_JIS"', "shift_jis"),
        ('text/html; charset="\\u\\t\\f-8"', "utf-8"),
        ("text/html; CharSet = euc-kr ; x=y", "euc-kr"),
        ("text/html charset=koi8-r", "koi8-r"),
        ("text/html; charset=utf-8, text/html", "utf-8"),
        ('text/html; title="; charset=big5"; charset=gbk', "gbk"),
        ("text/html; charset=koi8-r; charset=utf-8", "koi8-r"),
        ("text/html; xcharset=utf-8", None),
        ("text/html; charset=", None),
        ("text/html; charset=klingon", None),
        ("text/html; charset=\xfctf-8", None),
        ("", None),
    ],
)
def test_content_type_parameter(content_type: str, expected: str | None) -> None:
    """The charset parameter of Content-Type names the encoding, by any of the standard's labels."""
    assert expected == charset_of((("content-TYPE", content_type),), b"<p>")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"<meta charset=utf-8>", "utf-8"),
        (b"<!doctype html><html><head><META CHARSET='KOI8-R'/>", "koi8-r"),
        (b'<meta name=x content=y><meta/charset="gbk">', "gbk"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=euc-jp">', "euc-jp"),
        (b"<meta content='text/html; charset = \"big5\" ' http-equiv=content-type>", "big5"),
        (b'<meta content="text/html; charset=euc-jp">', None),
        (b"<meta charset=utf-16le>", "utf-8"),
        (b"<meta charset=x-user-defined>", "windows-1252"),
        (b"<meta charset=klingon><meta charset=utf-8>", "utf-8"),
        (b"<meta charset=gbk charset=utf-8>", "gbk"),
        (b"<!-- <meta charset=gbk> --><meta charset=utf-8>", "utf-8"),
        (b"<!--><meta charset=utf-8>", "utf-8"),
        (b"<!-- <meta charset=gbk>", None),
        (b"<a title='<meta charset=gbk>'><meta charset=utf-8>", "utf-8"),
        (b'<a title="<meta charset=gbk>', None),
        (b"</meta charset=gbk><?x <meta charset=gbk><meta charset=utf-8>", "utf-8"),
        (b"<script async></script><meta hidden charset=gbk>", "gbk"),
        (b"<metadata charset=gbk>", None),
        (b"<meta charset=gbk", None),
        (b"< meta charset=gbk>", None),
        (b" " * 1010 + b"<meta charset=gbk>", None),
        (b" " * 1006 + b"<meta charset=gbk>", "gbk"),
        (b"<?xml version='1.0' encoding='iso-8859-2'?>", "iso-8859-2"),
        (b"<?xml version='1.0' encoding=\"utf-16\"?>", "utf-8"),
        (b"<?xml version='1.0' encoding='gbk'?><meta charset=utf-8>", "utf-8"),
        (b"<?xml version='1.0'?>", None),
        ("<?xml version='1.0'?>".encode("utf-16-le"), "utf-16le"),
        ("<?xml version='1.0'?>".encode("utf-16-be"), "utf-16be"),
        (b"", None),
    ],
)
def test_declaration(start: bytes, expected: str | None) -> None:
    """Without a parameter, the first 1,024 bytes of a page declare the encoding as browsers read them."""
    assert expected == charset_of(HTML, start)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"\xef\xbb\xbf<meta charset=gbk>", "utf-8"),
        (b"\xff\xfe<\0", "utf-16le"),
        (b"\xfe\xff\0<", "utf-16be"),
    ],
)
def test_byte_order_mark(start: bytes, expected: str) -> None:
    """A byte order mark is stronger than everything else."""
    assert expected == charset_of((("Content-Type", "text/html; charset=koi8-r"),), start)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (None, "gbk"),
        ("text/html; charset=klingon", "gbk"),
        ("application/xhtml+xml", "gbk"),
        ("text/html; charset=utf-8", "utf-8"),
        ("text/plain", None),
        ("application/json", None),
    ],
)
def test_declaration_counts_in_markup(content_type: str | None, expected: str | None) -> None:
    """A declaration counts in HTML and XML alone, and after the parameter of Content-Type."""
    headers = () if content_type is None else (("Content-Type", content_type),)
    assert expected == charset_of(headers, b"<meta charset=gbk>")


@pytest.mark.parametrize(
    ("body", "charset", "expected"),
    [
        ("grün".encode(), None, "grün"),
        ("grün".encode("cp1252"), None, "grün"),
        (b"\xff\xfeh\0i\0", None, "hi"),
        (b"\xef\xbb\xbfhi", "koi8-r", "hi"),
        ("日本".encode("cp932"), "shift_jis", "日本"),
        (b"a\xffb", "utf-8", "a\ufffdb"),
        ("grün".encode(), "klingon", "grün"),
        ("grün".encode(), "\ud800", "grün"),
        (b"", None, ""),
    ],
)
def test_decode(body: bytes, charset: str | None, expected: str) -> None:
    """The named encoding decodes; without a known one UTF-8 where valid, else windows-1252."""
    assert expected == decode(body, charset)


@given(body=st.binary(max_size=300), charset=st.sampled_from(sorted(set(webencodings.LABELS.values()))))
def test_decode_never_raises(body: bytes, charset: str) -> None:
    """Any bytes give text under any encoding of the standard."""
    assert isinstance(decode(body, charset), str)


_MARKUP = st.lists(
    st.sampled_from([b"<", b"meta", b" ", b"charset", b"=", b'"', b"'", b">", b"<!--", b"-->", b"gbk", b"/", b"?xml"])
).map(b"".join)


@given(media=st.text(), start=st.one_of(st.binary(max_size=300), _MARKUP))
def test_charset_never_raises(media: str, start: bytes) -> None:
    """Any header and any bytes give a name that the standard has, or None."""
    found = charset_of((("Content-Type", media),), start)
    assert found is None or found in set(webencodings.LABELS.values())
