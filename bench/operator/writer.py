"""The bound: whoever writes nothing but the same children and two status writes an app.

It has the operator's rights and as many workers, but no cache, no plan, no comparison: when an app
appears, its Service, then its Deployments, then a status; when those are ready, another status.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bench.operator import apps, client, product, rise, testbed
from bench.operator.client import Client
from bench.operator.testbed import Testbed
from clusterous_api import names
from clusterous_operator.controller.settings import Settings

Manifest = Mapping[str, Any]
_MANAGER: Final = "bulk-writer"
_DEPLOYMENTS: Final = testbed.collection("Deployment", "apps/v1", testbed.NAMESPACE)
_CONDITIONS: Final = (
    "Ready",
    "Reconciling",
    "Stalled",
    "MasterReady",
    "WorkersReady",
    "VolumeBound",
    "Suspended",
    "Completed",
)


class Writer:
    """The side that is called `writer`."""

    name = "writer"
    user = product.USER
    signs = product.SIGNS

    def prepare(self, bed: Testbed) -> None:
        """Install the product's CRD and rights."""
        product.install(bed)

    def app(self, index: int) -> tuple[str, Manifest]:
        """Return the same app as the operator gets."""
        return apps.APPS, apps.body(apps.name(index))

    def needed(self) -> int:
        """Return how many parts of an app have to become ready."""
        return 1

    @contextlib.asynccontextmanager
    async def running(self, bed: Testbed) -> AsyncIterator[None]:
        """Write beside the block, in this process."""
        plane = bed.plane
        async with client.as_account(plane, names.NAMESPACE, product.ACCOUNT) as connection:
            work = _Work(connection)
            workers = [work.work() for _ in range(Settings().workers)]
            async with rise.together(work.watch_apps(), work.watch_deployments(), *workers):
                yield None


class _Work:
    """What is to be written, and what has been seen."""

    def __init__(self, connection: Client) -> None:
        self._client = connection
        self._queue: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        self._apps: dict[str, Manifest] = {}
        self._ready: dict[str, set[str]] = {}

    async def watch_apps(self) -> None:
        """Take up new apps."""
        async for _, app in self._client.follow(apps.APPS):
            name = app["metadata"]["name"]
            if name not in self._apps:
                self._apps[name] = app
                self._queue.put_nowait((name, False))

    async def watch_deployments(self) -> None:
        """See Deployments become ready."""
        query = {"labelSelector": names.LABEL_APP}
        async for _, one in self._client.follow(_DEPLOYMENTS, query):
            app = one["metadata"]["labels"][names.LABEL_APP]
            ready = self._ready.setdefault(app, set())
            if apps.deployment_is_ready(one) and one["metadata"]["name"] not in ready:
                ready.add(one["metadata"]["name"])
                if len(ready) == 2:
                    self._queue.put_nowait((app, True))

    async def work(self) -> None:
        """Write, one app at a time."""
        while True:
            name, is_ready = await self._queue.get()
            app = self._apps[name]
            if not is_ready:
                await self._make_children(app)
            await self._client.apply(
                f"{apps.APPS}/{name}/status", _status(app, is_ready=is_ready), _MANAGER
            )

    async def _make_children(self, app: Manifest) -> None:
        (service,) = _of_kind("Service", apps.children(app))
        address = (await self._apply(service))["spec"]["clusterIP"]
        deployments = _of_kind("Deployment", apps.children(app, address))
        await asyncio.gather(*(self._apply(one) for one in deployments))

    async def _apply(self, manifest: Manifest) -> Manifest:
        return await self._client.apply(testbed.path(manifest), manifest, _MANAGER)


def _of_kind(kind: str, found: Iterable[Manifest]) -> list[Manifest]:
    return [one for one in found if one["kind"] == kind]


def _status(app: Manifest, *, is_ready: bool) -> Manifest:
    """Return a status of the size that the operator's has."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    generation, name = app["metadata"]["generation"], app["metadata"]["name"]
    word = "Ready" if is_ready else "Progressing"
    conditions = [
        {
            "type": kind,
            "status": str(is_ready),
            "reason": word,
            "message": "All is ready." if is_ready else "master: 0 of 1 ready",
            "lastTransitionTime": now,
            "observedGeneration": generation,
        }
        for kind in _CONDITIONS
    ]
    counts = {names.MASTER: 1, names.WORKERS: apps.WORKERS}
    components = [
        {
            "name": component,
            "desired": count,
            "ready": count if is_ready else 0,
            "updated": count if is_ready else 0,
            "failed": 0,
        }
        for component, count in counts.items()
    ]
    selector = names.selector(name, names.WORKERS)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": testbed.NAMESPACE},
        "status": {
            "observedGeneration": generation,
            "conditions": conditions,
            "components": components,
            "replicas": apps.WORKERS if is_ready else 0,
            "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
            "master": "1/1" if is_ready else "0/1",
            "workers": "4/4" if is_ready else "0/4",
            "volume": "Bound" if is_ready else "Pending",
            "message": word,
        },
    }
