"""Serves the demo's site on a free port of 127.0.0.1: `python -m crawler.demo.server`, ended by end of input.

It is a process of its own, so that making the pages does not take the crawler's time.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from crawler.demo import site


class _Handler(BaseHTTPRequestHandler):
    """`/` is the index, `/NAME.html` a module, `/NAME` redirects to it."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if not name:
            self._answer(200, site.index())
        elif name.endswith(".html"):
            self._answer(*site.page(name.removesuffix(".html")))
        elif name in site.modules():
            self._answer(301, "", location=f"/{name}.html")
        else:
            self._answer(*site.page(name))

    def _answer(self, status: int, text: str, location: str | None = None) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
        """Say nothing: the crawl's own display is what there is to see."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a crawl that is interrupted leaves in the middle of an answer."""


@contextlib.contextmanager
def running() -> Iterator[tuple[str, list[str]]]:
    """The site in a process of its own, while the context lasts: its base URL and its paths."""
    command = [sys.executable, "-P", "-m", "crawler.demo.server"]
    # In a group of its own, so that Ctrl-C is for the crawl alone.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)  # noqa: S603 - our own module
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        hello = json.loads(process.stdout.readline())
        yield hello["url"], hello["paths"]
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main() -> None:
    """Serve until standard input ends."""
    warnings.simplefilter("ignore")  # deprecated modules say so on import; here that is nobody's concern
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    announcement = {"url": f"http://127.0.0.1:{server.server_address[1]}", "paths": site.paths()}
    print(json.dumps(announcement), flush=True)
    sys.stdout = sys.stderr  # whatever a module prints when it is imported
    sys.stdin.read()


if __name__ == "__main__":
    main()
