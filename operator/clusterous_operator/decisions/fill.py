"""How many pods of which groups fill the cluster. Pure."""

from collections.abc import Collection, Iterable, Mapping

from clusterous_api.errors import UserError
from clusterous_api.models import App, Component
from clusterous_operator import manifests
from clusterous_operator.cache.observed import Observed
from clusterous_operator.capacity import sizing
from clusterous_operator.decisions import counting, ending, workloads
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


def fills(app: App, seen: Observed) -> bool:
    """Tell whether it depends on the room in the cluster how many pods it is to have now."""
    return (
        bool(fillers(app))
        and not workloads.is_asleep(app, seen)
        and ending.ended(app, seen) is None
    )


class TooLongError(UserError):
    """To count what fits costs more than one app may ask for."""


# Some 20 ms: what may take longer is not counted where others wait.
_QUICK_QUESTIONS = 10_000
_PLACES = 110  # pods that a node takes, usually


def takes_long(app: App, seen: Observed) -> bool:
    """Tell whether the count may take longer than others can wait."""
    nodes = len(seen.nodes)
    has_rules = any(
        key in (one.template.get("spec") or {})
        for one in app.components
        for key in ("affinity", "topologySpreadConstraints")
    )
    one_by_one = nodes * _PLACES if len(fillers(app)) > 1 else 0
    is_quick = one_by_one + nodes * len(seen.usage.waiting) < _QUICK_QUESTIONS
    return fills(app, seen) and (has_rules or not is_quick)


def size(
    app: App,
    seen: Observed,
    current: Mapping[str, sizing.Target],
    now: float,
    patience: float,
    others: Collection[Filler] = (),
) -> Size:
    """Return how many pods fill the cluster; *others* are the groups of other apps that do so."""
    try:
        return _size(app, seen, current, now, patience, others)
    except sizing.TooLongError as error:
        who = ", ".join(one.name for one in fillers(app))
        raise TooLongError(
            f"How many pods of {who} fit on {len(seen.nodes)} nodes takes too long to count, by "
            "the rules that must hold (topologySpreadConstraints with DoNotSchedule, required "
            "podAntiAffinity). Ask for fewer of them, let them be wishes (ScheduleAnyway, "
            "preferred), or give replicas."
        ) from error


def _size(
    app: App,
    seen: Observed,
    current: Mapping[str, sizing.Target],
    now: float,
    patience: float,
    others: Collection[Filler],
) -> Size:
    if not fills(app, seen):
        return Size()
    filling = fillers(app)
    before = {one.name: current.get(one.name) or _running(app, one, seen) for one in filling}
    known = {name: target for name, target in before.items() if target is not None}
    if not seen.capacity_known:
        least = {one.name: sizing.Target(count=one.min) for one in filling}
        return Size(targets=least | known)
    groups = [_group(app, one) for one in filling]
    held = _held(seen, filling)
    usage = _beside(app, seen, others)
    siblings = _waiting(app, seen, _of_fixed_size(app, seen))
    targets = sizing.targets(
        lambda asked: sizing.beside_held(
            held, asked, lambda free: sizing.fill_beside(seen.nodes, usage, siblings, free)
        ),
        groups,
        known,
        now,
        patience,
    )
    if _is_first_choice_due(app, seen):
        targets = sizing.yielding(targets, known, now, _FIRST_CHOICE_SECONDS)
    return Size(targets=targets, look_again=_next_look(targets.values(), now, patience))


def _held(seen: Observed, filling: Iterable[Component]) -> dict[str, int]:
    """Return how many pods of each group are on nodes that take no more: those places are held.

    To cordon a node, or to wait for one that is silent, must not end what runs there. Once it is
    told to end, by a drain or because the node is lost, its place is.
    """
    closed = {one.name for one in seen.nodes if not one.schedulable}
    if not closed:
        return {}
    return {one.name: sum(pod.node in closed for pod in seen.pods_of(one.name)) for one in filling}


def _next_look(targets: Iterable[sizing.Target], now: float, patience: float) -> float | None:
    """Return in how many seconds time alone may change how many pods fill the cluster."""
    ends = []
    for one in targets:
        if one.shrinking_since is not None:
            ends.append(one.shrinking_since + patience)
        if one.yielding_since is not None:
            ends.append(one.yielding_since + _FIRST_CHOICE_SECONDS)
    return min((end - now for end in ends if end > now), default=None)


def _is_first_choice_due(app: App, seen: Observed) -> bool:
    """Tell whether other components, which may start, lack pods that there is a free place for."""
    coming = [one for one in _of_fixed_size(app, seen) if counting.may_start(app, one, seen)]
    waiting = _waiting(app, seen, coming)
    if not any(one.count for one in waiting):
        return False
    placed = seen.usage.without([one for one in seen.pods if one.waits])
    return sizing.have_room(seen.nodes, placed, waiting)


def _group(app: App, one: Component) -> sizing.Group:
    return sizing.Group(name=one.name, demand=_demand(app, one), min=one.min, max=one.max)


def _running(app: App, component: Component, seen: Observed) -> sizing.Target | None:
    """After a restart of the operator, what runs is what was meant."""
    child = workloads.workload(app, component, seen)
    return None if child is None else sizing.Target(count=child.state["wanted"])


def _beside(app: App, seen: Observed, others: Collection[Filler]) -> Usage:
    """Return what is taken by the pods that take room from those that fill.

    What waits for a place is among them, but not where it is to fill a cluster itself: two that
    make way for each other would both end with nothing, and begin anew.
    """
    ours = {one.name for one in fillers(app)}
    gone = [one for one in seen.pods if one.component in ours or one.waits]
    fill_too = [
        one for one in seen.usage.waiting if (one.namespace, one.app, one.component) in others
    ]
    return seen.usage.without([*gone, *fill_too])


def _of_fixed_size(app: App, seen: Observed) -> list[Component]:
    """Return the components whose number of pods does not depend on the room for them."""
    return [
        one
        for one in app.components
        if one.replicas is not None and not counting.is_done(app, one, seen)
    ]


def _waiting(app: App, seen: Observed, components: Iterable[Component]) -> list[sizing.Demand]:
    """Return the pods of *components* that have no place yet."""
    found = []
    for one in components:
        on = [pod.node for pod in seen.pods_of(one.name) if pod.node is not None]
        missing = max(0, (one.replicas or 0) - len(on))
        found.append(_demand(app, one, missing, on))
    return found


def _demand(
    app: App, component: Component, count: int = 1, on: Collection[str] = ()
) -> sizing.Demand:
    template = manifests.pod_template(app, component, Facts())
    return sizing.demand(template["spec"], count, labels=template["metadata"]["labels"], on=on)
