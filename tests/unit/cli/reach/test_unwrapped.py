"""A local port that speaks plainly what a server behind a tunnel speaks under TLS."""

import contextlib
import http.client
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme

from clusterous_cli.program.central import page
from clusterous_cli.reach import unwrapped


class Page(http.server.BaseHTTPRequestHandler):
    """A page of some size."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "300000")
        self.end_headers()
        self.wfile.write(b"x" * 300000)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def kibana() -> Iterator[tuple[int, str]]:
    """The port of a TLS server, and the authority of its certificate, which is not localhost's."""
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("clusterous-kb-http.clusterous-logging.svc").configure_cert(tls)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a refusal is told here
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], authority.cert_pem.bytes().decode()
    server.shutdown()
    server.server_close()


def asked(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_page_under_tls_is_a_plain_one_on_this_machine(kibana: tuple[int, str]) -> None:
    behind, authority = kibana

    with unwrapped.served(0, behind, page.trust(authority)) as port:
        assert asked(port) == asked(port) == b"x" * 300000


def test_many_at_once_are_carried_whole(kibana: tuple[int, str]) -> None:
    """As a browser does; each connection is read and written at the same time."""
    behind, authority = kibana

    with (
        unwrapped.served(0, behind, page.trust(authority)) as port,
        ThreadPoolExecutor(8) as browser,
    ):
        found = list(browser.map(lambda _: asked(port), range(24)))

    assert found == [b"x" * 300000] * 24


def test_it_ends_while_a_connection_is_open(kibana: tuple[int, str]) -> None:
    behind, authority = kibana

    with unwrapped.served(0, behind, page.trust(authority)) as port:
        held = socket.create_connection(("127.0.0.1", port), timeout=30)
        held.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.recv(1)

    with held, contextlib.suppress(ConnectionError):
        while held.recv(65536):
            pass
    with pytest.raises(ConnectionError):
        asked(port)


def test_who_is_signed_by_another_is_not_believed(kibana: tuple[int, str]) -> None:
    other = trustme.CA().cert_pem.bytes().decode()

    with (
        unwrapped.served(0, kibana[0], page.trust(other)) as port,
        pytest.raises((http.client.HTTPException, OSError)),
    ):
        asked(port)
