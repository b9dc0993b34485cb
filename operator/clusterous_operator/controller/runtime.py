"""The running operator: watches fill the cache, the cache wakes apps, workers reconcile them.

kopf, through handlers.py, brings the apps themselves; `Machine.took` is where they come in.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from clusterous_api import names
from clusterous_api.errors import ClusterousError, TransientError, UserError
from clusterous_operator.cache.observed import Child, Node, Pod
from clusterous_operator.cache.record import Record
from clusterous_operator.cache.store import Store, Table
from clusterous_operator.client.cluster import (
    BusyError,
    Cluster,
    ConflictError,
    MissingError,
    NotLeaderError,
    QuotaError,
)
from clusterous_operator.client.preflight import Fitness
from clusterous_operator.client.watches import Watch
from clusterous_operator.client.workqueue import Key, WorkQueue
from clusterous_operator.controller import garbage
from clusterous_operator.controller.metrics import Metrics
from clusterous_operator.controller.reconcile import Reconciler
from clusterous_operator.controller.settings import Settings
from clusterous_operator.leaderelection.leader import Leader
from clusterous_operator.leaderelection.lease import Terms
from clusterous_operator.objects import wording

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
_MISSED_SECONDS = 30.0  # how long a write of ours may take to come back through the watch
_QUOTA_AGAIN_SECONDS = 30.0  # nobody tells when a quota is raised
_SILENT_SECONDS = 200.0  # a bookmark comes every minute


class _Config:
    """The ConfigMap with the cluster's own volume, in the form of a table's item."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.namespace: str = body["metadata"].get("namespace", "")
        self.name: str = body["metadata"]["name"]
        self.version = int(body["metadata"].get("resourceVersion", 0))
        self.data: Mapping[str, str] = body.get("data") or {}


