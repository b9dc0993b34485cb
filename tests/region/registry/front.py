"""What stands before a registry: TLS, a gate that refuses, and a stream that never gathers layers.

A gate looks at each request's head and lets it pass or answers it itself; bodies flow through
in pieces, in both directions. Only manifests, which are small, are held whole: gates record them.
"""

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

PIECE: Final = 1 << 20
MOST_OF_A_MANIFEST: Final = 4 << 20
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
)
_PATH: Final = re.compile(r"^/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags)/(?P<reference>.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The head of a request. `kind` is manifests, blobs or tags; empty for what has no name."""

    method: str
    host: str
    path: str
    query: str
    authorization: str
    name: str = ""
    kind: str = ""
    reference: str = ""

    @property
    def is_upload(self) -> bool:
        return self.kind == "blobs" and self.reference.startswith("uploads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that a gate gives itself."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A manifest that the registry took."""

    name: str
    tag: str | None
    digest: str
    manifest: bytes
    media_type: str


class Gate(Protocol):
    """What a kind of registry adds: whom it lets in, and what it does with a push."""

    def check(self, asked: Asked) -> Reply | None:
        """Return the refusal, or None to let the request pass."""

    def target(self, asked: Asked) -> str:
        """Return the path and query to ask the registry for."""

    def check_manifest(self, asked: Asked, manifest: bytes) -> Reply | None:
        """Return why a manifest may not be pushed, or None."""

    def pushed(self, push: Pushed) -> None:
        """Take note of a manifest that was taken."""


def errors(status: int, code: str, message: str, **headers: str) -> Reply:
    """Return a refusal in the registry API's form."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(
        status=status,
        body=body,
        headers={"Content-Type": "application/json; charset=utf-8"} | named,
    )


def parse(method: str, target: str, headers: Mapping[str, str]) -> Asked:
    """Read the head of a request."""
    split = urlsplit(target)
    found = _PATH.match(split.path)
    return Asked(
        method=method,
        host=headers.get("Host", "").partition(":")[0].lower(),
        path=split.path,
        query=split.query,
        authorization=headers.get("Authorization", ""),
        **(found.groupdict() if found else {}),
    )


def handler(gate: Gate, upstream: Path) -> type[BaseHTTPRequestHandler]:
    """Return the request handler that guards the registry on the unix socket *upstream*."""
    return type("Front", (_Front,), {"gate": gate, "upstream": upstream})


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("registry", blocksize=PIECE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class _Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "registry"
    sys_version = ""
    gate: Gate
    upstream: Path

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the registry and the log of AWS calls have what matters."""

    def _serve(self) -> None:
        asked = parse(self.command, self.path, dict(self.headers.items()))
        refused = self.gate.check(asked)
        if refused:
            self._refuse(refused)
            # A body left lying makes the kernel reset the connection, and the answer is lost.
            for _ in self._body():
                """Nobody wants it."""
        elif asked.kind == "manifests" and asked.method == "PUT":
            self._put_manifest(asked)
        else:
            self._forward(asked)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _put_manifest(self, asked: Asked) -> None:
        manifest = b"".join(self._body(MOST_OF_A_MANIFEST))
        refused = self.gate.check_manifest(asked, manifest)
        if refused:
            self._refuse(refused)
            return
        with contextlib.closing(_UnixConnection(self.upstream)) as connection:
            answer = self._ask(connection, asked, manifest)
            body = answer.read()
            if answer.status == 201:
                # Noted before the client hears of it, so that it finds it when it asks.
                self.gate.pushed(self._pushed(asked, manifest, answer))
            self._head(answer)
            self.wfile.write(body)

    def _pushed(self, asked: Asked, manifest: bytes, answer: http.client.HTTPResponse) -> Pushed:
        return Pushed(
            name=asked.name,
            tag=None if asked.reference.startswith("sha256:") else asked.reference,
            digest=answer.headers["Docker-Content-Digest"],
            manifest=manifest,
            media_type=self.headers.get("Content-Type", ""),
        )

    def _forward(self, asked: Asked) -> None:
        has_body = "Content-Length" in self.headers or self._is_chunked()
        with contextlib.closing(_UnixConnection(self.upstream)) as connection:
            answer = self._ask(connection, asked, self._body() if has_body else None)
            self._head(answer)
            if self.command != "HEAD":
                self._stream_down(answer)

    def _ask(
        self, connection: _UnixConnection, asked: Asked, body: bytes | Iterator[bytes] | None
    ) -> http.client.HTTPResponse:
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in _HOP_BY_HOP and name.lower() != "authorization"
        }
        # From this and Host it makes the addresses at which an upload goes on.
        headers["X-Forwarded-Proto"] = "https"
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
        elif body is not None and self._is_chunked():
            headers["Transfer-Encoding"] = "chunked"
        chunked = "Transfer-Encoding" in headers
        target = self.gate.target(asked)
        connection.request(asked.method, target, body, headers, encode_chunked=chunked)
        return connection.getresponse()

    def _head(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP | {"server", "date"}:
                self.send_header(name, value)
        if self._needs_chunks(answer):
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _stream_down(self, answer: http.client.HTTPResponse) -> None:
        chunked = self._needs_chunks(answer)
        while piece := answer.read(PIECE):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _needs_chunks(self, answer: http.client.HTTPResponse) -> bool:
        has_body = self.command != "HEAD" and answer.status not in (204, 304)
        return has_body and answer.getheader("Content-Length") is None

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _body(self, most: int | None = None) -> Iterator[bytes]:
        """Yield the request's body in pieces; stop a caller that sends more than *most*."""
        seen = 0
        for piece in self._chunks() if self._is_chunked() else self._counted():
            seen += len(piece)
            if most is not None and seen > most:
                raise ConnectionAbortedError(f"more than {most} bytes were sent")
            yield piece

    def _counted(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise ConnectionAbortedError("the caller hung up in the middle of a body")
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            while size:
                piece = self.rfile.read(min(size, PIECE))
                if not piece:
                    raise ConnectionAbortedError("the caller hung up in the middle of a body")
                size -= len(piece)
                yield piece
            self.rfile.readline()
        while self.rfile.readline().strip():
            """Trailers mean nothing to a registry."""

    def _refuse(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
