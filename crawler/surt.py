"""SURT keys: a URL with its host turned round, so that what belongs together sorts together (`com,example)/path`).

The key is the one that Common Crawl, pywb and the Wayback Machine use: what differs only in ways that rarely matter
(`www.`, upper case, the order of a query, a session's id) has one key. The rules are those that the IIPC publishes
(webarchive-commons, `WaybackURLKeyMaker`, whose tests are ours too).
"""

from __future__ import annotations

import re

_PARTS = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[^\]]*\]|[^/?:]*)(?::(?P<port>\d+))?(?P<path>[^?]*)(?:\?(?P<query>.*))?"
)
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}
_WWW = re.compile(r"^(?:www\d*\.)+")
_DOTS = re.compile(r"\.{2,}")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNSAFE = re.compile(rb"[^!-\"$&-~]")  # all but printable ASCII; `#` and `%` too
_MOST_ROUNDS = 50  # escapes within escapes: each round takes one layer off, and hostile URLs have thousands
_MOST_SESSION_CHARS = 4096  # looking for an id may take the square of this many steps

_PATH_SESSIONS = (
    re.compile(r"(.*/)\((?:[a-z]\([0-9a-z]{24}\))+\)/([^?]+\.aspx.*)", re.IGNORECASE | re.DOTALL),
    re.compile(r"(.*/)\([0-9a-z]{24}\)/([^?]+\.aspx.*)", re.IGNORECASE | re.DOTALL),
)
_QUERY_SESSIONS = tuple(
    re.compile(rf"(.*){name}(?:&(.*))?", re.IGNORECASE | re.DOTALL)
    for name in (
        "jsessionid=[0-9a-z]{32}",
        "phpsessid=[0-9a-z]{32}",
        "sid=[0-9a-z]{32}",
        "aspsessionid[a-z]{8}=[a-z]{24}",
        "cfid=[^&]+&cftoken=[^&]+",
    )
)


def surt(href: str) -> str:
    """The key of a normalised http(s) URL (`urls.Url.href`); any other text is its own key."""
    parts = _PARTS.fullmatch(href)
    if parts is None:
        return href
    port = parts["port"]
    tail = "" if port is None or (parts["scheme"], port) in _DEFAULT_PORTS else f":{port}"
    query = _query(parts["query"])
    return f"{_host(parts['host'])}{tail}){_path(parts['path'])}{'' if not query else f'?{query}'}"


def _host(host: str) -> str:
    if host.startswith("["):
        return host[1:-1]
    name = _DOTS.sub(".", _escaped(host)).strip(".").lower()
    return ",".join(reversed(_WWW.sub("", name).split(".")))


def _path(path: str) -> str:
    segments = _segments(_escaped(path) if "%" in path else path)
    path = "/" + "".join(f"{segment}/" for segment in segments[:-1] if segment) + "".join(segments[-1:])
    return _without(path.lower(), _PATH_SESSIONS, ".aspx").removesuffix("/") or "/"


def _segments(path: str) -> list[str]:
    """The segments of a path, dot segments resolved: what was escaped may be one only now."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == ".." and kept:
            kept.pop()
        elif segment != ".":
            kept.append(segment)
    return kept


def _query(query: str | None) -> str | None:
    if not query:
        return None
    query = _without(_escaped(query) if "%" in query else query, _QUERY_SESSIONS, "=").lower()
    # By name, then by value; a name without a value comes before the same name with one.
    return "&".join(map("".join, sorted(field.partition("=") for field in query.split("&"))))


def _without(text: str, sessions: tuple[re.Pattern[str], ...], mark: str) -> str:
    """`text` without the ids of sessions."""
    if mark not in text or len(text) > _MOST_SESSION_CHARS:
        return text
    for session in sessions:
        if found := session.fullmatch(text):
            text = found[1] + (found[2] or "")
    return text


def _escaped(text: str) -> str:
    """`text` with every escape undone, and then those characters escaped once that must be."""
    data = text.encode("utf-8", "surrogatepass")
    for _ in range(_MOST_ROUNDS):
        undone = _PERCENT.sub(lambda escape: bytes.fromhex(escape[1].decode()), data)
        if undone == data:
            break
        data = undone
    return _UNSAFE.sub(lambda byte: b"%%%02X" % byte[0][0], data).decode("ascii")
