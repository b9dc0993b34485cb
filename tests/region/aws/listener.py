"""HTTP over TLS on sockets that are given to us, a thread for each connection."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import urlsplit

from tests.region.aws import hosts
from tests.region.aws.request import Answer, FilePart, Request

_PIECE: Final = 1 << 20
_MOST: Final = 16 << 20

Handle = Callable[[Request], Answer]
Control = Callable[[str, str, bytes], tuple[int, Any]]


class Listener:
    """Accepts on *listening* until closed; *handle* answers requests, *control* our own path."""

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext | None,
        handle: Handle,
        control: Control,
        clock: Callable[[], float],
    ) -> None:
        self._listening = listening
        self._tls = tls
        self._handle = handle
        self._control = control
        self._clock = clock
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="aws-accept", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listening.close()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, peer = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            threading.Thread(
                target=self._serve, args=(connection, peer), name="aws-call", daemon=True
            ).start()

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        wrapped = connection
        try:
            connection.settimeout(120)
            if self._tls is not None:
                wrapped = self._tls.wrap_socket(connection, server_side=True)
            _Handler(wrapped, peer, self._handle, self._control, self._clock)
        except OSError:
            pass  # The client went away, or does not trust our certificate: its own business.
        except ValueError:
            if not self._closed:  # else what is being read was closed meanwhile
                raise
        finally:
            with self._lock:
                self._open.discard(connection)
            wrapped.close()
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    """Parses with the standard library; the response is written by hand, in one piece if small."""

    protocol_version = "HTTP/1.1"

    def __init__(
        self,
        connection: socket.socket,
        peer: Any,
        handle: Handle,
        control: Control,
        clock: Callable[[], float],
    ) -> None:
        self._handle = handle
        self._control = control
        self._clock = clock
        self._socket = connection
        super().__init__(connection, peer, None)  # type: ignore[arg-type]

    def setup(self) -> None:
        self.connection = self._socket
        self.rfile = io.BufferedReader(self._socket.makefile("rb", 0), 1 << 18)
        self.wfile = self._socket.makefile("wb", 0)  # type: ignore[assignment]

    def log_message(self, format: str, *args: Any) -> None:
        """The call log is our own; the standard library's lines on stderr are not wanted."""

    def handle_expect_100(self) -> bool:
        # Sent only when the body is really wanted, so that a refusal costs no upload.
        return True

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._one
        raise AttributeError(name)

    def _one(self) -> None:
        split = urlsplit(self.path)
        if split.path.startswith("/_region/"):
            self._answer_control(split.path)
            return
        host = (self.headers.get("host") or "").rpartition(":")[0] or self.headers.get("host", "")
        target = hosts.resolve(_without_port(self.headers.get("host") or host))
        if target is None:
            self._unknown_host()
            return
        body = _Body(self)
        request = Request(
            method=self.command,
            raw_path=_raw(self.path)[0] or "/",
            raw_query=_raw(self.path)[1],
            headers={k.lower(): v for k, v in self.headers.items()},
            body=b"" if target.service == "s3" else body.read(_MOST),
            stream=body,
            length=body.length,
            target=target,
            request_id=str(uuid.uuid4()),
            peer=str(self.client_address[0]),
        )
        answer = self._handle(request)
        if body.is_withheld():
            self.close_connection = True
        elif answer.ending != "reset":
            body.drain()
        self._write(answer, request)

    def _answer_control(self, path: str) -> None:
        data = _Body(self).read(_MOST)
        status, value = self._control(self.command, path, data)
        body = json.dumps(value).encode()
        self._send(status, {"Content-Type": "application/json"}, len(body))
        self.wfile.write(body)

    def _unknown_host(self) -> None:
        """Fail loudly: a name that AWS has and we do not must not look like an outage."""
        self.close_connection = True
        host = self.headers.get("host")
        body = json.dumps(
            {"__type": "RegionNotImplemented", "message": f"The region does not serve {host}."}
        ).encode()
        self._send(400, {"Content-Type": "application/x-amz-json-1.1"}, len(body))
        self.wfile.write(body)

    def _write(self, answer: Answer, request: Request) -> None:
        if answer.ending == "reset":
            self._reset()
            return
        length = answer.body.length if isinstance(answer.body, FilePart) else len(answer.body)
        told = {
            "x-amzn-RequestId": request.request_id,
            "x-amz-request-id": request.request_id,
            "x-amz-id-2": request.request_id,
            **answer.headers,
        }
        told_length = int(told.pop("Content-Length", length))
        self._send(answer.status, told, told_length)
        if request.method != "HEAD" and answer.status not in (204, 304):
            self._write_body(answer)
        if answer.ending == "truncate":
            self._reset()

    def _write_body(self, answer: Answer) -> None:
        if isinstance(answer.body, bytes):
            cut = len(answer.body) // 2 if answer.ending == "truncate" else len(answer.body)
            self.wfile.write(answer.body[:cut])
            return
        left = answer.body.length // 2 if answer.ending == "truncate" else answer.body.length
        with answer.body.file as file:
            while left > 0 and (piece := file.read(min(_PIECE, left))):
                self._socket.sendall(piece)
                left -= len(piece)

    def _date(self) -> str:
        return self.date_time_string(self._clock())  # AWS's own, which clients compare theirs with

    def _send(self, status: int, headers: dict[str, str], length: int) -> None:
        reason = self.responses.get(status, ("",))[0]
        lines = [f"HTTP/1.1 {status} {reason}", f"Date: {self._date()}"]
        lines += ["Server: AmazonS3"] if "x-amz-bucket-region" in headers else []
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if status != 204:
            lines.append(f"Content-Length: {length}")
        if self.close_connection:
            lines.append("Connection: close")
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def _reset(self) -> None:
        """Close with RST: the client sees a broken connection, not an orderly end."""
        self.close_connection = True
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self._socket.detach())


