"""How many pods of which groups fill the cluster. Pure."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from clusterous_api import quantity
from clusterous_api.errors import UserError
from clusterous_api.models import App, Component
from clusterous_api.quantity import Amounts
from clusterous_operator import manifests
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import DEPLOYMENT, Child, Pod
from clusterous_operator.capacity import sizing
from clusterous_operator.capacity.eligible import admits
from clusterous_operator.decisions import counting, ending
from clusterous_operator.decisions.counting import Size
from clusterous_operator.manifests import Facts
from clusterous_operator.objects.usage import Usage

# For so long no group that fills grows past pods whose place is free. A scheduler needs less, even
# where a volume is made first; what it still refuses then has reasons that sizing does not know.
_FIRST_CHOICE_SECONDS = 30.0


Filler = tuple[str, str, str]  # namespace, app, component


def fillers(app: App) -> list[Component]:
    """Return the components of which there are to be as many as the cluster holds."""
    return [one for one in app.components if one.replicas is None and not app.is_job(one)]


def fills(look: Look) -> bool:
    """Tell whether it depends on the room in the cluster how many pods it is to have now."""
    return bool(fillers(look.app)) and not look.is_asleep and ending.ended(look) is None


class TooLongError(UserError):
    """To count what fits costs more than one app may ask for."""


# A tenth of a second: what may take longer is not counted where others wait.
_QUICK_QUESTIONS = 10_000
_PLACES = 110  # pods that a node takes, usually


def takes_long(look: Look) -> bool:
    """Tell whether the count may take longer than others can wait."""
    nodes = len(look.nodes)
    has_rules = any(
        key in (one.template.get("spec") or {})
        for one in look.app.components
        for key in ("affinity", "topologySpreadConstraints")
    )
    one_by_one = nodes * _PLACES if len(fillers(look.app)) > 1 else 0
    is_quick = one_by_one + nodes * len(look.usage.waiting) < _QUICK_QUESTIONS
    return fills(look) and (has_rules or not is_quick)


def size(
    look: Look,
    current: Mapping[str, sizing.Target],
    now: float,
    patience: float,
    others: Collection[Filler] = (),
) -> Size:
    """Return how many pods fill the cluster; *others* are the groups of other apps that do so."""
    try:
        return _size(look, current, now, patience, others)
    except sizing.TooLongError as error:
        who = ", ".join(one.name for one in fillers(look.app))
        raise TooLongError(
            f"How many pods of {who} fit on {len(look.nodes)} nodes takes too long to count, by "
            "the rules that must hold (topologySpreadConstraints with DoNotSchedule, required "
            "podAntiAffinity). Ask for fewer of them, let them be wishes (ScheduleAnyway, "
            "preferred), or give replicas."
        ) from error


def _size(
    look: Look,
    current: Mapping[str, sizing.Target],
    now: float,
    patience: float,
    others: Collection[Filler],
) -> Size:
    if not fills(look):
        return Size()
    filling = fillers(look.app)
    before = {one.name: current.get(one.name) or _running(look, one) for one in filling}
    known = {name: target for name, target in before.items() if target is not None}
    if not look.capacity_known:
        least = {one.name: sizing.Target(count=one.min) for one in filling}
        return Size(targets=least | known)
    groups = [_group(look, one) for one in filling]
    holding = [pod for one in groups for pod in _holding(look, one)]
    held = Counter(str(pod.component) for pod in holding)
    usage = _beside(look, others, holding)
    siblings = _waiting(look, _of_fixed_size(look))
    targets = sizing.targets(
        lambda asked: sizing.beside_held(
            held, asked, lambda free: sizing.fill_beside(look.nodes, usage, siblings, free)
        ),
        groups,
        known,
        now,
        patience,
    )
    if _is_first_choice_due(look):
        targets = sizing.yielding(targets, known, now, _FIRST_CHOICE_SECONDS)
    return Size(targets=targets, look_again=_next_look(targets.values(), now, patience))


def _holding(look: Look, group: sizing.Group) -> list[Pod]:
    """Return the pods of a group on nodes that would take them no more: those places are held.

    To cordon a node, to taint it, to take its label away, or to wait for one that is silent, must
    not end what runs there. Once it is told to end, by a drain or because the node is lost, its
    place is.
    """
    spec = group.demand.spec
    shut = {node.name: node for node in look.nodes if not (node.schedulable and admits(node, spec))}
    pods = [pod for pod in look.pods_of(group.name) if pod.node in shut] if shut else []
    if all(not shut[str(pod.node)].schedulable for pod in pods):
        return pods
    # While an update is under way, it is the pods of before that may not be there any more.
    component = look.app.component(group.name)
    before = None if component is None else _running_spec(look.workload(component))
    return [
        pod
        for pod in pods
        if not (node := shut[str(pod.node)]).schedulable
        or (before is not None and not admits(node, before))
    ]


def _running_spec(child: Child | None) -> Mapping[str, Any] | None:
    """Return of which spec all pods of a Deployment are; None where they are not of one."""
    if child is None or not _are_of_newest(child):
        return None
    spec: Mapping[str, Any] = child.content()["spec"]["template"]["spec"]
    return spec


def _next_look(targets: Iterable[sizing.Target], now: float, patience: float) -> float | None:
    """Return in how many seconds time alone may change how many pods fill the cluster."""
    ends = []
    for one in targets:
        if one.shrinking_since is not None:
            ends.append(one.shrinking_since + patience)
        if one.yielding_since is not None:
            ends.append(one.yielding_since + _FIRST_CHOICE_SECONDS)
    return min((end - now for end in ends if end > now), default=None)


def _is_first_choice_due(look: Look) -> bool:
    """Tell whether other components, which may start, lack pods that there is a free place for."""
    coming = [one for one in _of_fixed_size(look) if counting.may_start(look, one)]
    waiting = _waiting(look, coming)
    if not any(one.count for one in waiting):
        return False
    placed = look.usage.without([one for one in look.pods if one.waits])
    return sizing.have_room(look.nodes, placed, waiting)


def _group(look: Look, one: Component) -> sizing.Group:
    demand = _demand(look, one)
    least = one.min
    if demand.requests != quantity.of_pod(demand.spec):
        # Without any pod it would be forgotten what admission makes of one, and all be asked for.
        least = sizing.bounded(1, one.min, one.max)
    return sizing.Group(name=one.name, demand=demand, min=least, max=one.max)


def _running(look: Look, component: Component) -> sizing.Target | None:
    """After a restart of the operator, what runs is what was meant."""
    child = look.workload(component)
    return None if child is None else sizing.Target(count=child.state["wanted"])


def _beside(look: Look, others: Collection[Filler], holding: Iterable[Pod]) -> Usage:
    """Return what is taken by the pods that take room from those that fill; some *holding* do.

    What waits for a place is among them, but not where it is to fill a cluster itself: two that
    make way for each other would both end with nothing, and begin anew.
    """
    ours = {one.name for one in fillers(look.app)}
    stay = {one.name for one in holding}
    gone = [
        one for one in look.pods if one.waits or (one.component in ours and one.name not in stay)
    ]
    fill_too = [
        one for one in look.usage.waiting if (one.namespace, one.app, one.component) in others
    ]
    return look.usage.without([*gone, *fill_too])


def _of_fixed_size(look: Look) -> list[Component]:
    """Return the components whose number of pods does not depend on the room for them."""
    return [
        one
        for one in look.app.components
        if one.replicas is not None and not counting.is_done(look, one)
    ]


def _waiting(look: Look, components: Iterable[Component]) -> list[sizing.Demand]:
    """Return the pods of *components* that have no place yet."""
    found = []
    for one in components:
        on = [pod.node for pod in look.pods_of(one.name) if pod.node is not None]
        missing = max(0, (one.replicas or 0) - len(on))
        found.append(_demand(look, one, missing, on))
    return found


def _demand(
    look: Look, component: Component, count: int = 1, on: Collection[str] = ()
) -> sizing.Demand:
    template = manifests.pod_template(look.app, component, Facts())
    found = sizing.demand(template["spec"], count, labels=template["metadata"]["labels"], on=on)
    return dataclasses.replace(found, requests=_requests(look, component, found.requests))


def _requests(look: Look, component: Component, asked: Amounts) -> Amounts:
    """Return what a pod of a component will request: what those that are there do.

    Admission makes another pod of what we ask for: by the defaults of a LimitRange, the overhead of
    a RuntimeClass, an autoscaler of requests. While pods of before are among them, the most counts:
    to count too few pods does no harm then, and too many would wait, and hold the update up.
    """
    made = {id(one.requests): one.requests for one in look.pods_of(component.name)}
    if not made:
        return asked
    if _are_of_newest(look.workload(component)):
        return quantity.largest(made.values())
    return quantity.largest([asked, *made.values()])


def _are_of_newest(child: Child | None) -> bool:
    """Tell whether all pods of a Deployment are of its newest template."""
    if child is None or child.kind != DEPLOYMENT:
        return False
    state = child.state
    is_seen = state.get("observedGeneration", 0) >= child.generation
    return bool(is_seen and state.get("updatedReplicas", 0) >= state.get("replicas", 0))
