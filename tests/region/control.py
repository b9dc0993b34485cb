"""Talk with the daemon of a region over its socket: one JSON line asks, one answers."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

Verbs = Mapping[str, Callable[..., Any]]


class NobodyError(Exception):
    """No daemon listens there."""


def ask(path: Path, verb: str, *, timeout: float = 60, **arguments: Any) -> Any:
    """Ask the daemon at *path*; NobodyError when there is none, or it ends while we ask."""
    line = json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n"
    try:
        answer = _exchange(path, line, timeout)
    except (ConnectionError, FileNotFoundError) as error:
        raise NobodyError(f"nobody listens at {path}") from error
    if not answer:
        raise NobodyError(f"whoever listened at {path} has gone")
    said = json.loads(answer)
    if "error" in said:
        raise ValueError(said["error"])
    return said["answer"]


def _exchange(path: Path, line: bytes, timeout: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
        wire.settimeout(timeout)
        wire.connect(str(path))
        wire.sendall(line)
        with wire.makefile("rb") as lines:
            return lines.readline()


@dataclass(slots=True)
class Control:
    """Answers *verbs* at *path* until closed."""

    path: Path
    verbs: Verbs
    _listener: socket.socket | None = None
    _thread: threading.Thread | None = field(default=None, repr=False)

    def open(self) -> None:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self.path.chmod(0o600)
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._listener and self._thread:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._listener is not None
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with suppress(OSError), caller, caller.makefile("rb") as lines:
            for line in lines:
                caller.sendall(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            return {"answer": self.verbs[asked["verb"]](**asked["arguments"])}
        except Exception as error:  # whoever asked is told, and the daemon goes on
            logger.exception("The control socket was asked %r", line)
            return {"error": f"{type(error).__name__}: {error}"}
