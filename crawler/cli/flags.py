"""The settings of a crawl as flags: one for each field of `CrawlConfig`, so that the two cannot drift apart."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Container
from typing import Any

from crawler.cli.cmdline import hide_secrets
from crawler.config import ENGINES, FORMATS, CrawlConfig, parse_names, parse_size

_METAVARS = {
    "procs": "N",
    "conc": "M",
    "engine": "NAME",
    "max_body": "SIZE",
    "header": "'NAME: VALUE'",
    "user_agent": "TEXT",
    "allow_net": "CIDR",
    "accept_type": "TYPES",
    "method": "METHOD",
    "resolver": "HOST:PORT",
    "proxy": "URL",
    "format": "NAME",
    "column": "NAME",
    "carry": "NAMES",
    "parse": "MODULE:FUNCTION",
    "previous": "DIR",
}
_GROUPS = {
    "what to read": ("format", "column", "carry"),
    "how fast": ("procs", "conc", "engine", "http2", "chunk_size", "resolver"),
    "how politely": ("per_host", "per_address", "delay", "robots", "user_agent"),
    "how long, how much": ("max_time", "connect_timeout", "min_speed", "max_body", "max_redirects", "retries"),
    "what to send": ("method", "header", "proxy"),
    "what to accept": ("allow_private", "allow_net", "insecure", "accept_type"),
    "what to record": ("keep_duplicates", "no_bodies", "previous"),
    "what to make of pages": ("parse", "parse_timeout"),
}


_SHOWN = {"procs": "as many as it has cores", "max_body": "16M"}  # where the default itself tells people less

FLAGS = tuple(name for names in _GROUPS.values() for name in names)
"""Every setting that has a flag."""


def add_flags(parser: argparse.ArgumentParser, wanted: Container[str] = FLAGS) -> None:
    """Add a flag for every setting that is `wanted`, in groups that answer a question each."""
    fields = {field.name: field for field in dataclasses.fields(CrawlConfig)}
    defaults = CrawlConfig()
    for title, names in _GROUPS.items():
        group = parser.add_argument_group(title)  # help leaves an empty one out
        for name in names:
            if name in wanted:
                _add_flag(group, fields[name], getattr(defaults, name))


def add_watching(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is shown, and what the exit status tells."""
    parser.add_argument("--fail", action="store_true", help="exit with status 3 when some page is not ok")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="of the lines when no terminal")
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    parser.add_argument(
        "--metrics-port",
        metavar="N",
        type=_port,
        help="serve a live page and Prometheus metrics on this port of 127.0.0.1 while it runs; 0 takes a free one",
    )


def add_fleet(parser: argparse.ArgumentParser, store: str) -> None:
    """Add the flags that let many machines fetch; `store` is the help of the one that says where pages lie."""
    group = parser.add_argument_group("on many machines")
    group.add_argument(
        "--broker",
        metavar="URL",
        help="let the machines fetch that run crawl worker with this Redis, as redis://host/0",
    )
    group.add_argument("--store", metavar="WHERE", help=store)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number from 0 to 65535")
    return int(text)


def config_of(args: argparse.Namespace) -> CrawlConfig:
    """The configuration that these flags ask for, its secrets gone from the list of processes; raises ConfigError."""
    settings = {field.name for field in dataclasses.fields(CrawlConfig)}
    given: dict[str, Any] = {name: value for name, value in vars(args).items() if name in settings}
    for name, value in given.items():
        given[name] = tuple(value) if isinstance(value, list) else value
    config = CrawlConfig(**given)
    hide_secrets(config)
    return config


def _add_flag(group: Any, field: dataclasses.Field[Any], default: Any) -> None:
    flag = "--" + field.name.replace("_", "-")
    text = field.metadata["help"].replace("%", "%%")
    if isinstance(default, bool):
        action = argparse.BooleanOptionalAction if default else "store_true"
        group.add_argument(flag, action=action, default=default, help=text)
    elif isinstance(default, tuple):
        action = "extend" if field.name in ("accept_type", "carry") else "append"
        kind = {"accept_type": parse_names, "carry": parse_names, "header": _header}.get(field.name, str)
        metavar, text = _METAVARS[field.name], f"{text} (repeatable)"
        group.add_argument(flag, default=[], action=action, type=kind, metavar=metavar, help=text)
    else:
        shown = _SHOWN.get(field.name, f"{default:g}" if isinstance(default, float) else default)
        text = text if field.name == "user_agent" or default is None else f"{text} (default {shown})"
        names = {"engine": ENGINES, "format": FORMATS}.get(field.name)
        choices = {"choices": names} if names else {"type": _type(field.name, default)}
        group.add_argument(flag, default=default, metavar=_METAVARS.get(field.name, "N"), help=text, **choices)


def _type(name: str, default: Any) -> Callable[[str], Any]:
    if name in ("max_body", "per_address"):  # the second has no default of its own
        return _size if name == "max_body" else _whole
    return {int: _whole, float: _number}.get(type(default), str)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return number


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("there is no colon; write 'Name: value'")  # it may be a secret: not shown
    return name.strip(), value.strip()
