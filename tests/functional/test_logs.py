"""`clusterous logs --follow` over TLS that is cut, against a stand-in of the API server."""

import contextlib
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from clusterous_cli.program import logs
from clusterous_cli.reach import streams


@dataclass
class Wire:
    """The way to the API server, which can be cut."""

    to: int
    server: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    open: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.getsockname()[1])

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
                self.open += [near, far]
                for one, other in ((near, far), (far, near)):
                    self.threads.append(threading.Thread(target=_carry, args=(one, other)))
                    self.threads[-1].start()

    def cut(self) -> None:
        for one in self.open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for one in self.open:
            one.close()
        self.open.clear()
        self.threads.clear()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while found := source.recv(65536):
            target.sendall(found)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


class Server(http.server.ThreadingHTTPServer):
    """Serves one container's log as API server and kubelet do; the test says what is said."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Log)
        self.authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("kubernetes").configure_cert(tls)
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.is_there = True
        self.lines: list[tuple[datetime, str]] = []
        self.asked: list[dict[str, list[str]]] = []

    def client(self, port: int) -> Any:
        trusted = ssl.create_default_context()
        self.authority.configure_trust(trusted)
        return streams.at(port, trusted, "kubernetes")

    def say(self, *words: str) -> None:
        self.lines += [(datetime.now(UTC), one) for one in words]


class _Log(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.server.asked.append(query)
        if not self.server.is_there:
            self.send_error(404)
            return
        since = datetime.fromisoformat(query.get("sinceTime", ["2000-01-01T00:00:00Z"])[0])
        at = max(len(self.server.lines) - int(query.get("tailLines", [10**9])[0]), 0)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            while "follow" in query:
                for when, words in self.server.lines[at:]:
                    at += 1
                    if when >= since:
                        stamp = when.isoformat(timespec="microseconds").replace("+00:00", "000Z")
                        self._send(f"{stamp} {words}\n".encode())
                time.sleep(0.02)

    def _send(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    made = Wire(int(server.server_address[1]))
    threading.Thread(target=made.run, daemon=True).start()
    yield made
    made.server.close()
    made.cut()


def pod() -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": "sim-workers-a"},
        "spec": {"containers": [{"name": "workers"}]},
        "status": {"phase": "Running"},
    }


def until(check: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def test_a_log_is_followed_over_cuts_and_no_line_is_lost_or_told_twice(
    server: Server, wire: Wire
) -> None:
    said = list[str]()
    server.say("before")
    following = logs.Following(
        read=partial(streams.log, server.client(wire.port)),
        look=lambda: [pod()] if server.is_there else [],
        app="sim",
        wanted=logs.Extent(lines=10),
    )
    thread = threading.Thread(
        target=following.run,
        args=(lambda line: said.append(line.text), lambda: not server.is_there),
    )
    thread.start()

    expected = ["before"]
    for turn in range(3):
        whole, cut = [f"{turn} whole {n}" for n in range(5)], [f"{turn} cut"] * 3
        server.say(*whole)
        until(partial(heard, said, whole[-1]), "what is said")
        wire.cut()
        server.say(*cut)
        expected += whole + cut
    until(lambda: said.count("2 cut") == 3, "what was said meanwhile")
    server.is_there = False
    wire.cut()
    thread.join(60)

    assert not thread.is_alive()
    assert said == expected
    assert sum("sinceTime" in query for query in server.asked) >= 3


def heard(said: list[str], words: str) -> bool:
    return words in said
