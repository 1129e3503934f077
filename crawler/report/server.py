"""Serves the live page and the metrics of a run, in a thread beside it: small, and of no harm to the run.

Only this machine can connect, and only by its own names for itself: the Host of each request is checked, since a page
of another site may have pointed its own name here (DNS rebinding). Nothing changes by a request, and what is asked for
often is answered fifty times a second at most.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from crawler.errors import ConfigError
from crawler.report.board import Board
from crawler.report.live import live_page, live_part, policy
from crawler.report.metrics import CONTENT_TYPE, exposition, make_metrics

_ADDRESS = "127.0.0.1"
_HOSTS = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.ASCII | re.IGNORECASE)
_AT_ONCE = 8
_PAUSE_S = 0.02
_PATIENCE_S = 5.0
_HTML = "text/html; charset=utf-8"


@contextlib.contextmanager
def serving(name: str, port: int) -> Iterator[tuple[Board, str]]:
    """A board for the run into the folder called `name`, served at the URL beside it while the context lasts.

    Port 0 takes a free one. Raises ConfigError where the port cannot be had.
    """
    board = Board()
    try:
        server = _Server(name, board, port)
    except OSError as error:
        raise ConfigError(
            f"Port {port} of {_ADDRESS} cannot be had for --metrics-port, {error.strerror}; name another one, or 0 for "
            "any that is free."
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
    thread.start()
    try:
        yield board, f"http://{_ADDRESS}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, name: str, board: Board, port: int) -> None:
        super().__init__((_ADDRESS, port), _Handler)
        metrics = make_metrics(board)
        self.pages: dict[str, tuple[str, Callable[[], bytes]]] = {
            "/": (_HTML, lambda: live_page(name, board.posted).encode()),
            "/live": (_HTML, lambda: live_part(board.posted).encode()),
            "/metrics": (CONTENT_TYPE, lambda: exposition(metrics)),
        }
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, unless there are too many; and the next one not at once."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)
        time.sleep(_PAUSE_S)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, in a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: whoever left in the middle of an answer is nothing to a crawl."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE_S
    server_version = "crawler"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        if not _HOSTS.fullmatch(self.headers.get("Host", "")):
            self._say(HTTPStatus.FORBIDDEN, f"This answers to {_ADDRESS} and localhost alone.")
        elif page is None:
            self._say(HTTPStatus.NOT_FOUND, "There are / and /metrics.")
        else:
            self._answer(HTTPStatus.OK, page[0], page[1]())

    do_HEAD = do_GET  # noqa: N815 - the name in http.server

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """An answer to what is no GET or HEAD, or no HTTP at all."""
        del message, explain  # http.server would repeat what was sent
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._say(status, "Only GET and HEAD are answered.")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
        """Say nothing: standard error is the run's."""

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Allow", "GET, HEAD"),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", f"{policy()}; frame-ancestors 'none'"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
