"""Cookies of one redirect chain (RFC 6265), by the standard library's jar; they die with the chain.

Consent pages set a cookie and redirect to themselves: without this they loop until the redirects are used up.
"""

from __future__ import annotations

from crawler.records import Cookie, Headers


def collect(cookies: tuple[Cookie, ...], url: str, headers: Headers) -> tuple[Cookie, ...]:
    """The chain's cookies after the answer `headers` to `url`."""
    if not any(name.lower() == "set-cookie" for name, _ in headers):
        return cookies
    from crawler import jar

    return jar.collect(cookies, url, headers)


def cookie_header(cookies: tuple[Cookie, ...], url: str) -> str | None:
    """The `Cookie` field to send to `url`, or None."""
    if not cookies:
        return None
    from crawler import jar

    return jar.cookie_header(cookies, url)


def joined(own: str, chain: str) -> str:
    """The caller's own `Cookie` field together with the chain's, which replaces pairs of the same name."""
    newer = {_name(pair) for pair in chain.split(";")}
    kept = [pair.strip() for pair in own.split(";") if pair.strip() and _name(pair) not in newer]
    return "; ".join([*kept, chain])


def _name(pair: str) -> str:
    return pair.partition("=")[0].strip()
