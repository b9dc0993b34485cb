"""Apps and API objects for the operator's tests: state only what matters, the rest is ordinary."""

import copy
import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from clusterous_api import models, names, quantity
from clusterous_api.models import App
from clusterous_operator import manifests
from clusterous_operator.cache import observed
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Child, Node, Pod, Taint
from clusterous_operator.decisions import plan, policy, situation
from clusterous_operator.decisions.counting import Size
from clusterous_operator.objects.idle import State
from clusterous_operator.objects.trouble import Trouble
from clusterous_operator.objects.usage import Usage
from clusterous_operator.status import appstatus

PORT = {"name": "http", "port": 8080}
MASTER: Mapping[str, Any] = {"ports": [PORT]}
NOW = "2026-11-22T12:00:00Z"

_versions = itertools.count(1)


def make_body(**spec: Any) -> dict[str, Any]:
    """Return a ClusterousApp as the API server would."""
    return {
        "metadata": {"namespace": "lab", "name": "sim", "uid": "app-uid", "generation": 1},
        "spec": {"image": "example.org/sim:1", **spec},
    }


def make_app(**spec: Any) -> App:
    """Return an app; with a master unless told otherwise."""
    return models.parse(make_body(**({"master": MASTER} | spec)))


def make_node(name: str = "node", **changes: Any) -> Node:
    """Return a node that is ready and holds 4 CPUs."""
    room = changes.pop("room", {"cpu": "4", "memory": "16Gi", "pods": "110"})
    ordinary: dict[str, Any] = {"labels": {}, "taints": (), "schedulable": True}
    return Node(name=name, version=1, allocatable=quantity.amounts(room), **(ordinary | changes))


def make_pod(component: str = names.MASTER, **changes: Any) -> Pod:
    """Return a pod of the app that is ready on node `node`."""
    trouble = changes.pop("trouble", None)
    ordinary: dict[str, Any] = {
        "namespace": "lab",
        "name": f"sim-{component}-{next(_versions)}",
        "app": "sim",
        "node": "node",
        "ready": trouble is None,
        "ended": False,
        "deleting": False,
        "requests": {},
    }
    told = Trouble(reason=trouble[0], words=trouble[1]) if trouble else None
    fixed = {"uid": "u", "version": next(_versions), "component": component, "trouble": told}
    return Pod(**(ordinary | fixed | changes))


def make_taint(key: str, effect: str = "NoSchedule", value: str = "") -> Taint:
    """Return a taint."""
    return Taint(key=key, value=value, effect=effect)


