"""The running operator: watches fill the cache, the cache wakes apps, workers reconcile them.

kopf, through handlers.py, brings the apps themselves; `Machine.took` is where they come in.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from clusterous_api import names
from clusterous_api.errors import TransientError, UserError
from clusterous_operator.cluster import (
    BusyError,
    Cluster,
    ConflictError,
    MissingError,
    NotLeaderError,
)
from clusterous_operator.leader import Leader
from clusterous_operator.lease import Terms
from clusterous_operator.metrics import Metrics
from clusterous_operator.observed import Child, Node, Pod
from clusterous_operator.reconcile import Reconciler
from clusterous_operator.record import Record
from clusterous_operator.settings import Settings
from clusterous_operator.store import Store, Table
from clusterous_operator.watches import Watch
from clusterous_operator.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)

_OURS = {"labelSelector": names.LABEL_APP}
_MANAGED = {"labelSelector": f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"}
_OTHERS = {
    "labelSelector": f"!{names.LABEL_APP}",
    "fieldSelector": "status.phase!=Succeeded,status.phase!=Failed",
}
_CAPACITY_SECONDS = 0.5  # changes of nodes and of others' pods come in bursts
_CRD_SECONDS = 1.0
_RELIST_SECONDS = 1.0
_CANARY_SECONDS = 20.0  # how often the Lease is renewed where it is nothing but the canary


class _Config:
    """The ConfigMap with the cluster's own volume, in the form of a table's item."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.namespace: str = body["metadata"].get("namespace", "")
        self.name: str = body["metadata"]["name"]
        self.version = int(body["metadata"].get("resourceVersion", 0))
        self.data: Mapping[str, str] = body.get("data") or {}


