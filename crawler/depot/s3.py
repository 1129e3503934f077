"""A depot in a bucket of S3, or of what speaks like it.

Who we are is told by the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, … as every tool for S3 reads them), by the
file `~/.aws/credentials`, or by the machine itself on Amazon's; nothing of it is ever said or written here.
"""

from __future__ import annotations

import configparser
import contextlib
import datetime
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from crawler.errors import ConfigError, StoreError

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store
except ImportError as missing:
    raise ConfigError("A store in S3 needs obstore; install it with: pip install 'crawler[many]'") from missing

_DELETE_MOST = 1000  # as many as one request of S3's may name
_RETRIES: Any = {"max_retries": 4, "retry_timeout": datetime.timedelta(seconds=15)}  # whoever lays down tries again
_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


class S3Depot:
    """See `Depot`. An object of S3 is there when its last byte is: nothing else is needed for it to be whole."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._store: Any = S3Store.from_url(
                url, client_options=_client_options(), retry_config=_RETRIES, **_from_file()
            )
        except (BaseError, ValueError) as error:
            raise ConfigError(f"{url!r} is no store in S3, or its settings are wrong: {_first_line(error)}.") from error

    def put(self, name: str, content: bytes | Path) -> None:
        """See `Depot.put`."""
        with self._mapped():
            try:
                obstore.put(self._store, name, content)
            except FileNotFoundError as error:  # where there is no such bucket
                raise BaseError(str(error)) from error

    def get(self, name: str) -> bytes | None:
        """See `Depot.get`."""
        try:
            with self._mapped():
                return bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None

    def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Depot.read`."""
        with self._mapped():
            return bytes(obstore.get_range(self._store, name, start=offset, length=length))

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See `Depot.sizes`."""
        with self._mapped():
            for batch in obstore.list(self._store, prefix=prefix.rstrip("/") or None):
                yield from ((found["path"], found["size"]) for found in batch)

    def delete(self, names: Iterable[str]) -> None:
        """See `Depot.delete`."""
        left = iter(names)
        with self._mapped():
            while batch := list(islice(left, _DELETE_MOST)):
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(self._store, batch)

    def abandon(self) -> None:
        """See `Depot.abandon`. Parts of an upload that broke off are the bucket's to delete, by a lifecycle rule."""

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise StoreError(
                f"{self.url} cannot be used: {_first_line(error)}; see to it and run the same command again."
            ) from error


def _client_options() -> Any:
    """Plain HTTP only where the endpoint itself is plain HTTP: a test server, or one in the same rack."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return {"allow_http": endpoint.startswith("http://")}


def _from_file() -> dict[str, Any]:
    """The credentials of the usual file, where the environment has none."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    file = configparser.ConfigParser()
    file.read(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", Path.home() / ".aws" / "credentials"))
    profile = os.environ.get("AWS_PROFILE", "default")
    section = file[profile] if file.has_section(profile) else {}
    return {key: section[key] for key in _KEYS if key in section}


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
