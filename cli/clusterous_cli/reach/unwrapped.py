"""A local port that speaks plainly what a server behind a tunnel speaks under TLS.

A browser on this machine would warn of a certificate that only the cluster's own authority signed;
here it is checked by that authority, and nothing is plain on any network.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Final

from clusterous_cli.reach.tunnel import LOOPBACK

CHUNK: Final = 1 << 16
SECONDS: Final = 30


@contextlib.contextmanager
def served(port: int, behind: int, trust: ssl.SSLContext) -> Iterator[int]:
    """Carry the local *port* (0: any) to the TLS server at the local port *behind*."""
    listening = socket.create_server((LOOPBACK, port))
    threading.Thread(target=_accept, args=(listening, behind, trust), daemon=True).start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        # To close alone does not wake who waits for the next.
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _accept(listening: socket.socket, behind: int, trust: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = listening.accept()
            threading.Thread(target=_carry, args=(near, behind, trust), daemon=True).start()


def _carry(near: socket.socket, behind: int, trust: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError), near:
        plain = socket.create_connection((LOOPBACK, behind), timeout=SECONDS)
        with trust.wrap_socket(plain, server_hostname="localhost") as far:
            far.settimeout(None)
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry until one side ends, and let the other know."""
    with contextlib.suppress(OSError):
        while found := source.recv(CHUNK):
            target.sendall(found)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
