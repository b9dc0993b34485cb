"""How many pods each component is to have, and which may not start yet. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clusterous_api.models import App, Component, Dependency, Until
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import JOB, Child
from clusterous_operator.capacity import sizing
from clusterous_operator.decisions import ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many pods fill the cluster, by component, and when to look again as it may shrink."""

    targets: Mapping[str, sizing.Target] = field(default_factory=dict)
    look_again: float | None = None


def replicas(look: Look, size: Size) -> dict[str, int]:
    """Return how many pods each component is to have; those that may not start yet are left out."""
    end = ending.ended(look)
    is_known = end is not None and look.before.get("completionTime") == end.at
    asleep = look.is_asleep
    found: dict[str, int] = {}
    for one in look.app.components:
        child = look.workload(one)
        if one.name in look.held:
            continue
        startable = may_start(look, one)
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


def waits_for(look: Look, component: Component) -> Dependency | None:
    """Return the first dependency that keeps a component from starting."""
    if _started(look.workload(component)):
        return None
    return next((need for need in component.depends_on if not _met(look, need)), None)


def may_start(look: Look, component: Component) -> bool:
    is_started = _started(look.workload(component))
    return is_started or all(_met(look, need) for need in component.depends_on)


def _started(child: Child | None) -> bool:
    """Tell whether a component was started; it then stays, whatever else becomes unready."""
    return child is not None and (child.kind == JOB or child.state["wanted"] > 0)


def _met(look: Look, need: Dependency) -> bool:
    component = look.app.component(need.name)
    if component is None:
        return False
    if need.until is Until.COMPLETE:
        return is_done(look, component)
    return is_ready(look, component)


def is_done(look: Look, component: Component) -> bool:
    child = look.workload(component)
    # One that is being deleted goes with what was asked before, or with an earlier app.
    if child is None or child.deleting:
        return False
    return child.kind == JOB and child.is_complete


def is_ready(look: Look, component: Component) -> bool:
    """Tell whether all pods that a component is to have are ready."""
    child = look.workload(component)
    if child is None or child.deleting:
        return False
    if child.kind == JOB:
        enough = bool(child.state.get("ready", 0) >= child.state["wanted"])
        return bool(child.state.get("complete")) or enough
    state = child.state
    settled = state.get("observedGeneration", 0) >= child.generation
    return bool(settled and state.get("readyReplicas", 0) >= state["wanted"])