class Machine:
    """All parts of one operator, and the tasks that move them."""

    def __init__(self, settings: Settings, cluster: Cluster, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.cluster = cluster
        self.store = Store()
        self.queue = WorkQueue()
        self.metrics = Metrics()
        self._clock = clock
        self._runner: asyncio.Task[None] | None = None
        self.stopping = False
        self._leading = asyncio.Event()
        self.leader = Leader(
            cluster=cluster,
            namespace=settings.own_namespace,
            identity=settings.identity,
            terms=Terms() if settings.lease else Terms(renew=_CANARY_SECONDS),
            clock=clock,
            changed=self._leads,
            alone=not settings.lease,
        )
        cluster.guard(self.leader.seconds_left)
        self._config: Table[_Config] = Table(_Config)
        self._apps = [
            Watch(kind=names.KIND, namespace=one, table=self.store.apps, changed=self._apps_changed)
            for one in self._scopes()
        ]
        self._watches = self._make_watches()
        self._others = [
            Watch(
                kind="Pod",
                namespace=one,
                table=self.store.others,
                changed=self._capacity_changed,
                selectors=_OTHERS,
            )
            for one in self._scopes()
        ]
        self._capacity_wanted = asyncio.Event()
        self._relist_wanted = asyncio.Event()
        self.reconciler = Reconciler(
            cluster=cluster,
            store=self.store,
            metrics=self.metrics,
            patience=settings.shrink_seconds,
            want_capacity=self._capacity_wanted.set,
            clock=clock,
        )
        self._show()

    def _scopes(self) -> Sequence[str | None]:
        return self.settings.namespaces or (None,)

    def _make_watches(self) -> list[Watch[Any]]:
        store = self.store
        found: list[Watch[Any]] = []
        for scope in self._scopes():
            for kind, table in (
                ("Deployment", store.deployments),
                ("Job", store.jobs),
                ("Service", store.services),
            ):
                found.append(self._children(kind, scope, table))
            found.append(
                Watch(
                    kind="PersistentVolumeClaim",
                    namespace=scope,
                    table=store.claims,
                    changed=self._claims_changed,
                )
            )
            found.append(
                Watch(
                    kind="Pod",
                    namespace=scope,
                    table=store.pods,
                    changed=self._pods_changed,
                    selectors=_OURS,
                )
            )
        return [*found, *self._of_cluster()]

    def _children(self, kind: str, scope: str | None, table: Table[Child]) -> Watch[Child]:
        return Watch(
            kind=kind,
            namespace=scope,
            table=table,
            changed=self._children_changed,
            selectors=_OURS,
        )

    def _of_cluster(self) -> list[Watch[Any]]:
        config = {"fieldSelector": f"metadata.name={names.CLUSTER_CONFIG}"}
        return [
            Watch(
                kind="PersistentVolume",
                namespace=None,
                table=self.store.volumes,
                changed=self._volumes_changed,
                selectors=_MANAGED,
            ),
            Watch(
                kind="Node",
                namespace=None,
                table=self.store.nodes,
                changed=self._nodes_changed,
            ),
            Watch(
                kind="ConfigMap",
                namespace=self.settings.own_namespace,
                table=self._config,
                changed=self._config_changed,
                selectors=config,
            ),
        ]

    def watches(self) -> Sequence[Watch[Any]]:
        """Return all watches, those included that start only when they matter."""
        return (*self._apps, *self._watches, *self._others, self.leader.watch)

    # What comes in.

    def took(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take an app from kopf. *kind* None is from a list, which does not tell what vanished."""
        record = Record.read(body)
        if kind is None:
            self._relist_wanted.set()
        table = self.store.apps
        self._apps_changed(table.remove(record) if kind == "DELETED" else table.put(record))

    def _apps_changed(self, items: Iterable[Record]) -> None:
        for item in items:
            self.queue.add((item.namespace, item.name))

    def _children_changed(self, items: Iterable[Child]) -> None:
        for item in items:
            self._wake(item.namespace, item.app)

    def _pods_changed(self, items: Iterable[Pod]) -> None:
        for item in items:
            self._wake(item.namespace, item.app)
        self._capacity_changed(items)

    def _claims_changed(self, items: Iterable[Child]) -> None:
        for item in items:
            if item.app is not None:
                self._wake(item.namespace, item.app)
            else:
                self._wake_namespace(item.namespace)

    def _volumes_changed(self, items: Iterable[Child]) -> None:
        for item in items:
            claim = item.content()["spec"].get("claimRef") or {}
            self._wake_namespace(claim.get("namespace", ""))

    def _nodes_changed(self, items: Iterable[Node]) -> None:
        if any(True for _ in items):
            self._capacity_changed((), everybody=True)

    def _config_changed(self, items: Iterable[_Config]) -> None:
        if not any(True for _ in items):
            return
        found = self._config.find(self.settings.own_namespace, names.CLUSTER_CONFIG)
        self.store.cluster = {} if found is None else found.data
        self._apps_changed(self.store.apps.all())

    def _capacity_changed(self, items: Iterable[Pod], *, everybody: bool = False) -> None:
        """Wake the apps that fill the cluster, when others take or leave room."""
        sources = {(item.namespace, item.app) for item in items}
        for key in self.reconciler.fillers() if everybody or sources else ():
            if sources != {key}:
                self.queue.add(key, _CAPACITY_SECONDS)

    def _wake(self, namespace: str, app: str | None) -> None:
        if app is not None and self.store.apps.find(namespace, app) is not None:
            self.queue.add((namespace, app), self.settings.coalesce_seconds)

    def _wake_namespace(self, namespace: str) -> None:
        for one in self.store.apps.all():
            if one.namespace == namespace:
                self._wake(namespace, one.name)

    # What runs.

    async def wait_for_crd(self) -> None:
        """Return when ClusterousApps are served; until then there is nothing to do."""
        told = False
        while True:
            try:
                for watch in self._apps:
                    await watch.list(self.cluster)
                return
            except MissingError:
                if not told:
                    logger.warning("ClusterousApp is not served here yet; waiting for its CRD.")
                told = True
            except (TransientError, UserError) as error:
                logger.warning("Listing apps: %s", error)
            await asyncio.sleep(_CRD_SECONDS)

    def is_ready(self) -> bool:
        """Tell whether the CRD is served and the cache is full."""
        needed = (*self._apps, *self._watches, self.leader.watch)
        return all(one.synced.is_set() for one in needed)

    async def run(self) -> None:
        """Watch and work until told to stop."""
        self._runner = asyncio.ensure_future(self._run())
        try:
            await self._runner
        except asyncio.CancelledError:
            if not self.stopping:
                raise

    async def stop(self) -> None:
        """Let the work in hand come to its end, then end."""
        self.stopping = True
        at_rest = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.grace_seconds):
                await self.queue.idle()
                at_rest = True
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
            self._runner = None
            # The next operator need not wait, unless a write of ours may still be on its way.
            if at_rest:
                await self.leader.release()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            watches = (*self._watches, self.leader.watch)
            for watch in watches:
                group.create_task(watch.run(self.cluster))
            for watch in watches:
                await watch.synced.wait()
            logger.info("Caches are full; %d apps.", len(self.store.apps))
            group.create_task(self.leader.run())
            group.create_task(self._watch_capacity())
            group.create_task(self._resync())
            for _ in range(self.settings.workers):
                group.create_task(self._work())

    async def _watch_capacity(self) -> None:
        """Watch all pods of the cluster from the moment that they matter; often they never do."""
        await self._capacity_wanted.wait()
        async with asyncio.TaskGroup() as group:
            for watch in self._others:
                group.create_task(watch.run(self.cluster))
            for watch in self._others:
                await watch.synced.wait()
            self.store.capacity_known = True
            self._capacity_changed((), everybody=True)

    async def _resync(self) -> None:
        """Look at everything again now and then, and after a list of kopf's."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.resync_seconds):
                    await self._relist_wanted.wait()
            await asyncio.sleep(_RELIST_SECONDS)
            was_asked = self._relist_wanted.is_set()
            self._relist_wanted.clear()
            with contextlib.suppress(TransientError):
                for watch in self._apps:
                    await watch.list(self.cluster)
            if not was_asked:
                self._apps_changed(self.store.apps.all())

    def _leads(self, leads: bool) -> None:
        """Begin to write, or stop."""
        if leads:
            logger.info("%s holds the Lease and works.", self.settings.identity)
            self._apps_changed(self.store.apps.all())
            self._leading.set()
        else:
            logger.warning("%s has lost the Lease and stands by.", self.settings.identity)
            self._leading.clear()

    async def _work(self) -> None:
        while True:
            await self._leading.wait()
            key, since = await self.queue.take()
            if self.stopping:
                self.queue.done(key)
                await asyncio.Event().wait()  # what is left waits for the next operator
            if not self._leading.is_set():
                self.queue.done(key)
                continue  # all apps are looked at when we lead again
            started = self._clock()
            self.metrics.taken(asyncio.get_running_loop().time() - since)
            try:
                result = await self._reconcile(key)
            finally:
                self.queue.done(key)
            self.metrics.reconciled(result, self._clock() - started)

    async def _reconcile(self, key: Key) -> str:
        """Reconcile an app; whatever goes wrong is its own problem, and is tried again."""
        name = "/".join(key)
        try:
            look_again = await self.reconciler.reconcile(key)
        except (ConflictError, NotLeaderError) as error:
            # Something was changed since we looked, so that we look again; no more than that.
            logger.debug("%s: %s Next try in %.1f s.", name, error, self.queue.failed(key))
            return "requeue"
        except UserError as error:
            logger.info("%s: %s Next try in %.1f s.", name, error, self.queue.failed(key))
            return "error"
        except TransientError as error:
            after = error.after if isinstance(error, BusyError) else 0.0
            logger.info("%s: %s Next try in %.1f s.", name, error, self.queue.failed(key, after))
            return "error"
        except Exception:  # a bug in one app's path must not stop the others
            logger.exception("%s: next try in %.1f s.", name, self.queue.failed(key))
            return "error"
        self.queue.succeeded(key)
        if look_again is None:
            return "success"
        self.queue.add(key, look_again)
        return "requeue_after"

    def _show(self) -> None:
        show = self.metrics.watch_gauge
        show("workqueue_depth", "Apps that wait for a worker", lambda: len(self.queue))
        show("clusterous_apps", "Apps that are known", lambda: len(self.store.apps))
        show("clusterous_pods", "Pods of apps that are known", lambda: len(self.store.pods))
        show(
            "clusterous_watch_lists_total",
            "How often a kind had to be listed",
            lambda: sum(one.lists for one in self.watches()),
        )
