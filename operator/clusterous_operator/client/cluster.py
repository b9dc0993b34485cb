"""The only Kubernetes client: server-side apply, delete, list and watch over one aiohttp session.

Why not the `kubernetes` package: docs/adr/0003-kubernetes-client.md. Errors are translated here,
once: Refused is the user's to mend, everything transient is tried again by the queue.
"""

import asyncio
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import aiohttp
import kopf

from clusterous_api import applying, names
from clusterous_api.errors import TransientError, UserError
from clusterous_operator.client import listing

Body = dict[str, Any]
T = TypeVar("T")
Login = Callable[[], Awaitable[kopf.ConnectionInfo]]

PATHS: Mapping[str, tuple[str, str]] = {
    names.KIND: (f"/apis/{names.API_VERSION}", names.PLURAL),
    "ConfigMap": ("/api/v1", "configmaps"),
    "CustomResourceDefinition": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Event": ("/apis/events.k8s.io/v1", "events"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "Namespace": ("/api/v1", "namespaces"),
    "Node": ("/api/v1", "nodes"),
    "PersistentVolume": ("/api/v1", "persistentvolumes"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Pod": ("/api/v1", "pods"),
    "PodMetrics": ("/apis/metrics.k8s.io/v1beta1", "pods"),
    "Service": ("/api/v1", "services"),
    "StorageClass": ("/apis/storage.k8s.io/v1", "storageclasses"),
}

_APPLY = "application/apply-patch+yaml"  # JSON is YAML, and faster to read
_MERGE = "application/merge-patch+json"
_PAGE = 250
_REQUEST_SECONDS = 30.0
_WATCH_SECONDS = 300
# A bookmark comes every minute; a watch that is silent for longer is dead.
_SILENCE_SECONDS = 70.0


class RefusedError(UserError):
    """The API server will not have it as it is: invalid, forbidden, over quota."""


class QuotaError(RefusedError):
    """A quota of the namespace leaves no room for it; nobody tells when it does."""


class MissingError(TransientError):
    """The object, or its kind, is not there."""


class ConflictError(TransientError):
    """Somebody else owns or changed it."""


class GoneError(TransientError):
    """The version to watch from is too old; list again."""


class NotLeaderError(TransientError):
    """We may not write, since another operator may be writing."""


class BusyError(TransientError):
    """The API server cannot answer now; *after* seconds it may."""

    def __init__(self, message: str, after: float = 0.0, *, answered: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.answered = answered  # by the API server itself, which failed over this very request


class SilentError(BusyError):
    """A stream was open, and nothing came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a collection, cut down, and the version from which to watch it."""

    items: list[T]
    version: str


def path(kind: str, namespace: str | None = None, name: str = "", sub: str = "") -> str:
    """Return the URL path of an object or a collection."""
    prefix, plural = PATHS[kind]
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What is asked of the API server; *where* is the URL path."""

    method: str
    where: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content: str = "application/json"
    seconds: float = _REQUEST_SECONDS  # that the answer may take


class Cluster:
    """A connection to one API server; use it as a context manager."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._seconds_left: Callable[[], float] = lambda: float("inf")
        self._count: Callable[[str, str], None] = lambda method, code: None
        self._info: kopf.ConnectionInfo | None = None
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._former: aiohttp.ClientSession | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Log in."""
        await self._connect(None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what is open."""
        for session in (self._session, self._former):
            if session is not None:
                await session.close()

    def guard(self, seconds_left: Callable[[], float]) -> None:
        """Ask before each write how long it may take at most."""
        self._seconds_left = seconds_left

    def count_by(self, count: Callable[[str, str], None]) -> None:
        """Tell method and status code of each answer."""
        self._count = count

    async def _connect(self, refused: kopf.ConnectionInfo | None) -> None:
        """Replace *refused* credentials; of many whose credentials were refused, one logs in."""
        async with self._one_at_a_time:
            if self._info is refused:
                await self._use(await self._login())

    async def _use(self, info: kopf.ConnectionInfo) -> None:
        """Send these credentials from now on; what is on its way with others comes to its end."""
        if info == self._info:
            return
        if self._former is not None:  # its requests ended long ago
            await self._former.close()
        self._former, self._info, self._tls = self._session, info, info.as_ssl_context()
        self._session = self._new_session(info)

    def _new_session(self, info: kopf.ConnectionInfo) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            base_url=info.server,
            headers=info.as_http_headers() | {"User-Agent": names.FIELD_MANAGER},
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls or True),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS, sock_connect=10.0),
        )

    async def apply(self, manifest: Mapping[str, Any], *, force: bool, sub: str = "") -> Body:
        """Make or change an object so that it has these fields; *force* takes them from others."""
        metadata = manifest["metadata"]
        where = path(manifest["kind"], metadata.get("namespace"), metadata["name"], sub)
        query = {"fieldManager": names.FIELD_MANAGER, "force": str(force).lower()}
        return await self._write(
            _Request(method="PATCH", where=where, query=query, body=manifest, content=_APPLY)
        )

    async def patch(
        self,
        kind: str,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        unfenced_seconds: float | None = None,
    ) -> Body:
        """Change single fields; null removes one."""
        query = {"fieldManager": names.FIELD_MANAGER}
        where = path(kind, namespace, name)
        return await self._write(
            _Request(method="PATCH", where=where, query=query, body=body, content=_MERGE),
            unfenced_seconds,
        )

    async def delete(
        self, kind: str, namespace: str, name: str, uid: str, version: int | None = None
    ) -> None:
        """Remove this very object, its dependents after it; only as it was seen, if *version*."""
        conditions = {"uid": uid} | ({"resourceVersion": str(version)} if version else {})
        body = {"propagationPolicy": "Background", "preconditions": conditions}
        where = path(kind, namespace, name)
        await self._write(_Request(method="DELETE", where=where, body=body))

    async def create(
        self,
        kind: str,
        namespace: str,
        body: Mapping[str, Any],
        *,
        unfenced_seconds: float | None = None,
    ) -> Body:
        """Make an object."""
        where = path(kind, namespace)
        return await self._write(_Request(method="POST", where=where, body=body), unfenced_seconds)

    async def read(self, kind: str, namespace: str | None, name: str) -> Body:
        """Return an object."""
        return await self._call(_Request(method="GET", where=path(kind, namespace, name)))

    async def release(self) -> Body:
        """Return what Kubernetes says of its own release."""
        return await self._call(_Request(method="GET", where="/version"))

    async def list_pages(
        self,
        kind: str,
        namespace: str | None,
        selectors: Mapping[str, str],
        trim: Callable[[Body], T],
    ) -> AsyncIterator[Page[T]]:
        """Return a collection page by page, each object cut down as soon as it is read."""
        query = {**selectors, "limit": str(_PAGE)}
        where = path(kind, namespace)
        while True:
            text = await self._ask(_Request(method="GET", where=where, query=query))
            items, metadata = listing.read(text.decode(), trim)
            del text  # it is larger than what is kept of it
            yield Page(items=items, version=metadata["resourceVersion"])
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def watch(
        self, kind: str, namespace: str | None, selectors: Mapping[str, str], version: str
    ) -> AsyncIterator[tuple[str, Body]]:
        """Return changes since *version*, until the server ends the stream or falls silent."""
        query = {
            **selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=_SILENCE_SECONDS)
        used, where = self._info, path(kind, namespace)
        if used is None:
            raise RuntimeError("use the cluster as a context manager")
        # Who reads from a session that is closed meanwhile hears nothing, not even of the close; so
        # each watch has its own, which other credentials leave alone.
        with _Translated():
            async with (
                self._new_session(used) as session,
                self._open("GET", where, query, session=session, timeout=timeout) as answer,
            ):
                self._count("GET", str(answer.status))
                if answer.status == 401:
                    await self._connect(used)
                await _check(answer)
                async for line in _lines(answer.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _error(event["object"].get("code", 500), event["object"], 0.0)
                    yield event["type"], event["object"]

    async def _write(self, request: _Request, unfenced_seconds: float | None = None) -> Body:
        """Write, but not for longer than we may: afterwards another may be writing.

        The API server is told, too, so that it does not carry out late what waited in its queue.
        """
        seconds = self._seconds_left() if unfenced_seconds is None else unfenced_seconds
        if seconds <= 0:
            raise NotLeaderError("Another operator may be writing; we wait for the Lease.")
        query = request.query
        if seconds < _REQUEST_SECONDS:
            query = {**query, "timeout": f"{max(round(seconds * 1000), 1)}ms"}
        return await self._call(dataclasses.replace(request, query=query, seconds=seconds))

    async def _call(self, request: _Request) -> Body:
        found: Body = json.loads(await self._ask(request))
        return found

    async def _ask(self, request: _Request) -> bytes:
        body = request.body
        data = None if body is None else applying.dumps(body)
        headers = {"Content-Type": request.content}
        end = asyncio.get_running_loop().time() + request.seconds
        for attempt in (1, 2):
            timeout, used = _timeout(end - asyncio.get_running_loop().time()), self._info
            with _Translated():
                async with self._open(
                    request.method,
                    request.where,
                    request.query,
                    data=data,
                    headers=headers,
                    timeout=timeout,
                ) as answer:
                    self._count(request.method, str(answer.status))
                    if answer.status != 401 or attempt == 2:
                        await _check(answer)
                        text: bytes = await answer.read()
                        return text
            await self._connect(used)
        raise AssertionError("the second attempt returns or raises")

    def _open(
        self,
        method: str,
        where: str,
        query: Mapping[str, str],
        *,
        session: aiohttp.ClientSession | None = None,
        **more: Any,
    ) -> Any:  # aiohttp's request context manager, which has no public name
        session = session or self._session
        if session is None:
            raise RuntimeError("use the cluster as a context manager")
        return session.request(method, where, params=query, **more)


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # Not rounded up to whole seconds, which is what aiohttp otherwise does with longer ones.
    return aiohttp.ClientTimeout(
        total=min(max(seconds, 0.001), _REQUEST_SECONDS),
        sock_connect=10.0,
        ceil_threshold=float("inf"),
    )


class _Translated:
    """Turns the errors of the network into ours."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise ours from theirs."""
        if isinstance(error, aiohttp.SocketTimeoutError):
            raise SilentError("The API server has fallen silent.") from error
        if isinstance(error, aiohttp.ClientError | TimeoutError | OSError):
            told = str(error) or type(error).__name__
            raise BusyError(f"The API server does not answer: {told}") from error


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    text = await answer.text()
    try:
        status = json.loads(text)
    except ValueError:
        status = {"message": text[:500]}
    after = answer.headers.get("Retry-After", "0")
    raise _error(answer.status, status, float(after) if after.isdigit() else 0.0)


# What the same request may meet once, and not again: no or another log-in, too late, too many.
_LATER = frozenset({401, 408, 425, 429})


def _error(code: int, status: Mapping[str, Any], after: float) -> TransientError | UserError:
    message = str(status.get("message", f"HTTP status {code}"))
    match code:
        case 403 if "exceeded quota" in message or "failed quota" in message:
            return QuotaError(message)
        case _ if applying.is_denied(message):
            return RefusedError(message)
        case 404:
            return MissingError(message)
        case 409:
            return ConflictError(message)
        case 410:
            return GoneError(message)
        case _ if 400 <= code < 500 and code not in _LATER:
            return RefusedError(message)
        case 500 if applying.is_misshapen(message):
            return RefusedError(message)
    return BusyError(message, after, answered=code == 500)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split a stream at its line ends; aiohttp's own limit is shorter than some objects."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
    await asyncio.sleep(0)