class FakeApi:
    """Keeps objects as the API server does: fills in defaults, drops what is empty, counts."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.cluster: dict[str, str] = {}
        self.nodes: tuple[Node, ...] = (make_node(),)
        self.pods: tuple[Pod, ...] = ()
        self.told: Mapping[str, Any] = {}  # the app's status
        self.idle: State | None = None

    def carry_out(self, steps: Sequence[plan.Step]) -> None:
        """Do what the reconcile would ask for."""
        for step in steps:
            match step:
                case plan.Apply(manifest=manifest):
                    self.apply(manifest)
                case plan.Delete(child=child):
                    del self.objects[child.kind, child.name]
                case plan.Patch(child=child, body=body):
                    self.objects[child.kind, child.name]["spec"] |= body["spec"]

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Make or change an object as server-side apply would."""
        key = (manifest["kind"], manifest["metadata"]["name"])
        known = self.objects.get(key)
        body = _stored(json.loads(json.dumps(manifest)))
        old = {} if known is None else known["metadata"]
        changed = known is None or known["spec"] != body["spec"]
        body["metadata"] |= {
            "uid": old.get("uid", f"uid-{next(_versions)}"),
            "generation": old.get("generation", 0) + (1 if changed else 0),
            "resourceVersion": str(next(_versions)),
        }
        body["status"] = {} if known is None else known["status"]
        if key[0] == "Service":  # an address, or none, is given once and for all
            address = body["spec"].get("clusterIP") or f"10.43.0.{next(_versions)}"
            body["spec"]["clusterIP"] = (known or body)["spec"].get("clusterIP", address)
        self.objects[key] = body

    def run(self) -> None:
        """Let the controllers do their work: all pods are ready, all claims bound."""
        for (kind, _), body in self.objects.items():
            count = body["spec"].get("replicas", 0)
            generation = body["metadata"]["generation"]
            if kind == "Deployment":
                body["status"] = {
                    "observedGeneration": generation,
                    "replicas": count,
                    "readyReplicas": count,
                    "updatedReplicas": count,
                }
            if kind == "Job" and not body["status"].get("conditions"):
                body["status"] = {"active": 1, "ready": 1}
            if kind == "PersistentVolumeClaim":
                body["status"] = {"phase": "Bound"}

    def end_job(
        self,
        name: str,
        kind: str = "Complete",
        message: str = "",
        reason: str = "",
        at: str = "",
    ) -> None:
        """Let a Job end."""
        condition = {"type": kind, "status": "True", "message": message, "reason": reason}
        condition["lastTransitionTime"] = at
        done = kind in ("Complete", "SuccessCriteriaMet")
        count = {"succeeded": 1} if done else {"failed": 7}
        self.objects["Job", name]["status"] = {**count, "conditions": [condition]}

    def observe(self, app: App) -> Look:
        """Return the snapshot that the cache would give."""
        children = observed.belonging(app.name, app.uid, self.children().values())
        own, had = names.claim(app.name), (self.told.get("claim") or {}).get("name")
        on_cluster_volume = manifests.on_cluster_volume(
            configured=bool(self.cluster),
            has_own=(observed.CLAIM, own) in children or had == own,
            has_shared=(observed.CLAIM, names.CLUSTER_CLAIM) in children,
        )
        claim = manifests.claim_name(app, manifests.Facts(on_cluster_volume=on_cluster_volume))
        seen = Look(
            app=app,
            on_cluster_volume=on_cluster_volume,
            children=children,
            pods=self.pods,
            claim_name=claim,
            claim=children.get((observed.CLAIM, claim)),
            nodes=self.nodes,
            usage=Usage(self.pods),
            cluster=self.cluster,
            before=self.told,
            idle=self.idle,
        )
        return dataclasses.replace(seen, verdict=policy.judged(seen))

    def children(self) -> dict[tuple[str, str], Child]:
        """Return all objects, cut down."""
        return {key: observed.child(key[0], body) for key, body in self.objects.items()}


def steps_of(look: Look, size: Size | None = None) -> list[plan.Step]:
    """Return what the reconcile would do."""
    facts = situation.facts(look, size or Size())
    wanted = manifests.desired(look.app, facts)
    return plan.plan(wanted, manifests.kept(look.app, facts), look.children, look.has_begun)


def settle(app: App, api: FakeApi, size: Size | None = None) -> list[plan.Step]:
    """Reconcile until nothing is left to do; return all that was done."""
    done: list[plan.Step] = []
    for _ in range(6):
        steps = steps_of(api.observe(app), size)
        if not steps:
            return done
        api.carry_out(steps)
        done += steps
    raise AssertionError(f"does not settle: {steps}")


def summary(
    app: App, api: FakeApi, size: Size | None = None, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the status, with the conditions by their type."""
    look, counted = api.observe(app), size or Size()
    wanted = manifests.desired(app, situation.facts(look, counted))
    late = plan.next_run(wanted, look.children, look.has_begun)
    look = dataclasses.replace(look, next_run=late)
    found = appstatus.summarize(look, counted, before or {}, NOW)
    return {**found, "conditions": {item["type"]: item for item in found["conditions"]}}


def _stored(value: Any, key: str = "") -> Any:
    """Return a value as the API server keeps it."""
    if isinstance(value, dict):
        if key in ("requests", "limits"):
            return {name: _canonical(amount) for name, amount in value.items()}
        kept = {name: _stored(one, name) for name, one in value.items()}
        kept = {name: one for name, one in kept.items() if one not in ("", [], None)}
        if "containerPort" in kept:
            kept.setdefault("protocol", "TCP")
        if "image" in kept:
            kept.setdefault("imagePullPolicy", "IfNotPresent")
        return kept
    if isinstance(value, list):
        return [_stored(one, key) for one in value]
    return copy.copy(value)


def _canonical(amount: object) -> object:
    """Write a quantity as Kubernetes would: 1000m becomes 1."""
    number = quantity.parse(str(amount))
    whole = number == number.to_integral_value()
    return str(int(number)) if whole else f"{int(number * Decimal(1000))}m"
