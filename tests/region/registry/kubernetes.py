"""registry.k8s.io: everybody reads, without a token; nobody writes.

The real one answers with redirects to mirrors, which clients follow without a word.
"""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from tests.region.registry import front
from tests.region.registry.front import Asked, Pushed, Reply
from tests.region.registry.readonly import ReadOnly


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Lets everyone read."""

    def check(self, asked: Asked) -> Reply | None:
        if asked.method not in ("GET", "HEAD"):
            return front.errors(405, "UNSUPPORTED", "The operation is unsupported.")
        return None

    def target(self, asked: Asked) -> str:
        return f"{asked.path}?{asked.query}" if asked.query else asked.path

    def check_manifest(self, asked: Asked, manifest: bytes) -> Reply | None:
        raise AssertionError("a push passed the gate")

    def pushed(self, push: Pushed) -> None:
        raise AssertionError("a push passed the gate")


def start(
    listening: socket.socket, tls: ssl.SSLContext | None, program: Path, storage: Path
) -> ReadOnly:
    """Serve registry.k8s.io on *listening*."""
    return ReadOnly(Gate(), "registry.k8s.io", listening, tls, program, storage)
