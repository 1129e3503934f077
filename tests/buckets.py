"""An S3-compatible server as a child process: `python buckets.py` prints its port, and ends with its input."""

from __future__ import annotations

import contextlib
import logging
import sys
import urllib.request
from collections.abc import Iterator

from served import served

BUCKET = "crawls"


@contextlib.contextmanager
def running_buckets() -> Iterator[dict[str, str]]:
    """The server, with an empty bucket; what is yielded is the environment by which everybody finds it."""
    with served([sys.executable, __file__]) as line:
        endpoint = f"http://127.0.0.1:{int(line)}"
        request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "key-of-a-test",
            "AWS_SECRET_ACCESS_KEY": "secret-of-a-test",
            "AWS_REGION": "us-east-1",
        }


if __name__ == "__main__":
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it says each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    server.stop()
