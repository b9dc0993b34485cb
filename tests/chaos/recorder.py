"""Watches the API server directly, as the administrator, and keeps every change it is told of."""

import asyncio
import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from clusterous_api import names
from tests.chaos import history, proxy
from tests.chaos.background import Background
from tests.chaos.history import Moment, World
from tests.cluster import metricsapi

KINDS: Final[Mapping[str, str]] = {
    names.KIND: f"/apis/{names.API_VERSION}/{names.PLURAL}",
    "Deployment": "/apis/apps/v1/deployments",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "Job": "/apis/batch/v1/jobs",
    "Pod": "/api/v1/pods",
    "Service": "/api/v1/services",
    "PersistentVolumeClaim": "/api/v1/persistentvolumeclaims",
    "PersistentVolume": "/api/v1/persistentvolumes",
    history.FIGURES: f"{metricsapi.PATH}/pods",
}


class Recorder:
    """The history of all namespaces, and each one's present."""

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        self._url = url
        self._tls = tls
        self._lock = threading.Lock()
        self._moments: dict[str, list[Moment]] = defaultdict(list)
        self._worlds: dict[str, World] = defaultdict(World)
        self._known: dict[str, dict[str, Moment]] = {kind: {} for kind in KINDS}
        self.gaps = 0  # how often changes may have gone unseen

    def start(self, background: Background) -> None:
        """Begin to watch everything."""
        for kind, path in KINDS.items():
            background.begin(self._follow(kind, path))

    def history(self, namespace: str) -> list[Moment]:
        """Return all that happened in a namespace, in order."""
        with self._lock:
            return sorted(self._moments[namespace], key=lambda one: one.version)

    def forget(self, namespace: str) -> None:
        """Let go of what happened in a namespace, once it is judged."""
        with self._lock:
            self._moments.pop(namespace, None)

    def now(self, namespace: str) -> World:
        """Return how a namespace stands."""
        with self._lock:
            return World(objects=dict(self._worlds[namespace].objects))

    async def _follow(self, kind: str, path: str) -> None:
        async with aiohttp.ClientSession(
            base_url=self._url,
            connector=aiohttp.TCPConnector(ssl=self._tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=90.0),
        ) as session:
            version = ""
            while True:
                try:
                    version = version or await self._list(session, kind, path)
                    version = await self._stream(session, kind, path, version)
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                    await asyncio.sleep(0.1)

    async def _list(self, session: aiohttp.ClientSession, kind: str, path: str) -> str:
        async with session.get(path) as answer:
            answer.raise_for_status()
            found = await answer.json()
        self._compare(kind, found)
        return str(found["metadata"]["resourceVersion"])

    def _compare(self, kind: str, found: Mapping[str, Any]) -> None:
        """Make up for what a list shows and no watch told."""
        listed = {body["metadata"]["uid"]: body for body in found["items"]}
        version = int(found["metadata"]["resourceVersion"])
        for uid, last in list(self._known[kind].items()):
            if uid not in listed:
                gone = Moment(
                    version=version,
                    type=history.DELETED,
                    kind=kind,
                    body=last.body,
                    at=time.monotonic(),
                )
                self._take(gone)
        for uid, body in listed.items():
            known = self._known[kind].get(uid)
            type = "ADDED" if known is None else "MODIFIED"
            one = history.moment(type, kind, body, time.monotonic())
            if known is None or known.version < one.version:
                self._take(one)

    async def _stream(
        self, session: aiohttp.ClientSession, kind: str, path: str, version: str
    ) -> str:
        """Follow until the stream ends; return where to go on, or nothing when that is lost."""
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        try:
            async with session.get(path, params=query) as answer:
                if answer.status == 410:
                    self.gaps += 1
                    return ""
                answer.raise_for_status()
                async for line in proxy.lines(answer.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        self.gaps += 1
                        return ""
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        one = history.moment(event["type"], kind, event["object"], time.monotonic())
                        self._take(one)
        except (aiohttp.ClientError, TimeoutError, OSError):
            await asyncio.sleep(0.1)
        return version

    def _take(self, one: Moment) -> None:
        uid = one.body["metadata"]["uid"]
        if one.type == history.DELETED:
            self._known[one.kind].pop(uid, None)
        else:
            self._known[one.kind][uid] = one
        with self._lock:
            self._moments[one.namespace].append(one)
            self._worlds[one.namespace].take(one)
