"""The standard library's cookie jar, for one chain's cookies. Its import takes 10 ms: who sees no cookie never pays."""

from __future__ import annotations

import re
from email.message import Message
from http.cookiejar import Cookie as JarCookie
from http.cookiejar import CookieJar, DefaultCookiePolicy, http2time  # type: ignore[attr-defined]  # typeshed lacks it
from urllib.request import Request as UrllibRequest

from crawler.records import Cookie, Headers

_LIMIT = 50  # cookies a chain (RFC 6265 §6.1 asks for 50 a domain)
_LIMIT_BYTES = 4096  # a cookie (the same)
_POLICY = DefaultCookiePolicy(rfc2965=False, strict_ns_domain=DefaultCookiePolicy.DomainLiberal)


_AGE = re.compile(r";\s*(max-age|expires)\s*(?:=([^;]*))?(?=;|$)", re.IGNORECASE)


class _Response:
    """What `CookieJar.extract_cookies` asks of a response: its header fields."""

    def __init__(self, headers: Headers) -> None:
        self._message = Message()
        for name, value in headers:
            if name.lower() == "set-cookie":
                self._message["Set-Cookie"] = _AGE.sub(_readable_age, value)

    def info(self) -> Message:
        return self._message


def _readable_age(attribute: re.Match[str]) -> str:
    """The attribute, or nothing where its value is none (RFC 6265 §5.2.1 and §5.2.2: ignore it).

    The library would drop every cookie of the answer for some of these, and warn of a bug of its own.
    """
    name, value = attribute[1].lower(), (attribute[2] or "").strip(' \t"')
    try:
        is_readable = abs(int(value)) < 1 << 40 if name == "max-age" else http2time(value) is not None
    except (ValueError, OverflowError):
        is_readable = False
    return attribute[0] if is_readable else ""


def collect(cookies: tuple[Cookie, ...], url: str, headers: Headers) -> tuple[Cookie, ...]:
    """See `crawler.cookies.collect`."""
    jar = _jar(cookies)
    jar.extract_cookies(_Response(headers), UrllibRequest(url))  # type: ignore[arg-type]  # noqa: S310 - not opened
    return tuple(_record(cookie) for cookie in jar if _size(cookie) <= _LIMIT_BYTES)[:_LIMIT]


def cookie_header(cookies: tuple[Cookie, ...], url: str) -> str | None:
    """See `crawler.cookies.cookie_header`."""
    request = UrllibRequest(url)  # noqa: S310 - a bag of attributes for the jar, never opened
    _jar(cookies).add_cookie_header(request)
    value = request.get_header("Cookie")
    return value if isinstance(value, str) and value.isprintable() else None


def _jar(cookies: tuple[Cookie, ...]) -> CookieJar:
    jar = CookieJar(_POLICY)
    for cookie in cookies:
        jar.set_cookie(_jar_cookie(cookie))
    return jar


def _size(cookie: JarCookie) -> int:
    return len(cookie.name) + len(cookie.value or "") + len(cookie.domain) + len(cookie.path)


def _record(cookie: JarCookie) -> Cookie:
    return Cookie(
        name=cookie.name,
        value=cookie.value or "",
        domain=cookie.domain,
        host_only=not cookie.domain_specified,
        path=cookie.path,
        secure=cookie.secure,
    )


def _jar_cookie(cookie: Cookie) -> JarCookie:
    return JarCookie(
        version=0,
        name=cookie.name,
        value=cookie.value,
        port=None,
        port_specified=False,
        domain=cookie.domain,
        domain_specified=not cookie.host_only,
        domain_initial_dot=cookie.domain.startswith("."),
        path=cookie.path,
        path_specified=True,
        secure=cookie.secure,
        expires=None,
        discard=True,
        comment=None,
        comment_url=None,
        rest={},
    )
