"""An HTTP server on listening sockets of any namespace, with TLS or without; a thread a caller."""

import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A caller that says nothing must not keep a thread for ever.
_PATIENCE = 60.0


class Server(ThreadingHTTPServer):
    """Serves *handler* on one *listener*; *tls* makes it HTTPS."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        listener: socket.socket,
        handler: type[BaseHTTPRequestHandler],
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(("", 0), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()
        self.tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the caller's own thread: a slow one must not keep the others waiting."""
        request.settimeout(_PATIENCE)
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with suppress(OSError), self.tls.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is no error of ours."""


def serve(
    listeners: Sequence[tuple[socket.socket, ssl.SSLContext | None]],
    handler: type[BaseHTTPRequestHandler],
    name: str,
) -> list[Server]:
    """Serve *handler* on all *listeners* until each server is given to `stop`."""
    servers = [Server(listener, handler, tls) for listener, tls in listeners]
    for server in servers:
        threading.Thread(target=server.serve_forever, name=name, daemon=True).start()
    return servers


def stop(servers: Sequence[Server]) -> None:
    for server in servers:
        server.shutdown()
        server.server_close()
