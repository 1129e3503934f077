"""A run that goes on, looked at from outside: the live page, the metrics, report and query beside it."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import crawl, running, until, write_list
from conftest import Origin
from prometheus_client.parser import text_string_to_metric_families
from test_progress import a_reading
from test_report import HTML_TAGS, SVG_TAGS, Outline

from crawler.errors import ConfigError
from crawler.load import Load, WorkerLoad
from crawler.records import Waiting
from crawler.report.board import _POINTS, Board
from crawler.report.live import live_page, policy
from crawler.report.server import serving

LOAD = Load(
    (WorkerLoad(0, 3, 8, 0.5),),
    5_000_000,
    (Waiting("</script>\x1b[2J.test", 3, "delay", 4.0),),
    "politeness: 3 entries wait for 1 host (--per-host, --delay)",
    "politeness",
    0.25,
    0.125,
)


@pytest.fixture
def served() -> Iterator[tuple[Board, int]]:
    """A board in full swing, and the port where it is served."""
    with serving("</title>\x1b<b>", 0) as (board, url):
        for second in range(5):
            board.post(a_reading(load=LOAD, elapsed_s=float(second), bytes_wire=second * 1000))
        yield board, int(url.rstrip("/").rpartition(":")[2])


def ask(port: int, target: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """The status, the header fields and the body of an answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()


def samples(text: str) -> dict[str, float]:
    """The metrics by name and labels, as Prometheus's own reader has them."""
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TestMetrics:
    def test_prometheus_reads_them(self, served: tuple[Board, int]) -> None:
        """The text is in the format that its Content-Type says, with the numbers of the last reading."""
        status, headers, text = ask(served[1], "/metrics")
        metrics = samples(text)

        assert (200, "text/plain; version=0.0.4; charset=utf-8") == (status, headers["content-type"])
        assert (130_000, 118_000, 3_000, 0) == tuple(
            metrics[name]
            for name in ("crawler_entries_read_total", "crawler_pages_ok_total", "crawler_entries_totalfailed",
                         "crawler_entries_totalinvalid")
        )  # fmt: skip
        assert (2900, 4000, 0.5, 0.25) == tuple(
            metrics[name]
            for name in ("crawler_errors_totaldns", "crawler_received_bytes_total", "crawler_worker_cpu_ratio0",
                         "crawler_parent_cpu_ratio")
        )  # fmt: skip
        assert {"crawler_limited_bypoliteness"} == {
            name for name, value in metrics.items() if name.startswith("crawler_limited_by") and value
        }

    def test_names_are_as_they_should_be(self, served: tuple[Board, int]) -> None:
        """Each family has a help text, and the prefix of this program; a counter ends in _total."""
        for family in text_string_to_metric_families(ask(served[1], "/metrics")[2]):
            assert family.name.startswith("crawler_")
            assert family.documentation.endswith(".")
            assert family.type in ("counter", "gauge")

    def test_nothing_yet(self) -> None:
        """Before the first reading there are no metrics, and the page says that the run is starting."""
        with serving("x", 0) as (_, url):
            port = int(url.rstrip("/").rpartition(":")[2])
            assert (200, "") == ask(port, "/metrics")[::2]
            assert "The run is starting." in ask(port, "/live")[2]


class TestPage:
    def test_it_is_one_file(self, served: tuple[Board, int]) -> None:
        """The page has its style and its script in itself, and a policy that lets no other run."""
        status, headers, page = ask(served[1], "/")
        outline = Outline(page)

        assert (200, "text/html; charset=utf-8", "no-store") == (
            status, headers["content-type"], headers["cache-control"]
        )  # fmt: skip
        assert outline.tags <= HTML_TAGS | SVG_TAGS | {"script", "h3"}
        assert 1 == page.count("<script>")
        assert headers["content-security-policy"].startswith(policy())
        assert not {name for name in outline.attributes if name.startswith(("on", "href", "src", "style"))}
        assert None is re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", page)

    def test_it_shows_the_run(self, served: tuple[Board, int]) -> None:
        """How far it is, how fast, what limits it and whom it waits for."""
        text = Outline(ask(served[1], "/live")[2]).text

        for words in ("12.3 %", "1:12:01", "118,000", LOAD.limit, "</script>\\x1b[2J.test", "3 of 8", "Pace so far"):
            assert words in text

    @pytest.mark.parametrize("reading", [a_reading(), a_reading(fraction=None, eta_s=None, outcomes={}, recorded=0)])
    def test_any_reading_has_a_page(self, reading: Any) -> None:
        """Also one without a load, and one that knows nothing yet."""
        board = Board()
        board.post(reading)

        Outline(live_page("x", board.posted))

    def test_points_are_bounded(self) -> None:
        """However long a run is, its pace is a hundred points or so, evenly over it."""
        board = Board()
        for second in range(10_000):
            board.post(a_reading(elapsed_s=float(second)))
        assert board.posted is not None
        times = [point.elapsed_s for point in board.posted.points]
        steps = {later - earlier for earlier, later in itertools.pairwise(times)}

        assert _POINTS / 3 < len(times) <= _POINTS
        assert max(steps) <= 2 * min(steps)


