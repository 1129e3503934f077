"""`crawl worker`: this machine joins a distributed crawl."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from crawler.cli.flags import add_flags
from crawler.config import CrawlConfig
from crawler.errors import ConfigError, WorkerError
from crawler.escape import printable
from crawler.function import check_name

_AGAIN_S = 1.0
_ABOUT = """\
Example: crawl worker --broker redis://queue.internal/0 --procs 4 --conc 256

Fetch what the coordinator (crawl urls.txt --broker … --store …) gives out, until it is told to leave by SIGTERM or
Ctrl-C: then it finishes what is in flight and hands back the rest. The broker's password stands in the environment
as CRAWL_BROKER_PASSWORD; what opens the store, where every tool for S3 looks for it.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], about: str) -> None:
    """Add the command to the parser; `about` is its line in the list of commands."""
    parser = commands.add_parser(
        "worker",
        help=about,
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--broker", metavar="URL", required=True, help="the Redis that all machines reach")
    parser.add_argument("--store", metavar="WHERE", help="the store, where it is under another path here")
    parser.add_argument(
        "--parse",
        metavar="MODULE:FUNCTION",
        action="append",
        default=[],
        type=_function,
        help="a function that a run's --parse may name; no other is ever called (repeatable)",
    )
    parser.add_argument("--spool", metavar="DIR", type=Path, help="the folder for what is not in the store yet")
    add_flags(parser, ("procs", "conc"))


def _function(text: str) -> str:
    check_name(text)
    return text


def main(args: argparse.Namespace) -> int:
    """Work until we are told to leave; 0 then, 1 where this machine cannot go on."""
    from crawler.fleet.board import Board
    from crawler.fleet.broker import Broker, connect, hush, needing
    from crawler.fleet.machine import Machine, chunks_most
    from crawler.fleet.words import TASK, queue_of

    hush()
    config = CrawlConfig(procs=args.procs, conc=args.conc)  # so that senseless numbers are refused here
    broker = Broker(args.broker)
    board = Board(connect(broker))
    app = broker.app()
    with _spool(args.spool) as folder:
        machine = Machine(
            board, procs=config.procs, conc=config.conc, folder=Path(folder), say=_say, parse=tuple(args.parse),
            where=args.store, broken=lambda: os.kill(os.getpid(), signal.SIGTERM),
        )  # fmt: skip

        def take(order: object) -> str:
            return machine.hear(order)

        app.task(take, name=TASK)
        _stop_with(machine)
        with needing(broker):
            machine.start()
        _say(f"Machine {machine.id} waits for chunks from {broker.url}.")
        while not machine.leaving:
            _consume(app, queue_of(machine.id), f"crawl-{machine.id}@{machine.host}", chunks_most(config.procs))
            if not machine.leaving:  # Celery gives up on some losses of a connection that it could outlive
                _say("Celery lost the broker; it begins again.")
                time.sleep(_AGAIN_S)
        machine.close()
    if machine.fault:
        raise WorkerError(machine.fault)
    _say("Left; what was not finished went back.")
    return 0


def _spool(where: Path | None) -> tempfile.TemporaryDirectory[str]:
    """A folder of this machine's own, and gone when it leaves; raises ConfigError."""
    try:
        return tempfile.TemporaryDirectory(prefix="crawl-", dir=where)
    except OSError as error:
        place = where or tempfile.gettempdir()
        raise ConfigError(f"{place} cannot hold what is fetched: {error.strerror}; choose another --spool.") from error


def _consume(app: Any, queue: str, name: str, at_once: int) -> None:
    """Take orders from a queue, until Celery is told to stop or cannot go on."""
    worker = app.Worker(
        queues=[queue],
        hostname=name,
        pool="threads",
        concurrency=at_once,
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()


def _stop_with(machine: Any) -> None:
    """Celery waits for its tasks when it is told to stop, and they for the machine: so that is told first."""
    from celery.signals import worker_shutting_down

    def stop(**_: object) -> None:
        machine.leaving = True
        _say("Leaving: what is in flight is finished, the rest handed back.")
        threading.Thread(target=machine.stop, name="stop").start()

    worker_shutting_down.connect(stop, weak=False)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {printable(text)}", file=sys.stderr, flush=True)
