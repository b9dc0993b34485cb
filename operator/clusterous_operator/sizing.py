"""How many workers fill the cluster: a pure function of nodes, pods and what a worker needs.

It asks, node by node, what the scheduler would ask: does the pod tolerate and select the node, and
is enough left of every resource. Preferences do not matter for how many fit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from clusterous_operator import quantity
from clusterous_operator.observed import Node, Pod, Taint
from clusterous_operator.quantity import Amounts

Body = Mapping[str, Any]

_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})
_POD = {"pods": Decimal(1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Equal pods that want a place: their specification and how many of them."""

    spec: Body
    requests: Amounts
    count: int = 1


def demand(spec: Body, count: int = 1) -> Demand:
    """Return the demand of *count* pods of a specification."""
    return Demand(spec=spec, requests=quantity.of_pod(spec), count=count)


def fill(
    nodes: Sequence[Node], pods: Iterable[Pod], siblings: Sequence[Demand], one: Demand
) -> int:
    """Return how many of *one* fit beside *pods*, once the waiting *siblings* have their places."""
    left = room(nodes, pods)
    usable = {node.name: node for node in nodes if node.schedulable}
    for sibling in siblings:
        for _ in range(sibling.count):
            _place(sibling, usable.values(), left)
    return sum(_fitting(left[node.name], one) for node in usable.values() if admits(node, one.spec))


def bounded(count: int, least: int, most: int | None) -> int:
    """Keep a number of workers within what the user allows."""
    return max(least, count if most is None else min(count, most))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How many workers to run now, and since when fewer would be enough."""

    count: int
    shrinking_since: float | None = None


def steady(current: Target | None, fresh: int, now: float, patience: float) -> Target:
    """Grow at once, shrink only when *fresh* has been smaller for *patience* seconds.

    A pod that passes by, or a node that restarts, must not end workers that are at work.
    """
    if current is None or fresh >= current.count:
        return Target(count=fresh)
    since = now if current.shrinking_since is None else current.shrinking_since
    if now - since >= patience:
        return Target(count=fresh)
    return Target(count=current.count, shrinking_since=since)


def room(nodes: Iterable[Node], pods: Iterable[Pod]) -> dict[str, dict[str, Decimal]]:
    """Return what is left of each schedulable node."""
    left = {node.name: dict(node.allocatable) for node in nodes if node.schedulable}
    for pod in pods:
        if pod.node in left and not pod.ended:
            _take(left[pod.node], pod.requests)
    return left


def admits(node: Node, spec: Body) -> bool:
    """Tell whether a pod of *spec* may be on a node, whatever room it has."""
    return (
        all(
            node.labels.get(key) == value for key, value in (spec.get("nodeSelector") or {}).items()
        )
        and _affine(node, spec)
        and all(_tolerated(taint, spec.get("tolerations") or ()) for taint in node.taints)
    )


def greatest(rooms: Iterable[Amounts]) -> dict[str, Decimal]:
    """Return the largest amount of each resource that any one node has left."""
    return quantity.largest(rooms)


def _fitting(left: Amounts, one: Demand) -> int:
    """Return how many of *one* fit into what is left; one where it asks for nothing at all."""
    asks = {name: amount for name, amount in one.requests.items() if amount > 0}
    if not asks:
        return 1 if left.get("pods", Decimal(1)) >= 1 else 0
    asks |= _POD if "pods" in left else {}
    return max(0, min(int(left.get(name, Decimal(0)) // amount) for name, amount in asks.items()))


def _place(one: Demand, nodes: Iterable[Node], left: dict[str, dict[str, Decimal]]) -> None:
    """Give one pod a place on the first node that takes it; none has room: it takes nothing."""
    for node in nodes:
        if admits(node, one.spec) and _has_room(left[node.name], one.requests):
            _take(left[node.name], one.requests)
            return


def _has_room(left: Amounts, requests: Amounts) -> bool:
    return all(
        left.get(name, Decimal(0)) >= amount for name, amount in requests.items() if amount > 0
    )


def _take(left: dict[str, Decimal], requests: Amounts) -> None:
    for name, amount in requests.items():
        left[name] = left.get(name, Decimal(0)) - amount
    if "pods" in left:
        left["pods"] -= 1


def _tolerated(taint: Taint, tolerations: Iterable[Body]) -> bool:
    return taint.effect not in _KEEPS_AWAY or any(_tolerates(one, taint) for one in tolerations)


def _tolerates(toleration: Body, taint: Taint) -> bool:
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.key)
    return toleration.get("key") == taint.key and toleration.get("value", "") == taint.value


def _affine(node: Node, spec: Body) -> bool:
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not required:
        return True
    return any(_term(node, term) for term in required.get("nodeSelectorTerms") or ())


def _term(node: Node, term: Body) -> bool:
    fields = {"metadata.name": node.name}
    expressions = term.get("matchExpressions") or ()
    on_fields = term.get("matchFields") or ()
    if not expressions and not on_fields:
        return False
    return all(_matches(node.labels, one) for one in expressions) and all(
        _matches(fields, one) for one in on_fields
    )


def _matches(labels: Mapping[str, str], expression: Body) -> bool:
    value = labels.get(expression["key"])
    values: Sequence[str] = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
        case "Lt":
            return value is not None and value.isdigit() and int(value) < int(values[0])
    return False