class TestServer:
    @pytest.mark.parametrize(
        ("target", "method", "host", "status"),
        [
            ("/", "GET", "127.0.0.1:80", 200),
            ("/metrics?x=1", "GET", "LOCALHOST", 200),
            ("/", "GET", "evil.example", 403),
            ("/metrics", "GET", "127.0.0.1.evil.example", 403),
            ("/", "GET", "localhost:80@evil.example", 403),
            ("/", "GET", "", 403),
            ("/x", "GET", "localhost", 404),
            ("/../etc/passwd", "GET", "localhost", 404),
            ("/", "POST", "localhost", 405),
            ("/metrics", "OPTIONS", "localhost", 405),
            ("/", "BREW", "localhost", 405),
        ],
    )
    def test_who_gets_what(self, served: tuple[Board, int], target: str, method: str, host: str, status: int) -> None:
        """GET and HEAD of what is there, by a name that this machine has for itself; no other site may read it."""
        found, headers, _ = ask(served[1], target, method, Host=host)

        assert status == found
        assert not {name for name in headers if name.startswith("access-control")}

    def test_head(self, served: tuple[Board, int]) -> None:
        """HEAD is GET without the body."""
        _, headers, body = ask(served[1], "/live", "HEAD")

        assert ("", True) == (body, int(headers["content-length"]) > 100)

    @pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01 TLS\r\n\r\n", b"GET /" + b"a" * 70_000 + b"\r\n\r\n"])
    def test_what_is_no_request(self, served: tuple[Board, int], sent: bytes) -> None:
        """Whatever comes in, the next one is answered."""
        with contextlib.closing(socket.create_connection(("127.0.0.1", served[1]))) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                assert b"<" not in connection.recv(10_000)

        assert 200 == ask(served[1], "/metrics")[0]

    def test_it_listens_on_loopback_alone(self) -> None:
        """No other machine can connect, and a port that is taken is one sentence."""
        with serving("x", 0) as (_, url):
            port = int(url.rstrip("/").rpartition(":")[2])
            with pytest.raises(ConfigError, match=rf"^Port {port} of 127\.0\.0\.1 cannot be had for --metrics-port"):
                serving("y", port).__enter__()
            with contextlib.closing(socket.socket()) as other:
                other.bind(("127.0.0.2", port))  # where it does not listen


class TestCommand:
    def test_beside_a_run(self, origin: Origin, tmp_path: Path) -> None:
        """While a run waits for its last page: page, metrics, report and query tell what there is; then all is done."""
        write_list(tmp_path, *(origin.url(f"/{name}") for name in ("a", "b", "404")), origin.url("/hold/watched"))
        with running("urls.txt", "--allow-private", "--metrics-port", "0", "--quiet", cwd=tmp_path) as run:
            assert run.stderr is not None
            said = re.fullmatch(r"Live page: (http://127\.0\.0\.1:(\d+)/) \(Prometheus: \1metrics\)\n",
                                run.stderr.readline())  # fmt: skip
            assert said is not None
            port = int(said[2])
            until(lambda: samples(ask(port, "/metrics")[2]).get("crawler_entries_totalfetched") == 3)
            page = ask(port, "/")[2]
            rows = "SELECT count(*) AS rows FROM pages WHERE outcome = 'fetched'"
            until(lambda: "3" in crawl("query", "urls.crawl", rows, "--csv", cwd=tmp_path).stdout)
            report = crawl("report", "urls.crawl", cwd=tmp_path).stdout
            html = crawl("report", "urls.crawl", "--html", "-", cwd=tmp_path).stdout
            origin.release("watched")
            assert 0 == run.wait()

        assert "<h1>urls.crawl</h1>" in page
        assert "urls.crawl: not finished" in report
        assert "not finished; the command that began it goes on" in html
        assert "finished\n" in crawl("report", "urls.crawl", cwd=tmp_path).stdout

    def test_json_says_where(self, origin: Origin, tmp_path: Path) -> None:
        """With JSON lines the address is one of them."""
        write_list(tmp_path, origin.url("/a"))
        done = crawl("urls.txt", "--allow-private", "--metrics-port", "0", "--log-format", "json", cwd=tmp_path)

        assert "metrics" == json.loads(done.stderr.splitlines()[0])["event"]

    def test_a_port_that_is_taken(self, tmp_path: Path) -> None:
        """One sentence and exit status 2, before anything is made."""
        write_list(tmp_path, "http://127.0.0.1/")
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
            done = crawl("urls.txt", "--metrics-port", str(port), cwd=tmp_path)
        complaint = (
            f"crawl: Port {port} of 127.0.0.1 cannot be had for --metrics-port, Address already in use; name another "
            "one, or 0 for any that is free.\n"
        )

        assert (2, "", complaint) == (done.returncode, done.stdout, done.stderr)
        assert not (tmp_path / "urls.crawl").exists()

    @pytest.mark.parametrize("port", ["-1", "65536", "http", "8.0"])
    def test_what_is_no_port(self, tmp_path: Path, port: str) -> None:
        """A port is a number up to 65535."""
        write_list(tmp_path, "http://127.0.0.1/")
        done = crawl("urls.txt", f"--metrics-port={port}", cwd=tmp_path)

        assert (2, True) == (done.returncode, f"{port!r} is no port" in done.stderr)

    def test_who_does_not_ask_does_not_pay(self) -> None:
        """Without the flag neither a server nor Prometheus's library is imported, and no completion."""
        code = "import sys; from crawler.cli import main; main.make_parser(); from crawler.cli import watched; print(\
            {'prometheus_client', 'http.server', 'shtab', 'crawler.report.page'} & sys.modules.keys())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert "set()\n" == done.stdout
