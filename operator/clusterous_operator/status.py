"""What an app's status says, as a function of what is observed. Pure.

Ready is never claimed before every wanted pod is ready, of the newest template, and reported so for
the newest generation. Whatever is wrong is said in words, once, by its first cause.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from clusterous_api import names
from clusterous_api.models import App, Component, Dependency, ExistingClaim, Exposure
from clusterous_operator import conditions, manifests, observed, quantity, situation, sizing
from clusterous_operator.conditions import Condition, Type
from clusterous_operator.observed import Observed, Pod
from clusterous_operator.situation import Size
from clusterous_operator.trouble import UNSCHEDULABLE

Status = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """How a component stands."""

    name: str
    desired: int
    ready: int
    updated: int
    failed: int
    exists: int
    settled: bool
    reason: str = ""
    only_waits: bool = False  # the reason is that pods have no place yet; nothing broke
    waiting: str = ""

    @property
    def is_ready(self) -> bool:
        """All that is wanted is there and of the newest template."""
        return self.settled and not self.waiting and self.ready >= self.desired <= self.updated


def summarize(app: App, seen: Observed, size: Size, before: Mapping[str, Any], now: str) -> Status:
    """Return the whole status; *before* is the present one, *now* the time of what changes."""
    groups = [_group(app, one, seen, size) for one in app.components]
    finished = situation.finished(app, seen)
    found = [
        *_outcome(app, seen, groups, finished),
        *_parts(app, groups, finished),
        _volume(app, seen),
        _suspended(app, groups),
        _completed(finished, situation.broken(app, seen)),
    ]
    endpoints = [_endpoint(app, one) for one in app.expose]
    return {
        "observedGeneration": app.generation,
        "conditions": conditions.write(found, before.get("conditions") or (), app.generation, now),
        "components": [_entry(one) for one in groups],
        **({"endpoints": endpoints} if endpoints else {}),
        **_for_people(app, seen, groups, found),
        **_for_scale(app, groups),
    }


def stalled(generation: int, why: str, before: Mapping[str, Any], now: str) -> Status:
    """Return the status of an app that cannot be done as asked: what is known, and why."""
    found = [
        Condition(type=Type.READY, status=False, reason="Invalid", message=why),
        Condition(type=Type.RECONCILING, status=False, reason="Invalid", message=why),
        Condition(type=Type.STALLED, status=True, reason="Invalid", message=why),
    ]
    written = conditions.write(found, before.get("conditions") or (), generation, now)
    told = {item["type"] for item in written}
    rest = [item for item in before.get("conditions") or () if item["type"] not in told]
    return {
        **before,
        "observedGeneration": generation,
        "conditions": [*written, *rest],
        "message": why,
    }


def _group(app: App, component: Component, seen: Observed, size: Size) -> Group:
    child = situation.workload(app, component, seen)
    need = situation.waits_for(app, component, seen)
    wanted = situation.replicas(app, seen, size).get(component.name, 0)
    goal = situation.wanted(component, size) if need and not app.suspend else wanted
    state = {} if child is None else child.state
    is_job = app.is_job(component)
    in_trouble = [one for one in seen.pods_of(component.name) if one.trouble is not None]
    return Group(
        name=component.name,
        desired=_job_goal(wanted, state) if is_job else goal,
        ready=_ready(state, is_job),
        updated=_updated(state, is_job),
        failed=len([one for one in in_trouble if not _waits(one)]),
        exists=state.get("replicas", state.get("active", 0)),
        settled=child is not None and _settled(child, goal),
        reason=_reason(app, component, seen, in_trouble, state),
        only_waits=bool(in_trouble) and all(_waits(one) for one in in_trouble),
        waiting=_waiting(component, need, size),
    )


def _waiting(component: Component, need: Dependency | None, size: Size) -> str:
    """Return what keeps a component from having any pod at all."""
    if need is not None:
        return f"waits until {need.name} is {need.until.lower()}"
    if component.replicas is None and size.target is not None and size.target.count == 0:
        return "no node has room for one"  # to fill the cluster with nothing is not to be ready
    return ""


def _job_goal(wanted: int, state: Mapping[str, Any]) -> int:
    ended = state.get("complete") or state.get("broken")
    return int(state.get("wanted", wanted)) if ended else wanted


def _ready(state: Mapping[str, Any], is_job: bool) -> int:
    if is_job and state.get("complete"):
        return int(state.get("succeeded", 0))
    return int(state.get("ready" if is_job else "readyReplicas", 0))


def _updated(state: Mapping[str, Any], is_job: bool) -> int:
    if is_job:
        return int(state.get("active", 0)) + int(state.get("succeeded", 0))
    return int(state.get("updatedReplicas", 0))


def _settled(child: observed.Child, goal: int) -> bool:
    """Tell whether the counts in a child's status are about what is wanted now."""
    if child.deleting:
        return False
    if child.kind == observed.JOB:
        return not child.state.get("broken")
    state = child.state
    old_pods = state.get("replicas", 0) - state.get("updatedReplicas", 0)
    return bool(
        state.get("observedGeneration", 0) >= child.generation
        and state["wanted"] == goal
        and old_pods <= 0
    )


