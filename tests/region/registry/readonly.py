"""A registry that everybody reads and nobody writes: a gate before the distribution registry."""

import socket
import ssl
from pathlib import Path

from tests.region.internet import server
from tests.region.registry import front
from tests.region.registry.distribution import Distribution


class ReadOnly:
    """Serves the images of *storage* on *listening*, through *gate*; *name* is for its threads."""

    def __init__(
        self,
        gate: front.Gate,
        name: str,
        listening: socket.socket,
        tls: ssl.SSLContext | None,
        program: Path,
        storage: Path,
    ) -> None:
        self._distribution = Distribution(program, storage, read_only=True)
        guard = front.handler(gate, self._distribution.socket_path)
        self._servers = server.serve([(listening, tls)], guard, name)

    def close(self) -> None:
        server.stop(self._servers)
        self._distribution.close()
