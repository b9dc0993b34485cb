"""A small OpenID issuer on loopback: discovery, keys, and tokens for a refresh token.

It takes each refresh token once, as issuers do that rotate them.
"""

import base64
import contextlib
import http.server
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT: Final = "clusterous"
# In base64 its payload has the two letters that URLs spell otherwise.
NAME: Final = "jo~~~ÿÿ>>>???"


class Issuer(http.server.ThreadingHTTPServer):
    """Tokens for *name*; `asked` has the refresh tokens that came."""

    daemon_threads = True

    def __init__(self, name: str = NAME) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.name, self.valid, self.asked = name, "refresh-0", list[str]()
        self.authority = trustme.CA()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("127.0.0.1").configure_cert(tls)
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self._key = rsa.generate_private_key(65537, 2048)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    @property
    def ca_pem(self) -> bytes:
        return self.authority.cert_pem.bytes()

    def token(self, seconds: float) -> str:
        """An ID token that is valid for so long."""
        head = {"alg": "RS256", "kid": "1", "typ": "JWT"}
        body = {"iss": self.url, "aud": CLIENT, "sub": self.name, "exp": int(time.time() + seconds)}
        text = f"{_spelled(_json(head))}.{_spelled(_json(body))}"
        signed = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_spelled(signed)}"

    def keys(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        n = numbers.n.to_bytes(256, "big")
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "e": "AQAB"}
        return {"keys": [{**key, "n": _spelled(n)}]}

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def refreshed(self, refresh: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(refresh)
        if refresh != self.valid:
            return 400, {"error": "invalid_grant"}
        self.valid = f"refresh-{len(self.asked)}"
        given = {"id_token": self.token(3600), "refresh_token": self.valid}
        return 200, {**given, "access_token": "unused", "token_type": "Bearer"}

    def settings(self, **more: str) -> dict[str, str]:
        """What a kubeconfig says of it, with an ID token that has run out."""
        return {
            "client-id": CLIENT,
            "idp-issuer-url": self.url,
            "id-token": self.token(-10),
            "refresh-token": self.valid,
            **more,
        }


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        if self.path == "/keys":
            self._say(200, self.server.keys())
        else:
            self._say(200, self.server.discovery())

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._say(*self.server.refreshed(form["refresh_token"][0]))

    def _say(self, status: int, words: Mapping[str, Any]) -> None:
        body = _json(words)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _json(words: Mapping[str, Any]) -> bytes:
    return json.dumps(words, ensure_ascii=False).encode()


def _spelled(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextlib.contextmanager
def running(name: str = NAME) -> Iterator[Issuer]:
    """An issuer that answers while the block lasts."""
    issuer = Issuer(name)
    thread = threading.Thread(target=issuer.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.shutdown()
        thread.join()
        issuer.server_close()