class _Namespace:
    """A namespace whose apps are served, in the form of a table's item."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.name: str = body["metadata"]["name"]
        self.version = int(body["metadata"].get("resourceVersion", 0))


class Machine:
    """All parts of one operator, and the tasks that move them."""

    def __init__(self, settings: Settings, cluster: Cluster, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.cluster = cluster
        self.store = Store(settings.inherit)
        self.queue = WorkQueue()
        self.metrics = Metrics()
        self._clock = clock
        self._runner: asyncio.Task[None] | None = None
        self.stopping = False
        self._elected = asyncio.Event()
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
        cluster.count_by(self.metrics.answered)
        self._config: Table[_Config] = Table(_Config)
        self._served: Table[_Namespace] = Table(_Namespace)
        self.fitness = Fitness(cluster, self._everything_changed)
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
            *self._of_namespaces(),
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

    def _of_namespaces(self) -> list[Watch[Any]]:
        """Watch the namespaces to serve; one that loses its labels is reported as deleted."""
        if not self.settings.namespace_selector:
            return []
        selectors = {"labelSelector": self.settings.namespace_selector}
        return [
            Watch(
                kind="Namespace",
                namespace=None,
                table=self._served,
                changed=self._served_changed,
                selectors=selectors,
            )
        ]

    def _serves(self, namespace: str) -> bool:
        """Tell whether apps of a namespace are ours to serve."""
        chosen = self.settings.namespace_selector
        return not chosen or self._served.find("", namespace) is not None

    def watches(self) -> Sequence[Watch[Any]]:
        """Return all watches, those included that start only when they matter."""
        return (*self._apps, *self._watches, *self._others, self.leader.watch)

    # What comes in.

    def took(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take an app from kopf. *kind* None is from a list, which does not tell what vanished."""
        record = self.store.apps.cut(body)
        if kind is None:
            self._relist_wanted.set()
        table = self.store.apps
        changed = table.remove(record) if kind == "DELETED" else table.put(record)
        self._apps_changed(changed, urgent=kind is not None)

    def _apps_changed(self, items: Iterable[Record], *, urgent: bool = False) -> None:
        for item in items:
            if self._serves(item.namespace):
                self.queue.add((item.namespace, item.name), urgent=urgent)

    def _everything_changed(self) -> None:
        self._apps_changed(self.store.apps.all())

    def _served_changed(self, items: Iterable[_Namespace]) -> None:
        for item in items:
            self._wake_namespace(item.name)

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
        self._everything_changed()

    def _capacity_changed(self, items: Iterable[Pod], *, everybody: bool = False) -> None:
        """Wake the apps that fill the cluster, when others take or leave room."""
        sources = {(item.namespace, item.app) for item in items}
        for key in self.reconciler.fillers() if everybody or sources else ():
            if sources != {key}:
                self.queue.add(key, _CAPACITY_SECONDS)

    def _wake(self, namespace: str, app: str | None) -> None:
        if app is None or not self._serves(namespace):
            return
        if self.store.apps.find(namespace, app) is not None:
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
                await self._list_apps()
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
        return not self.missing()

    def missing(self) -> list[str]:
        """Return the kinds of which the first list has not come yet."""
        needed = (*self._apps, *self._watches, self.leader.watch)
        return sorted({one.kind for one in needed if not one.synced.is_set()})

    def trouble(self) -> str | None:
        """Return what only a restart mends: parts that ended, silent watches, a restored etcd."""
        if self._runner is not None and self._runner.done() and not self.stopping:
            return "The operator's tasks have ended."
        seconds = self.leader.canary.silent_seconds()
        if seconds > _MISSED_SECONDS:
            return f"Our own write of {seconds:.0f} s ago has not come back through the watch."
        for watch in self.watches():
            if watch.silent_seconds() > _SILENT_SECONDS:
                return f"The watch of {watch.kind} has been silent for {_SILENT_SECONDS:.0f} s."
            if watch.went_back:
                return f"{watch.kind} is told of as it was before: etcd was restored."
        return None

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
            garbage.settle()
            logger.info("Caches are full; %d apps.", len(self.store.apps))
            group.create_task(self.leader.run())
            group.create_task(self._take_over())
            group.create_task(self.fitness.run())
            await self.fitness.known.wait()
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
            await self._ask_for_apps()
            if not was_asked:
                garbage.settle()
                self._everything_changed()

    def _leads(self, leads: bool) -> None:
        """Begin to write, or stop."""
        if leads:
            self._elected.set()
            return
        self._elected.clear()
        self._leading.clear()
        if self.stopping:
            logger.info("%s gives the Lease up.", self.settings.identity)
        else:
            logger.warning("%s has lost the Lease and stands by.", self.settings.identity)

    async def _take_over(self) -> None:
        """Ask for all apps before the first write, whenever the Lease becomes ours.

        The watch of a standby may be behind: children that the last writer brought to a newer spec
        would be put back to an older one for a moment.
        """
        while True:
            await self._elected.wait()
            self._elected.clear()
            if not await self._ask_for_apps():
                await asyncio.sleep(_CRD_SECONDS)
                if self.leader.leads:
                    self._elected.set()
            elif self.leader.leads and not self._elected.is_set():
                logger.info("%s holds the Lease and works.", self.settings.identity)
                self._everything_changed()
                self._leading.set()

    async def _list_apps(self) -> None:
        for watch in self._apps:
            await watch.list(self.cluster)

    async def _ask_for_apps(self) -> bool:
        """List all apps; tell whether it could be done."""
        try:
            await self._list_apps()
        except (TransientError, UserError) as error:
            logger.warning("Listing apps: %s", error)
            return False
        return True

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

    async def _look(self, key: Key) -> float | None:
        if not self._serves(key[0]):
            return None
        unfit = self.fitness.unfit
        if unfit is not None:
            await self.reconciler.refuse(key, unfit.reason, unfit.words)
            return None
        return await self.reconciler.reconcile(key)

    async def _reconcile(self, key: Key) -> str:
        """Reconcile an app; whatever goes wrong is its own problem, and is tried again."""
        name = "/".join(key)
        try:
            look_again = await self._look(key)
        except (ConflictError, NotLeaderError) as error:
            # Something was changed since we looked, so that we look again; no more than that.
            logger.debug("%s: %s Next try in %.1f s.", name, error, self.queue.failed(key))
            return "requeue"
        except UserError as error:
            most = _QUOTA_AGAIN_SECONDS if isinstance(error, QuotaError) else float("inf")
            delay = self.queue.failed(key, at_most=most)
            logger.info("%s: %s Next try in %.1f s.", name, error, delay)
            return "error"
        except TransientError as error:
            after = error.after if isinstance(error, BusyError) else 0.0
            logger.info("%s: %s Next try in %.1f s.", name, error, self.queue.failed(key, after))
            return "error"
        except Exception as error:  # a bug in one app's path must not stop the others
            self.metrics.panicked()
            logger.exception("%s: next try in %.1f s.", name, self.queue.failed(key))
            await self._confess(key, error)
            return "error"
        self.queue.succeeded(key)
        if look_again is None:
            return "success"
        self.queue.add(key, look_again)
        return "requeue_after"

    async def _confess(self, key: Key, error: Exception) -> None:
        """Say on an app that a bug of ours was met there: who sees no status takes it for done."""
        what = f"{type(error).__name__}: {error}"
        try:
            await self.reconciler.refuse(
                key,
                "OperatorBug",
                f"The operator has met a bug of its own in this app ({wording.plain(what, 300)}). "
                "Its log tells where; please report it. It tries again now and then, and at each "
                "change of the spec.",
            )
        except ClusterousError as refused:
            logger.warning("%s/%s: its status could not be written: %s", *key, refused)
        except Exception:  # the same bug may be met there
            logger.exception("%s/%s: its status could not be written.", *key)

    def _show(self) -> None:
        queue, metrics = self.queue, self.metrics
        metrics.workers(self.settings.workers)
        show = metrics.of_queue
        show("workqueue_depth", "Apps that wait for a worker", lambda: len(queue))
        show("workqueue_adds_total", "Apps put in the queue", lambda: queue.adds)
        show("workqueue_retries_total", "Apps put there after a failure", lambda: queue.retries)
        show(
            "workqueue_unfinished_work_seconds",
            "Time spent on what is still being worked on",
            lambda: sum(queue.busy_seconds()),
        )
        show(
            "workqueue_longest_running_processor_seconds",
            "The longest of these",
            lambda: max(queue.busy_seconds(), default=0.0),
        )
        metrics.asked(
            "leader_election_master_status",
            "Whether we write",
            ("name",),
            lambda: {(names.LEASE,): float(self.leader.leads)},
        )
        by_kind = (
            ("clusterous_watch_age_seconds", "Since something was heard", lambda one: one.age()),
            ("clusterous_watch_lists_total", "Lists of a kind", lambda one: one.lists),
            ("clusterous_watch_events_total", "Changes of a kind", lambda one: one.events),
            ("clusterous_cache_objects", "Objects remembered", lambda one: len(one.table)),
        )
        for name, what, value in by_kind:
            metrics.asked(name, what, ("kind", "namespace"), partial(self._by_watch, value))

    def _by_watch(self, value: Callable[[Watch[Any]], float]) -> dict[tuple[str, ...], float]:
        listed = (one for one in self.watches() if one.lists)
        return {(one.kind, one.namespace or ""): value(one) for one in listed}
