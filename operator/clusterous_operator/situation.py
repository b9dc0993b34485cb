"""From what is observed to the facts that manifests depend on: who may run, how many. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from clusterous_api import names
from clusterous_api.errors import UserError
from clusterous_api.models import App, Component, Dependency, Until
from clusterous_operator import manifests, sizing
from clusterous_operator.manifests import Facts
from clusterous_operator.observed import CLAIM, DEPLOYMENT, JOB, SERVICE, Child, Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many workers fill the cluster, and when to look again because it may shrink."""

    target: sizing.Target | None = None
    look_again: float | None = None


def facts(app: App, seen: Observed, size: Size) -> Facts:
    """Return the facts of this moment."""
    return Facts(
        addresses=_addresses(app, seen),
        replicas=replicas(app, seen, size),
        on_cluster_volume=seen.on_cluster_volume,
        cluster_volume=_cluster_volume(seen.cluster),
        region=seen.cluster.get("region"),
        single_node=_single_node(app, seen),
    )


def workload(app: App, component: Component, seen: Observed) -> Child | None:
    """Return a component's Deployment or Job, if it is there."""
    kind = JOB if app.is_job(component) else DEPLOYMENT
    return seen.children.get((kind, names.child(app.name, component.name)))


def finished(app: App, seen: Observed) -> bool:
    """Tell whether a batch is done: its master has ended with code 0."""
    return app.master is not None and app.is_job(app.master) and _complete(app, app.master, seen)


def broken(app: App, seen: Observed) -> str | None:
    """Return why a batch's master will never be done, if so."""
    if app.master is None or not app.is_job(app.master):
        return None
    job = workload(app, app.master, seen)
    return None if job is None else job.state.get("broken")


def replicas(app: App, seen: Observed, size: Size) -> dict[str, int]:
    """Return how many pods each component is to have; those that may not start yet are left out."""
    ended = finished(app, seen) or broken(app, seen) is not None
    found: dict[str, int] = {}
    for one in app.components:
        child = workload(app, one, seen)
        may_start = _started(child) or all(_met(app, need, seen) for need in one.depends_on)
        if app.suspend or ended:
            found |= {one.name: 0} if child is not None or may_start else {}
        elif may_start:
            found[one.name] = wanted(one, size)
        elif child is not None:
            found[one.name] = 0
    return found


def wanted(component: Component, size: Size) -> int:
    """Return how many pods a component is to have when it runs."""
    if component.replicas is not None:
        return component.replicas
    return component.min if size.target is None else size.target.count


def waits_for(app: App, component: Component, seen: Observed) -> Dependency | None:
    """Return the first dependency that keeps a component from starting."""
    if _started(workload(app, component, seen)):
        return None
    return next((need for need in component.depends_on if not _met(app, need, seen)), None)


def _started(child: Child | None) -> bool:
    """Tell whether a component was started; it then stays, whatever else becomes unready."""
    return child is not None and (child.kind == JOB or child.state["wanted"] > 0)


def _met(app: App, need: Dependency, seen: Observed) -> bool:
    component = app.component(need.name)
    if component is None:
        return False
    if need.until is Until.COMPLETE:
        return _complete(app, component, seen)
    return is_ready(app, component, seen)


def _complete(app: App, component: Component, seen: Observed) -> bool:
    child = workload(app, component, seen)
    return child is not None and child.kind == JOB and bool(child.state.get("complete"))


def is_ready(app: App, component: Component, seen: Observed) -> bool:
    """Tell whether all pods that a component is to have are ready."""
    child = workload(app, component, seen)
    if child is None or child.deleting:
        return False
    if child.kind == JOB:
        enough = bool(child.state.get("ready", 0) >= child.state["wanted"])
        return bool(child.state.get("complete")) or enough
    state = child.state
    settled = state.get("observedGeneration", 0) >= child.generation
    return bool(settled and state.get("readyReplicas", 0) >= state["wanted"])


def fills(app: App) -> bool:
    """Tell whether the app asks for as many workers as the cluster holds."""
    return app.workers is not None and app.workers.replicas is None and not app.suspend


def size(
    app: App, seen: Observed, current: sizing.Target | None, now: float, patience: float
) -> Size:
    """Return how many workers fill the cluster, for an app that asks for that."""
    workers = app.workers
    if workers is None or not fills(app):
        return Size()
    before = current or _running(app, workers, seen)
    if not seen.capacity_known:
        return Size(target=before or sizing.Target(count=workers.min))
    fresh = sizing.bounded(_room(app, workers, seen), workers.min, workers.max)
    target = sizing.steady(before, fresh, now, patience)
    since = target.shrinking_since
    return Size(target=target, look_again=None if since is None else since + patience - now)


def _running(app: App, workers: Component, seen: Observed) -> sizing.Target | None:
    """After a restart of the operator, what runs is what was meant."""
    child = workload(app, workers, seen)
    return None if child is None else sizing.Target(count=child.state["wanted"])


def _room(app: App, workers: Component, seen: Observed) -> int:
    ours = tuple(one for one in seen.pods if one.component != names.WORKERS)
    return sizing.fill(
        seen.nodes, (*ours, *seen.others), _waiting(app, seen), _demand(app, workers, seen)
    )


def _waiting(app: App, seen: Observed) -> list[sizing.Demand]:
    """Return the pods of this app's other components that have no place yet."""
    found = []
    for one in app.components:
        if one.name == names.WORKERS or one.replicas is None or _complete(app, one, seen):
            continue
        placed = sum(1 for pod in seen.pods_of(one.name) if pod.node is not None)
        if (missing := one.replicas - placed) > 0:
            found.append(_demand(app, one, seen, missing))
    return found


def _demand(app: App, component: Component, seen: Observed, count: int = 1) -> sizing.Demand:
    template = manifests.pod_template(app, component, Facts())
    return sizing.demand(template["spec"], count)


def _addresses(app: App, seen: Observed) -> dict[str, str]:
    found = {}
    for one in app.components:
        child = seen.children.get((SERVICE, names.child(app.name, one.name)))
        address = "" if child is None else child.state["address"]
        if address and address != "None":
            found[one.name] = address
    return found


def _cluster_volume(cluster: Mapping[str, str]) -> Mapping[str, Any] | None:
    text = cluster.get(names.CLUSTER_VOLUME_KEY)
    if text is None:
        return None
    where = f"{names.CLUSTER_VOLUME_KEY} in ConfigMap {names.CLUSTER_CONFIG}"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not YAML: {error}") from error
    if not isinstance(value, Mapping):
        raise UserError(f"{where} must hold a mapping with the key nfs.")
    return value


def _single_node(app: App, seen: Observed) -> bool:
    """Tell whether storage of one node serves all; a claim that is there keeps its mode."""
    claim = seen.children.get((CLAIM, names.claim(app.name)))
    if claim is not None:
        return "ReadWriteOnce" in claim.state["modes"]
    return len(seen.nodes) <= 1


__all__ = [
    "Size",
    "broken",
    "facts",
    "fills",
    "finished",
    "is_ready",
    "replicas",
    "size",
    "waits_for",
    "wanted",
    "workload",
]
