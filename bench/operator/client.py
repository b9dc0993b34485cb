"""The yardstick's own API client: as little as possible, and nothing of the operator's.

It must not become faster or slower together with what it measures.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from bench.operator.errors import BenchError
from tests.cluster.controlplane import ControlPlane

Body = dict[str, Any]
Manifest = Mapping[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_BUSY = frozenset({429, 500, 503, 504})
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_FOREVER = aiohttp.ClientTimeout(total=None)


class Client:
    """A connection as one user; use it as a context manager."""

    def __init__(self, url: str, tls: ssl.SSLContext, token: str | None = None) -> None:
        self._url = url
        self._tls = tls
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            base_url=self._url,
            headers=self._headers,
            timeout=_TIMEOUT,
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        *,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Body:
        """Send one request; what the server was too busy for is sent again."""
        data = None if body is None else json.dumps(body)
        for attempt in range(_ATTEMPTS):
            async with self._open(
                method, path, params=query, data=data, headers={"Content-Type": content}
            ) as answer:
                text = await answer.text()
                if answer.status < 400:
                    found: Body = json.loads(text)
                    return found
                if answer.status not in _BUSY or attempt == _ATTEMPTS - 1:
                    raise BenchError(f"{method} {path}: {answer.status} {text[:500]}")
            await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last attempt returns or raises")

    async def apply(self, path: str, manifest: Manifest, manager: str) -> Body:
        """Apply an object on the server's side."""
        query = {"fieldManager": manager, "force": "true"}
        return await self.call("PATCH", path, manifest, content=APPLY, query=query)

    async def follow(
        self, path: str, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[str, Body]]:
        """Return all objects of a collection (as ADDED), then every change to them.

        A stream that ends is taken up where it ended: a busy server closes those that it finds
        slow. What is too old is listed again.
        """
        version = ""
        while True:
            if not version:
                listed = await self.call("GET", path, query=query)
                version = listed["metadata"]["resourceVersion"]
                for item in listed.get("items") or ():
                    yield "ADDED", item
            wanted = {**(query or {}), "watch": "true", "resourceVersion": version}
            async with self._open("GET", path, params=wanted, timeout=_FOREVER) as answer:
                answer.raise_for_status()
                async for line in _lines(answer.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        version = ""
                        break
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event["type"], event["object"]

    def _open(self, method: str, path: str, **more: Any) -> Any:
        assert self._session is not None, "use the client as a context manager"
        return self._session.request(method, path, **more)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split a stream at its line ends; aiohttp's own limit is shorter than some objects."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def as_administrator(plane: ControlPlane) -> Client:
    """Return a client with all rights, whose requests the server never makes wait."""
    return Client(plane.url, plane.tls)


def as_account(plane: ControlPlane, namespace: str, account: str) -> Client:
    """Return a client with the rights, and the place in the queue, of a service account."""
    kubeconfig = plane.service_account_kubeconfig(namespace, account)
    return Client(plane.url, _authority(plane.home / "ca.crt"), _token(kubeconfig))


def _authority(path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(path))


def _token(kubeconfig: Path) -> str:
    return str(json.loads(kubeconfig.read_text())["users"][0]["user"]["token"])
