"""In which order the reconcile acts: what is to be remembered is written before the deed."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from clusterous_api import names
from clusterous_operator.cache import observed
from clusterous_operator.cache.store import Store
from clusterous_operator.capacity.drain import IDLE_COST
from clusterous_operator.controller.metrics import Metrics
from clusterous_operator.controller.reconcile import Reconciler
from tests.unit.operator.making import NOW, FakeApi, make_body

KEY = ("lab", "sim")
POLICY = {"maxRestarts": 0, "rules": [{"action": "RestartGroup", "exitCodes": [3]}]}


class Server:
    """An API server for one app; it notes each write, in order."""

    def __init__(self, body: dict[str, Any], usage: Mapping[str, str]) -> None:
        self.body = body
        self.usage = usage
        self.api = FakeApi()
        self.pauses: dict[str, float] = {}  # in seconds, before an object of a kind is there
        self.writes: list[tuple[str, str]] = []
        self.bodies: list[Mapping[str, Any]] = []

    def note(self, kind: str, name: str, body: Mapping[str, Any]) -> None:
        self.writes.append((kind, name))
        self.bodies.append(body)

    async def apply(
        self, manifest: Mapping[str, Any], *, force: bool, sub: str = ""
    ) -> Mapping[str, Any]:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        await asyncio.sleep(self.pauses.get(kind, 0.0))
        self.note(f"{kind}/{sub}" if sub else kind, name, manifest)
        if sub:
            self.body = {**self.body, "status": manifest["status"]}
            version = str(len(self.writes))
            self.body["metadata"] = {**self.body["metadata"], "resourceVersion": version}
            return self.body
        self.api.apply(manifest)
        return self.api.objects[kind, name]

    async def patch(
        self, kind: str, namespace: str, name: str, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        self.note(kind, name, body)
        return {"metadata": {"name": name}}

    async def create(self, kind: str, namespace: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"metadata": {"name": "event"}}

    async def read(self, kind: str, namespace: str | None, name: str) -> Mapping[str, Any]:
        items = [
            {"metadata": {"name": pod}, "containers": [{"usage": {"cpu": cpu}}]}
            for pod, cpu in self.usage.items()
        ]
        return {"items": items}


class Bench:
    """A reconciler of one app whose pods a test sets."""

    def __init__(
        self,
        usage: Mapping[str, str] | None = None,
        cluster: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> None:
        self.server = Server(make_body(**({"master": {}} | spec)), usage or {})
        self.store = Store()
        self.reconciler = Reconciler(
            cluster=self.server,  # type: ignore[arg-type]  # a fake
            store=self.store,
            metrics=Metrics(),
            patience=1.0,
            want_capacity=lambda: None,
            clock=lambda: 0.0,
            now=lambda: datetime.fromisoformat(NOW),
        )
        self.store.cluster = cluster or {}
        self.server.pauses[observed.VOLUME] = 0.01
        self.look()

    def look(self, **spec: Any) -> list[tuple[str, str]]:
        """Reconcile; return what is written."""
        body = self.server.body
        self.server.body = {**body, "spec": {**body["spec"], **spec}}
        self.store.apps.put(self.store.apps.trim(self.server.body))
        self.server.writes.clear()
        self.server.bodies.clear()
        asyncio.run(self.reconciler.reconcile(KEY))
        return list(self.server.writes)

    def pod(self, name: str, **container: Any) -> None:
        """Let a worker be there that is ready."""
        labels = names.selector("sim", "workers")
        ready = {"type": "Ready", "status": "True"}
        body = {
            "metadata": {"namespace": "lab", "name": name, "labels": labels},
            "spec": {"nodeName": "node"},
            "status": {"conditions": [ready], "containerStatuses": [container]},
        }
        self.store.pods.put(observed.pod(body))


def test_the_end_is_told_before_what_speaks_for_it_is_taken_away() -> None:
    bench = Bench(workers={"replicas": 1}, failurePolicy=POLICY)
    bench.pod("one", lastState={"terminated": {"exitCode": 3}})

    first, *rest = bench.look()

    assert first == (f"{names.KIND}/status", "sim")
    assert ("Deployment", "sim-workers") in rest


def test_of_the_pods_to_be_ended_the_idle_ones_are_marked_first() -> None:
    workers = {"replicas": 3, "drain": {"exec": {"command": ["finish"]}}}
    bench = Bench({"a": "900m", "b": "1m", "c": "800m"}, workers=workers)
    for name in "abc":
        bench.pod(name)

    marked, scaled, *_ = bench.look(workers={**workers, "replicas": 2})

    assert (marked, scaled) == (("Pod", "b"), ("Deployment", "sim-workers"))
    note = {names.ANNOTATION_DELETION_COST: str(IDLE_COST)}
    assert bench.server.bodies[0] == {"metadata": {"annotations": note}}


def test_no_pod_is_marked_without_a_drain_or_without_need() -> None:
    plain = Bench({"a": "900m", "b": "1m"}, workers={"replicas": 2})
    drained = {"replicas": 2, "drain": {"exec": {"command": ["finish"]}}}
    grows = Bench({"a": "900m", "b": "1m"}, workers=drained)
    for bench in (plain, grows):
        bench.pod("a")
        bench.pod("b")

    writes = [*plain.look(workers={"replicas": 1}), *grows.look(workers={**drained, "replicas": 3})]

    assert "Pod" not in {kind for kind, _ in writes}


def test_an_autoscaler_hears_the_first_number_once() -> None:
    scaled = {"scaledBy": "Autoscaler", "min": 2}
    bench = Bench(workers=scaled)

    first = bench.server.bodies[0]
    again = bench.look(workers={**scaled, "replicas": 5})

    assert first["spec"] == {"replicas": 2}
    assert (names.KIND, "sim/scale") not in again


def test_the_volume_is_there_before_the_claim_that_is_to_find_it() -> None:
    volume = json.dumps({"nfs": {"server": "192.0.2.9", "path": "/"}})
    bench = Bench(cluster={names.CLUSTER_VOLUME_KEY: volume})

    kinds = [kind for kind, _ in bench.server.writes]

    assert kinds.index(observed.VOLUME) < kinds.index(observed.CLAIM)
