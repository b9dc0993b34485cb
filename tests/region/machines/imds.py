"""The instance metadata service, version 2 and (where the instance allows it) 1.

`Service` answers for one instance. What it answers is `metadata.tree`, a pure function of the
instance; the network side, with the hop limit, is `link`.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Final, Protocol

from tests.region.aws.keys import Credentials
from tests.region.aws.view import Instance
from tests.region.machines import metadata

logger = logging.getLogger(__name__)

TOKEN_PATH: Final = "/latest/api/token"
TOKEN: Final = "X-aws-ec2-metadata-token"
TOKEN_SECONDS: Final = "X-aws-ec2-metadata-token-ttl-seconds"
LONGEST: Final = 21600

Clock = Callable[[], float]


class Issuer(Protocol):
    """Where temporary keys come from."""

    def credentials(self, role_name: str, instance_id: str) -> Credentials: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    role: str
    keys: Credentials
    until: float


class Service:
    """One instance's metadata; thread-safe, without a network."""

    def __init__(
        self, instance: Instance, facts: metadata.Facts, issuer: Issuer, clock: Clock = time.time
    ) -> None:
        self.instance = instance
        self.facts = facts
        self._issuer = issuer
        self._clock = clock
        self._tokens: dict[str, float] = {}
        self._keys: _Kept | None = None
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Answer a request; *headers* have lower-case names."""
        if method == "PUT" and path == TOKEN_PATH:
            return self._token(headers)
        if method not in {"GET", "HEAD"}:
            return _refusal(405, "Method Not Allowed")
        if not self._may_read(headers.get(TOKEN.lower())):
            return _refusal(401, "Unauthorized")
        content = metadata.find(metadata.tree(self.instance, self.facts, self._credentials), path)
        if content is None:
            return _refusal(404, "Not Found")
        return Answer(status=200, body=content)

    def _token(self, headers: Mapping[str, str]) -> Answer:
        # A request that a proxy passed on is not the instance's own.
        if "x-forwarded-for" in headers:
            return _refusal(403, "Forbidden")
        wanted = headers.get(TOKEN_SECONDS.lower(), "")
        if not wanted.isdigit() or not 1 <= int(wanted) <= LONGEST:
            return _refusal(400, "Bad Request")
        token = secrets.token_urlsafe(40) + "=="
        with self._lock:
            now = self._clock()
            self._tokens = {key: end for key, end in self._tokens.items() if end > now}
            self._tokens[token] = now + int(wanted)
        return Answer(status=200, body=token.encode(), headers={TOKEN_SECONDS: wanted})

    def _may_read(self, token: str | None) -> bool:
        if token is None:
            return self.instance.http_tokens != "required"
        with self._lock:
            return self._tokens.get(token, 0) > self._clock()

    def _credentials(self) -> metadata.RoleKeys:
        """Answer keys that last: new ones are made well before the old ones end, as on EC2."""
        role = self.instance.role_name or ""
        with self._lock:
            if self._keys is None or self._keys.role != role or self._clock() >= self._keys.until:
                keys = self._issuer.credentials(role, self.instance.id)
                self._keys = _Kept(role=role, keys=keys, until=self._renewal(keys))
            return metadata.RoleKeys(keys=self._keys.keys, issued=datetime.now(UTC))

    def _renewal(self, keys: Credentials) -> float:
        now = self._clock()
        end = keys.expiration.timestamp() if keys.expiration else now
        return max(end - 900, now + (end - now) / 2)


def _refusal(status: int, title: str) -> Answer:
    page = (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n<html><head>'
        f"<title>{status} - {title}</title></head><body><h1>{status} - {title}</h1></body></html>\n"
    )
    return Answer(status=status, body=page.encode(), headers={"Content-Type": "text/html"})


class Server(ThreadingHTTPServer):
    """A service on a listening socket, in threads of its own until it is closed."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket, service: Service) -> None:
        super().__init__(("", 0), _handler(service), bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.service = service
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.2,), daemon=True, name=f"imds {service.instance.id}"
        )
        self._thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        logger.exception("metadata of %s, asked by %s", self.service.instance.id, client_address)

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "EC2ws"
        sys_version = ""
        timeout = 20

        def _reply(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = service.answer(self.command, self.path.partition("?")[0], headers)
            self.send_response(answer.status)
            for name, value in {"Content-Type": "text/plain", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _reply

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: each boot makes a hundred requests."""

    return Handler
