"""What keeps pods apart where there is room for them: host ports, anti-affinity, spread. Pure.

Host ports are looked at between all pods. Anti-affinity and spread are looked at between the pods
of one app, which are those that a worker's rules name. Left to the scheduler, so that more may be
asked for than find a place: rules about the pods of others, required podAffinity, and volumes that
only some of the nodes can reach.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterous_operator.cache.observed import Node
from clusterous_operator.capacity import eligible
from clusterous_operator.objects.quantity import Amounts
from clusterous_operator.objects.usage import HostPort

Body = Mapping[str, Any]

# The label that only the pods of one ReplicaSet share; templates do not carry it yet.
_OF_REPLICA_SET = "pod-template-hash"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demand:
    """Equal pods: what they are, how many want a place, and where those are that have one."""

    spec: Body
    requests: Amounts
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: frozenset[HostPort] = frozenset()
    count: int = 1
    on: tuple[str, ...] = ()  # a node's name for each pod that has its place


class _Apart:
    """One term of a podAntiAffinity: no domain holds its owner and another pod that it means."""

    def __init__(self, owner: Demand, term: Body) -> None:
        self._owner = owner
        self._key: str = term["topologyKey"]
        self._term = term
        self._meant: set[str] = set()  # domains with a pod that the term means
        self._owned: set[str] = set()  # domains with a pod that has the term

    def allows(self, demand: Demand, node: Node) -> bool:
        domain = node.labels.get(self._key)
        if domain is None:
            return True
        if demand is self._owner and domain in self._meant:
            return False
        return domain not in self._owned or not self._means(demand)

    def put(self, demand: Demand, node: Node) -> None:
        domain = node.labels.get(self._key)
        if domain is None:
            return
        if self._means(demand):
            self._meant.add(domain)
        if demand is self._owner:
            self._owned.add(domain)

    def _means(self, demand: Demand) -> bool:
        return _means(self._term, self._owner, demand)


class _Even:
    """One topologySpreadConstraint that is a must: no domain is *skew* pods ahead of the last."""

    def __init__(self, owner: Demand, term: Body, nodes: Iterable[Node]) -> None:
        self._owner = owner
        self._term = term
        self._key: str = term["topologyKey"]
        eligibles = [node for node in nodes if _counts(term, owner.spec, node)]
        self._nodes = {node.name for node in eligibles}
        self._pods = {node.labels[self._key]: 0 for node in eligibles}
        self._own = 1 if _means(term, owner, owner) else 0
        self._too_few = len(self._pods) < (term.get("minDomains") or 1)
        self._least = 0

    def allows(self, demand: Demand, node: Node) -> bool:
        if demand is not self._owner:
            return True
        domain = node.labels.get(self._key)
        if domain is None:
            return False
        ahead = self._pods.get(domain, 0) + self._own - self._least
        return bool(ahead <= self._term["maxSkew"])

    def put(self, demand: Demand, node: Node) -> None:
        if node.name not in self._nodes or not _means(self._term, self._owner, demand):
            return
        domain = node.labels[self._key]
        self._pods[domain] += 1
        if self._pods[domain] - 1 == self._least and not self._too_few:
            self._least = min(self._pods.values())


def _means(term: Body, owner: Demand, other: Demand) -> bool:
    """Tell whether the label selector of a rule of *owner* selects pods of *other*."""
    keys: Sequence[str] = term.get("matchLabelKeys") or ()
    if _OF_REPLICA_SET in keys and other is not owner:
        return False
    alike = all(other.labels.get(key) == owner.labels[key] for key in keys if key in owner.labels)
    return alike and eligible.matches(term.get("labelSelector"), other.labels)


def _musts(spec: Body) -> list[Body]:
    terms = spec.get("topologySpreadConstraints") or ()
    return [one for one in terms if one.get("whenUnsatisfiable") == "DoNotSchedule"]


def _counts(term: Body, spec: Body, node: Node) -> bool:
    """Tell whether a node's pods, or its being without any, count for a spread."""
    if any(one["topologyKey"] not in node.labels for one in _musts(spec)):
        return False
    if term.get("nodeAffinityPolicy") != "Ignore" and not eligible.selected(node, spec):
        return False
    if term.get("nodeTaintsPolicy") != "Honor":
        return True
    return node.schedulable and eligible.tolerated(node, spec)


class Spacing:
    """Where the pods of one app are while places are sought for more: lives for one such count."""

    def __init__(self, nodes: Iterable[Node], demands: Sequence[Demand]) -> None:
        self._nodes = {node.name: node for node in nodes}
        apart = [_Apart(one, term) for one in demands for term in _keeps_away(one.spec)]
        even = [
            _Even(one, term, self._nodes.values()) for one in demands for term in _musts(one.spec)
        ]
        self._rules: list[_Apart | _Even] = [*apart, *even]
        for one in demands:
            for name in one.on:
                self.put(one, name)

    @property
    def matters(self) -> bool:
        """Tell whether there is any rule at all."""
        return bool(self._rules)

    def allows(self, demand: Demand, node: str) -> bool:
        """Tell whether the rules let one more pod onto a node, as things stand."""
        return all(rule.allows(demand, self._nodes[node]) for rule in self._rules)

    def put(self, demand: Demand, node: str) -> None:
        """Take note of a pod that has its place."""
        if node in self._nodes:
            for rule in self._rules:
                rule.put(demand, self._nodes[node])


def _keeps_away(spec: Body) -> Sequence[Body]:
    return eligible.required(spec, "podAntiAffinity") or ()
