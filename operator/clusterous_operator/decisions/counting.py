"""How many pods each component is to have, and which may not start yet. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clusterous_api.models import App, Component, Dependency, Until
from clusterous_operator.cache.observed import JOB, Child, Observed
from clusterous_operator.capacity import sizing
from clusterous_operator.decisions import ending, workloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many pods fill the cluster, by component, and when to look again as it may shrink."""

    targets: Mapping[str, sizing.Target] = field(default_factory=dict)
    look_again: float | None = None


def replicas(app: App, seen: Observed, size: Size) -> dict[str, int]:
    """Return how many pods each component is to have; those that may not start yet are left out."""
    end = ending.ended(app, seen)
    is_known = end is not None and seen.before.get("completionTime") == end.at
    asleep = workloads.is_asleep(app, seen)
    found: dict[str, int] = {}
    for one in app.components:
        child = workloads.workload(app, one, seen)
        if one.name in seen.held:
            continue
        startable = may_start(app, one, seen)
        if asleep or end is not None:
            # What has ended is not made again, should it be gone.
            found |= {one.name: 0} if child is not None or (startable and not is_known) else {}
        elif startable:
            found[one.name] = wanted(one, size)
        elif child is not None:
            found[one.name] = 0
    return found


def wanted(component: Component, size: Size) -> int:
    """Return how many pods a component is to have when it runs."""
    if component.replicas is not None:
        return component.replicas
    target = size.targets.get(component.name)
    return component.min if target is None else target.count


def first_number(app: App, component: Component, child: Child | None) -> int:
    """Return the number that an autoscaler begins with: what runs, within what the user allows.

    To begin with the least would end what is at work, when it takes over from a fixed number.
    """
    least = component.replicas or 1  # what the models make of an absent number: at least one
    is_ours = child is not None and child.owner_uid in (app.uid, None)
    running = child.state["wanted"] if child is not None and is_ours else 0
    return sizing.bounded(running, least, component.max)


def waits_for(app: App, component: Component, seen: Observed) -> Dependency | None:
    """Return the first dependency that keeps a component from starting."""
    if _started(workloads.workload(app, component, seen)):
        return None
    return next((need for need in component.depends_on if not _met(app, need, seen)), None)


def may_start(app: App, component: Component, seen: Observed) -> bool:
    is_started = _started(workloads.workload(app, component, seen))
    return is_started or all(_met(app, need, seen) for need in component.depends_on)


def _started(child: Child | None) -> bool:
    """Tell whether a component was started; it then stays, whatever else becomes unready."""
    return child is not None and (child.kind == JOB or child.state["wanted"] > 0)


def _met(app: App, need: Dependency, seen: Observed) -> bool:
    component = app.component(need.name)
    if component is None:
        return False
    if need.until is Until.COMPLETE:
        return is_done(app, component, seen)
    return is_ready(app, component, seen)


def is_done(app: App, component: Component, seen: Observed) -> bool:
    child = workloads.workload(app, component, seen)
    return child is not None and child.kind == JOB and workloads.is_complete(child)


def is_ready(app: App, component: Component, seen: Observed) -> bool:
    """Tell whether all pods that a component is to have are ready."""
    child = workloads.workload(app, component, seen)
    if child is None or child.deleting:
        return False
    if child.kind == JOB:
        enough = bool(child.state.get("ready", 0) >= child.state["wanted"])
        return bool(child.state.get("complete")) or enough
    state = child.state
    settled = state.get("observedGeneration", 0) >= child.generation
    return bool(settled and state.get("readyReplicas", 0) >= state["wanted"])
