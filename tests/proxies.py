"""An HTTP proxy on loopback for tests: raw sockets on one free port, in a thread of its own.

It forwards requests in absolute form (RFC 9112 §3.2.2) and makes tunnels (RFC 9110 §9.3.6). `heads` are the heads that
it was sent, in their order, and `peers` the ports that it connected from: the origins know it by them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

_REFUSED = b"Content-Length: 2\r\nProxy-Authenticate: Basic realm=x\r\n\r\nno"


class TestProxy:
    """A running proxy. `port` is where it listens; with an `answer` it says only that, and closes."""

    __test__ = False

    def __init__(self, credentials: str | None, answer: bytes | None) -> None:
        self.heads: list[str] = []
        self.tunnels = 0
        self.port = 0
        self._credentials = credentials
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, userinfo: str = "") -> str:
        """What `--proxy` takes."""
        return f"http://{userinfo}127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[str]:
        """The first lines of the heads."""
        return [head.partition("\r\n")[0] for head in self.heads]

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def stop(self, server: asyncio.Server) -> None:
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    continue
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        method, target, _ = head.partition("\r\n")[0].split(" ")
        if self._answer is not None:
            writer.write(self._answer)
            await writer.drain()
            return False
        if not self._is_known(head):
            writer.write(b"HTTP/1.1 407 Who are you\r\n" + _REFUSED)
            return method != "CONNECT"
        if method == "CONNECT":
            await self._tunnel(target, reader, writer)
            return False
        await self._forward(target, head, writer)
        return True

    def _is_known(self, head: str) -> bool:
        if self._credentials is None:
            return True
        expected = "Basic " + base64.b64encode(self._credentials.encode()).decode()
        return f"\r\nProxy-Authorization: {expected}\r\n" in head

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(port))
        self.tunnels += 1
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        finally:
            far_writer.close()

    async def _forward(self, target: str, head: str, writer: asyncio.StreamWriter) -> None:
        """Send the request on in origin form, and the answer back; of the requests only those without a body."""
        parts = urlsplit(target)
        first, *fields = head.rstrip("\r\n").split("\r\n")
        method, _, version = first.split(" ")
        path = target.partition("://")[2].partition("/")[2]
        kept = [field for field in fields if not field.lower().startswith("proxy-")]
        lines = [f"{method} /{path} {version}", *kept, "Via: 1.1 test", "Connection: close", "", ""]
        reader, far_writer = await asyncio.open_connection("127.0.0.1", parts.port)
        try:
            far_writer.write("\r\n".join(lines).encode("latin-1"))
            while data := await reader.read(1 << 16):
                writer.write(data)
            await writer.drain()
        finally:
            far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@contextlib.contextmanager
def running_proxy(credentials: str | None = None, answer: bytes | None = None) -> Iterator[TestProxy]:
    """A proxy, which wants these `user:password` where they are given."""
    proxy, loop = TestProxy(credentials, answer), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(proxy.start(), loop).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
