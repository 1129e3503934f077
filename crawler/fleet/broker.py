"""The broker: a Redis that many machines reach, by one URL, and what may be seen of it.

A password never stands in the URL, since every user of a machine reads its command lines: it comes from the
environment (`CRAWL_BROKER_PASSWORD`), and is in nothing that is printed.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import warnings
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from crawler.errors import ConfigError

try:
    import packaging.version  # noqa: F401 - kombu's transport imports it, and nobody installs it
    import redis
    from celery import Celery
except ImportError as missing:
    raise ConfigError("Many machines need Celery and Redis's client; install: pip install 'crawler[many]'") from missing

PASSWORD = "CRAWL_BROKER_PASSWORD"  # noqa: S105 - the name of a variable

_CA = "ssl_ca_certs"
_TIMEOUT_S = 5.0
# Tried: with Celery's own sweep a message that a dead worker held came back after 108 s, with this after 13.5.
_TRANSPORT = {
    "visibility_timeout": 900,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30.0,
    "socket_connect_timeout": _TIMEOUT_S,
    "socket_keepalive": True,
    "health_check_interval": 10,
}


class Broker:
    """The broker at `redis://[user@]host[:port][/db]`, or `rediss://…` for TLS (`?ssl_ca_certs=FILE` names its CA).

    Raises ConfigError for what is none, and for a URL with a password in it.
    """

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        parts = _parts(url)
        options = dict(parse_qsl(parts.query)) if parts is not None else {}
        if parts is None or not options.keys() <= {_CA} or (options and parts.scheme == "redis"):
            raise ConfigError("A broker is written redis://host:port/0, or rediss://host:port/0 for TLS.")
        if parts.password is not None:
            raise ConfigError(
                f"The broker's URL holds a password, which every user of this machine could see; give it in the "
                f"environment as {PASSWORD} instead."
            )
        self.url = url
        """Without a password: for people."""
        password = environment.get(PASSWORD)
        self._tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED, **({_CA: options[_CA]} if options else {})}
        self._is_tls = parts.scheme == "rediss"
        who = "" if password is None else f"{parts.username or ''}:{quote(password, safe='')}@"
        where = parts.netloc.rpartition("@")[2]
        self._secret_url = f"{parts.scheme}://{who}{where}{parts.path or '/0'}"

    def client(self) -> redis.Redis:
        """A client of its own, which raises `redis.RedisError` after some seconds without an answer."""
        return redis.Redis.from_url(
            self._secret_url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=None,
            **({**self._tls, "ssl_cert_reqs": "required"} if self._is_tls else {}),
        )

    def app(self) -> Celery:
        """A Celery application on it: JSON alone, an order is acknowledged when it is done, one at a time."""
        app = Celery("crawler", broker=self._secret_url, set_as_current=False)
        app.conf.update(
            accept_content=["json"],
            task_serializer="json",
            task_acks_late=True,
            task_reject_on_worker_lost=True,
            task_ignore_result=True,
            worker_prefetch_multiplier=1,
            worker_send_task_events=True,
            worker_hijack_root_logger=False,
            worker_redirect_stdouts=False,
            worker_cancel_long_running_tasks_on_connection_loss=False,
            broker_transport_options=_TRANSPORT,
            broker_connection_retry_on_startup=True,
            broker_connection_max_retries=None,
            task_publish_retry=False,
            **({"broker_use_ssl": self._tls} if self._is_tls else {}),
        )
        return app


def _parts(url: str) -> SplitResult | None:
    """The parts of a broker's URL; None where it is none."""
    try:
        parts = urlsplit(url)
        names_one = bool(parts.hostname) and (parts.port or 1) > 0 and not parts.fragment
    except ValueError:
        return None
    is_redis = parts.scheme in ("redis", "rediss") and re.fullmatch(r"/?|/[0-9]{1,9}", parts.path) is not None
    return parts if is_redis and names_one else None


@contextlib.contextmanager
def needing(broker: Broker) -> Iterator[None]:
    """Raise ConfigError where the broker answers, and does not do what is asked of it."""
    try:
        yield
    except redis.RedisError as error:
        raise ConfigError(f"The broker {broker.url} cannot be used: {reason(error)}.") from error


def reason(error: BaseException) -> str:
    """What a client says of its broker, in one line and without the URL that it was opened by."""
    kind = type(error).__name__
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return kind if "://" in text or not text else f"{text} ({kind})"


def silence(error: BaseException) -> str:
    """The sentence for people when it does not do what it is asked; `BACK` when it does so again."""
    return f"The broker does not answer: {reason(error)}."


BACK = "The broker is back."


def client_errors() -> tuple[type[Exception], ...]:
    """What a broker that is away, or that has just come back, makes its clients raise."""
    from kombu.exceptions import KombuError

    return (redis.RedisError, KombuError, OSError)


def hush() -> None:
    """Let Celery not warn of root: that is for pickle, and here is JSON alone."""
    from celery.exceptions import SecurityWarning

    warnings.filterwarnings("ignore", category=SecurityWarning)


def connect(broker: Broker) -> redis.Redis:
    """A client of a broker that answers; raises ConfigError where it does not."""
    client = broker.client()
    try:
        client.ping()
    except redis.RedisError as error:
        raise ConfigError(
            f"The broker {broker.url} does not answer: {reason(error)}; start it, or give its password in {PASSWORD}."
        ) from error
    return client


Client = redis.Redis
Answer = Any
"""What redis-py says, which depends on how it is asked."""
