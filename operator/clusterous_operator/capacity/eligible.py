"""Whether a node takes a pod, whatever room it has: selectors, affinity, taints. Pure.

Preferences do not count: they say where a pod would rather be, not where it may be.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clusterous_operator.cache.observed import Node, Taint

Body = Mapping[str, Any]

_DIGITS = 20  # of a number of 64 bits, with its sign
_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def admits(node: Node, spec: Body) -> bool:
    """Tell whether a pod of *spec* may be on a node."""
    return selected(node, spec) and tolerated(node, spec)


def selected(node: Node, spec: Body) -> bool:
    """Tell whether the pod's node selector and its required node affinity name the node."""
    wanted = spec.get("nodeSelector") or {}
    return all(node.labels.get(key) == value for key, value in wanted.items()) and _affine(
        node, spec
    )


def tolerated(node: Node, spec: Body) -> bool:
    """Tell whether the pod tolerates all taints of the node that keep pods away."""
    tolerations = spec.get("tolerations") or ()
    return all(_tolerated(taint, tolerations) for taint in node.taints)


def matches(selector: Body | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector selects *labels*; none selects nothing, an empty one all."""
    if selector is None:
        return False
    exact = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _matches(labels, one) for one in selector.get("matchExpressions") or ()
    )


def required(spec: Body, kind: str) -> Any:
    """Return what must hold of one *kind* of affinity, such as nodeAffinity."""
    return ((spec.get("affinity") or {}).get(kind) or {}).get(_REQUIRED)


def _tolerated(taint: Taint, tolerations: Iterable[Body]) -> bool:
    return taint.effect not in _KEEPS_AWAY or any(_tolerates(one, taint) for one in tolerations)


def _tolerates(toleration: Body, taint: Taint) -> bool:
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.key)
    return toleration.get("key") == taint.key and toleration.get("value", "") == taint.value


def _affine(node: Node, spec: Body) -> bool:
    needed = required(spec, "nodeAffinity")
    if not needed:
        return True
    return any(_term(node, term) for term in needed.get("nodeSelectorTerms") or ())


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
            return _is_less(values[0] if values else None, value)
        case "Lt":
            return _is_less(value, values[0] if values else None)
    return False


def _is_less(one: str | None, other: str | None) -> bool:
    return _is_number(one) and _is_number(other) and int(str(one)) < int(str(other))


def _is_number(value: str | None) -> bool:
    return value is not None and value.removeprefix("-").isdecimal() and len(value) <= _DIGITS