def _waits(pod: Pod) -> bool:
    return pod.trouble is not None and pod.trouble.reason == UNSCHEDULABLE


def _reason(
    app: App,
    component: Component,
    seen: Observed,
    in_trouble: Sequence[Pod],
    state: Mapping[str, Any],
) -> str:
    """Return the first reason for trouble: what broke before what merely waits."""
    last = _last_failure(component, seen) if state.get("failed") else ""
    if state.get("broken"):
        return f"gave up: {last or state['broken']}"
    first = min(in_trouble, key=lambda one: (_waits(one), one.name), default=None)
    if first is None or first.trouble is None:
        return f"pods are refused: {state['refused']}" if state.get("refused") else last
    if not _waits(first):
        return first.trouble.words
    waiting = len([one for one in in_trouble if _waits(one)])
    who = f"{waiting} waits" if waiting == 1 else f"{waiting} wait"
    return f"{who}{_no_room(app, component, first, first.trouble.words, seen)}"


def _last_failure(component: Component, seen: Observed) -> str:
    """Return how the newest failed pod of a Job ended: it stays, while others are tried."""
    failed = [one for one in seen.pods if one.component == component.name and one.ended]
    newest = max(failed, key=lambda one: one.version, default=None)
    return "" if newest is None or newest.trouble is None else newest.trouble.words


def _no_room(app: App, component: Component, pod: Pod, told: str, seen: Observed) -> str:
    """Say for what a pod waits, as precisely as the nodes that we know allow."""
    if "unbound" in told and "PersistentVolumeClaim" in told:
        return " for the volume to be bound"
    ready = [one for one in seen.nodes if one.schedulable]
    if not ready:
        return ": no node is ready"
    spec = manifests.pod_template(app, component, manifests.Facts())["spec"]
    usable = [one for one in ready if sizing.admits(one, spec)]
    if not usable:
        return ": no node is of the kind that its placement asks for"
    left = sizing.greatest(sizing.room(usable, (*seen.pods, *seen.others)).values())
    for name, amount in sorted(pod.requests.items()):
        most = max(left.get(name, Decimal(0)), Decimal(0))
        if amount > most:
            needs, has = quantity.words(name, amount), quantity.words(name, most)
            return f": no node fits; needs {needs} and the largest has {has} free"
    return f": {told}"


def _outcome(
    app: App, seen: Observed, groups: Sequence[Group], finished: bool
) -> tuple[Condition, Condition, Condition]:
    """Return Ready, Reconciling and Stalled, which always tell one story."""
    gave_up = situation.broken(app, seen)
    message = _first_trouble(groups)
    if gave_up is not None:
        return _three(ready=False, busy=False, stuck=True, reason="MasterFailed", message=message)
    if finished:
        done = "The master has ended with code 0."
        return _three(ready=True, busy=False, stuck=False, reason="Completed", message=done)
    if app.suspend:
        left = sum(one.exists for one in groups)
        words = f"{left} pods are still ending" if left else "Nothing runs until suspend is false."
        reason = "Suspending" if left else "Suspended"
        return _three(ready=False, busy=left > 0, stuck=False, reason=reason, message=words)
    if all(one.is_ready for one in groups):
        return _three(ready=True, busy=False, stuck=False, reason="Ready", message="All is ready.")
    reason = _state(groups)
    return _three(ready=False, busy=True, stuck=False, reason=reason, message=message)


def _state(groups: Iterable[Group]) -> str:
    """Return in one word how it goes with what is not ready."""
    late = [one for one in groups if not one.is_ready]
    if any(one.reason and not one.only_waits for one in late):
        return "Trouble"
    return "Waiting" if any(one.reason or one.waiting for one in late) else "Progressing"