class _Body(io.RawIOBase):
    """The request's body: of known length or chunked, read no further than its end."""

    def __init__(self, handler: _Handler) -> None:
        super().__init__()
        self._rfile: Any = handler.rfile
        self._handler = handler
        self._chunked = "chunked" in (handler.headers.get("transfer-encoding") or "").lower()
        self.length = -1 if self._chunked else int(handler.headers.get("content-length") or 0)
        self._left = 0 if self._chunked else self.length
        self._ended = not self._chunked and self.length == 0
        self._expecting = (handler.headers.get("expect") or "").lower() == "100-continue"

    def is_withheld(self) -> bool:
        """Whether the client waits to be told to send, and was not."""
        return self._expecting and not self._ended

    def drain(self) -> None:
        """Read what a refusal left unread: a client that still sends does not hear an answer."""
        while self._some(_PIECE):
            pass

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        pieces: list[bytes] = []
        want = size if size >= 0 else 1 << 62
        while want > 0 and (piece := self._some(min(want, _PIECE))):
            pieces.append(piece)
            want -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n") and (piece := self._some(1)):
            line += piece
        return bytes(line)

    def _some(self, most: int) -> bytes:
        if self._expecting:
            self._expecting = False
            self._handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._ended:
            return b""
        if self._left == 0 and not self._next_chunk():
            return b""
        data: bytes = self._rfile.read(min(most, self._left))
        if not data:
            raise ConnectionError("the client stopped in the middle of the body")
        self._left -= len(data)
        if self._left == 0:
            self._end_of_piece()
        return data

    def _next_chunk(self) -> bool:
        line = self._rfile.readline()
        if not line:
            raise ConnectionError("the client stopped between two pieces of the body")
        self._left = int(line.split(b";")[0], 16)
        if self._left == 0:
            while self._rfile.readline().strip():
                pass
            self._ended = True
        return not self._ended

    def _end_of_piece(self) -> None:
        if self._chunked:
            self._rfile.readline()
        else:
            self._ended = True


def _raw(target: str) -> tuple[str, str]:
    """Split a request target as sent; an absolute one (through a proxy) loses its host."""
    path, _, query = target.partition("?")
    if path.startswith(("http://", "https://")):
        path = "/" + path.split("/", 3)[-1] if path.count("/") > 2 else "/"
    return path, query


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
