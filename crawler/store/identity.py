"""Whether a crawl that goes on is the one that was begun: its identity, with no secret in it.

A secret is replaced by its keyed hash, so that it can be compared and never be read from the disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawler.errors import FolderError
from crawler.function import is_by_value
from crawler.headers import is_public
from crawler.records import Headers

_SEALED = "blake2b:"
_ABSENT = object()


def seal(identity: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """The identity as plain JSON values, its secrets hashed with `key`.

    Secrets are the values of header fields that are not known to be public, and the proxy (with its
    password).
    """
    sealed: dict[str, Any] = json.loads(json.dumps(dict(identity)))
    if sealed.get("header"):
        sealed["header"] = [[name, value if is_public(name) else _hash(value, key)] for name, value in sealed["header"]]
    if sealed.get("proxy"):
        sealed["proxy"] = _hash(sealed["proxy"], key)
    return sealed


def unseal(sealed: Mapping[str, Any], header: Headers, proxy: str | None, folder: Path) -> dict[str, Any]:
    """The identity of the crawl in `folder` as it was before it was sealed.

    Its secrets are taken from `header` and `proxy`. Whether they are the right ones only another seal can tell. Raises
    FolderError where one is missing.
    """
    given = list(header)
    fields = []
    for name, value in sealed.get("header", ()):
        again = next((field for field in given if field[0].lower() == name.lower()), None)
        if again is not None:
            given.remove(again)
        elif not is_public(name):
            raise FolderError(
                f"{folder} was crawled with a header field {name}, whose value is not kept; "
                f"give it again with --header '{name}: VALUE'."
            )
        fields.append((name, value if again is None else again[1]))
    if is_by_value(sealed.get("parse")):
        raise FolderError(
            f"{folder} was crawled with a function by value, which is not kept; fetch those that failed from your "
            "program, as a new crawl."
        )
    if sealed.get("proxy") and proxy is None:
        raise FolderError(f"{folder} was crawled through a proxy, which is not kept; give it again with --proxy URL.")
    return {**sealed, "header": (*fields, *given), "proxy": proxy}


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Each field of two sealed identities that differs, as a phrase with both values."""
    names = [*stored, *(name for name in asked if name not in stored)]
    pairs = ((name, stored.get(name, _ABSENT), asked.get(name, _ABSENT)) for name in names)
    return [f"{name} was {_show(was)} and is now {_show(now)}" for name, was, now in pairs if was != now]


def _hash(value: str, key: bytes) -> str:
    return _SEALED + hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=key, digest_size=16).hexdigest()


def _show(value: Any) -> str:
    """A value for a sentence; of a secret, just enough of its hash to tell two of them apart."""
    if value is _ABSENT:
        return "not set"
    if isinstance(value, str) and value.startswith(_SEALED):
        return f"(secret {value[len(_SEALED) :][:6]})"
    if isinstance(value, list):
        return "[" + ", ".join(_show_item(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _show_item(item: Any) -> str:
    return f"{item[0]}: {_show(item[1])}" if isinstance(item, list) and len(item) == 2 else _show(item)
