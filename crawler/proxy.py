"""The proxy that a crawl goes through: read from what its user wrote, in messages that never show the password."""

from __future__ import annotations

import base64
import dataclasses
import functools
import re
from urllib.parse import SplitResult, unquote, urlsplit

from crawler.errors import ConfigError

_FORM = "http://[user:password@]host:port"
_OTHER_KINDS = frozenset({"https", "socks", "socks4", "socks4a", "socks5", "socks5h"})
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f]*:[0-9a-f:.]+")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclasses.dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `host` is a name or an address (IPv6 without brackets).

    `authorization` is the value of Proxy-Authorization, a secret: it goes to the proxy and nowhere else.
    """

    host: str
    port: int
    authorization: str | None = dataclasses.field(default=None, repr=False)

    @property
    def netloc(self) -> str:
        """Host and port, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@functools.lru_cache(maxsize=8)
def parse_proxy(text: str) -> Proxy:
    """The proxy that `http://[user:password@]host:port` names; raises ConfigError, which shows nothing of the text."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _unreadable() from None  # what urllib says may quote a password
    if parts.scheme in _OTHER_KINDS:
        raise ConfigError(
            f"A proxy of the kind {parts.scheme}:// is not built; write {_FORM}, which serves https:// pages too."
        )
    rest = parts.path.removeprefix("/") or parts.query or parts.fragment
    if parts.scheme != "http" or not _HOST.fullmatch(host) or not port or rest:
        raise _unreadable()
    return Proxy(host, port, _authorization(parts))


def _unreadable() -> ConfigError:
    return ConfigError(f"The proxy cannot be read; write {_FORM}, with user and password percent-encoded (%40 for @).")


def _authorization(parts: SplitResult) -> str | None:
    """Basic credentials (RFC 7617 §2), in UTF-8; None where there are none."""
    if parts.username is None:
        return None
    user, password = unquote(parts.username), unquote(parts.password or "")
    if ":" in user or _UNSENDABLE.search(user + password):
        raise ConfigError(
            "The proxy's user holds a colon, or user or password a control character, which cannot be sent (RFC 7617)."
        )
    return "Basic " + base64.b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode("ascii")