def _three(
    *, ready: bool, busy: bool, stuck: bool, reason: str, message: str
) -> tuple[Condition, Condition, Condition]:
    return (
        Condition(type=Type.READY, status=ready, reason=reason, message=message),
        Condition(type=Type.RECONCILING, status=busy, reason=reason, message=message),
        Condition(type=Type.STALLED, status=stuck, reason=reason, message=message if stuck else ""),
    )


def _first_trouble(groups: Iterable[Group]) -> str:
    late = [one for one in groups if not one.is_ready]
    for one in sorted(late, key=lambda one: not one.reason):
        if one.reason or one.waiting:
            return f"{one.name}: {one.reason or one.waiting}"
        return f"{one.name}: {min(one.ready, one.updated)} of {one.desired} ready"
    return ""


def _parts(app: App, groups: Sequence[Group], finished: bool) -> Iterable[Condition]:
    types = {names.MASTER: Type.MASTER_READY, names.WORKERS: Type.WORKERS_READY}
    for one in groups:
        if one.name in types:
            yield _part(types[one.name], one, app, finished)


def _part(kind: Type, group: Group, app: App, finished: bool) -> Condition:
    told = group.reason or group.waiting or f"{group.ready} of {group.desired} ready"
    if finished:
        return Condition(type=kind, status=True, reason="Completed")
    if app.suspend:
        return Condition(type=kind, status=False, reason="Suspended")
    if group.is_ready:
        return Condition(type=kind, status=True, reason="Ready", message=told)
    return Condition(type=kind, status=False, reason=_state([group]), message=told)


def _volume(app: App, seen: Observed) -> Condition:
    name = seen.claim_name
    if seen.claim is None:
        missing = isinstance(app.volume.source, ExistingClaim)
        why = "make it, or name another" if missing else "it is being made"
        message = f"The claim {name} does not exist; {why}."
        return Condition(type=Type.VOLUME_BOUND, status=False, reason="Missing", message=message)
    phase = str(seen.claim.state.get("phase", "Pending"))
    bound = phase == "Bound"
    message = f"The claim {name} is {phase}."
    return Condition(type=Type.VOLUME_BOUND, status=bound, reason=phase, message=message)


def _suspended(app: App, groups: Iterable[Group]) -> Condition:
    if not app.suspend:
        return Condition(type=Type.SUSPENDED, status=False, reason="Running")
    left = any(one.exists for one in groups)
    reason = "Suspending" if left else "Suspended"
    return Condition(type=Type.SUSPENDED, status=not left, reason=reason)


def _completed(finished: bool, gave_up: str | None) -> Condition:
    if gave_up is not None:
        return Condition(type=Type.COMPLETED, status=False, reason="Failed", message=gave_up)
    reason = "Completed" if finished else "Running"
    return Condition(type=Type.COMPLETED, status=finished, reason=reason)


def _entry(group: Group) -> dict[str, Any]:
    told = group.reason or group.waiting
    return {
        "name": group.name,
        "desired": group.desired,
        "ready": group.ready,
        "updated": group.updated,
        "failed": group.failed,
        **({"reason": told} if told else {}),
    }


def _endpoint(app: App, one: Exposure) -> dict[str, Any]:
    return {
        "name": one.name,
        "component": one.component,
        "service": names.child(app.name, one.component),
        "port": one.port,
        **({"localPort": one.local_port} if one.local_port else {}),
        **({"message": one.message} if one.message else {}),
    }


def _for_people(
    app: App, seen: Observed, groups: Sequence[Group], found: Sequence[Condition]
) -> dict[str, str]:
    counts = {one.name: f"{one.ready}/{one.desired}" for one in groups}
    ready = found[0]
    phase = "Missing" if seen.claim is None else str(seen.claim.state.get("phase", "Pending"))
    return {
        **({"master": counts[names.MASTER]} if names.MASTER in counts else {}),
        **({"workers": counts[names.WORKERS]} if names.WORKERS in counts else {}),
        "volume": phase,
        "message": ready.reason if ready.status else ready.message,
    }


def _for_scale(app: App, groups: Sequence[Group]) -> dict[str, Any]:
    """Return what the scale subresource reads."""
    workers = next((one for one in groups if one.name == names.WORKERS), None)
    if workers is None:
        return {}
    labels = names.selector(app.name, names.WORKERS)
    text = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {"replicas": workers.exists, "selector": text}


__all__ = ["Status", "stalled", "summarize"]
