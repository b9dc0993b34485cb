"""Docker Hub, read-only: anonymous tokens before the distribution registry with the base images."""

import datetime
import json
import secrets
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.region.registry import front
from tests.region.registry.front import Asked, Pushed, Reply
from tests.region.registry.readonly import ReadOnly

AUTH_HOST: Final = "auth.docker.io"
REALM: Final = f"https://{AUTH_HOST}/token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Lets everyone read, once they fetched a token; nobody writes."""

    storage: Path
    realm: str = REALM
    token: str = field(default_factory=lambda: secrets.token_urlsafe(64))

    def check(self, asked: Asked) -> Reply | None:
        if asked.host == AUTH_HOST or (asked.host, asked.path) == _place(self.realm):
            return self._token(asked)
        if asked.authorization != f"Bearer {self.token}":
            return self._unauthorized(asked)
        # What does not exist cannot be told from what is private; nor may an anonymous caller push.
        if asked.method not in ("GET", "HEAD") or (asked.name and not self._has(asked.name)):
            return self._unauthorized(asked, ',error="insufficient_scope"')
        return None

    def target(self, asked: Asked) -> str:
        return f"{asked.path}?{asked.query}" if asked.query else asked.path

    def check_manifest(self, asked: Asked, manifest: bytes) -> Reply | None:
        raise AssertionError("a push passed the gate")

    def pushed(self, push: Pushed) -> None:
        raise AssertionError("a push passed the gate")

    def _unauthorized(self, asked: Asked, error: str = "") -> Reply:
        scope = f',scope="repository:{asked.name}:pull"' if asked.name else ""
        challenge = f'Bearer realm="{self.realm}",service="registry.docker.io"{scope}{error}'
        return front.errors(
            401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge
        )

    def _token(self, asked: Asked) -> Reply:
        if asked.path != "/token":
            return Reply(status=404)
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = {
            "token": self.token,
            "access_token": self.token,
            "expires_in": 300,
            "issued_at": now,
        }
        return Reply(
            status=200,
            body=json.dumps(answer).encode(),
            headers={"Content-Type": "application/json"},
        )

    def _has(self, name: str) -> bool:
        home = self.storage / "docker/registry/v2/repositories"
        # Names come from the network; one with dots in it could leave the folder.
        return ".." not in name.split("/") and (home / name / "_manifests").is_dir()


def start(
    listening: socket.socket, tls: ssl.SSLContext | None, program: Path, storage: Path
) -> ReadOnly:
    """Serve Docker Hub (its registry and its token service) on *listening*."""
    return ReadOnly(Gate(storage=storage), "docker-hub", listening, tls, program, storage)


def _place(url: str) -> tuple[str, str]:
    return urlsplit(url).hostname or "", urlsplit(url).path
