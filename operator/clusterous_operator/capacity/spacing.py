"""What keeps pods apart where there is room for them: host ports, anti-affinity, spread. Pure.

Host ports are looked at between all pods. Anti-affinity and spread are looked at between the pods
of one app, which are those that a worker's rules name. Left to the scheduler, so that more may be
asked for than find a place: rules about the pods of others, required podAffinity, and volumes that
only some of the nodes can reach.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterous_api.quantity import Amounts
from clusterous_operator.cache.observed import Node
from clusterous_operator.capacity import eligible
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

    level = None  # where it refuses a pod, it always will

    def __init__(self, owner: Demand, term: Body, demands: Iterable[Demand]) -> None:
        self._owner = owner
        self._key: str = term["topologyKey"]
        self._meant_ones = {one for one in demands if _means(term, owner, one)}
        self._meant: set[str] = set()  # domains with a pod that the term means
        self._owned: set[str] = set()  # domains with a pod that has the term

    def asks(self, demand: Demand) -> bool:
        return demand is self._owner or demand in self._meant_ones

    counts = asks

    def allows(self, demand: Demand, node: Node) -> bool:
        domain = node.labels.get(self._key)
        if domain is None:
            return True
        if demand is self._owner and domain in self._meant:
            return False
        return domain not in self._owned or demand not in self._meant_ones

    def put(self, demand: Demand, node: Node) -> None:
        domain = node.labels.get(self._key)
        if domain is None:
            return
        if demand in self._meant_ones:
            self._meant.add(domain)
        if demand is self._owner:
            self._owned.add(domain)


class _Even:
    """One topologySpreadConstraint that is a must: no domain is *skew* pods ahead of the last.

    *nodes* have the labels of all such constraints of its owner.
    """

    def __init__(
        self, owner: Demand, term: Body, demands: Iterable[Demand], nodes: Iterable[Node]
    ) -> None:
        self._owner = owner
        self._key: str = term["topologyKey"]
        self._skew: int = term["maxSkew"]
        self._meant_ones = {one for one in demands if _means(term, owner, one)}
        eligibles = [node for node in nodes if _counts(term, owner.spec, node)]
        self._nodes = {node.name for node in eligibles}
        self._pods = {node.labels[self._key]: 0 for node in eligibles}
        self._own = 1 if owner in self._meant_ones else 0
        self._too_few = len(self._pods) < (term.get("minDomains") or 1)
        self._last = len(self._pods)  # how many domains have fewest pods
        self.level = 0  # how many those have

    def asks(self, demand: Demand) -> bool:
        return demand is self._owner

    def counts(self, demand: Demand) -> bool:
        return demand in self._meant_ones

    def allows(self, demand: Demand, node: Node) -> bool:
        domain = node.labels.get(self._key)
        if domain is None:
            return False
        return self._pods.get(domain, 0) + self._own - self.level <= self._skew

    def put(self, demand: Demand, node: Node) -> None:
        if node.name not in self._nodes:
            return
        domain = node.labels[self._key]
        self._pods[domain] += 1
        if self._pods[domain] - 1 > self.level or self._too_few:
            return
        self._last -= 1
        if not self._last:
            self.level = min(self._pods.values())
            self._last = sum(one == self.level for one in self._pods.values())


Rule = _Apart | _Even


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
    if term.get("nodeAffinityPolicy") != "Ignore" and not eligible.selected(node, spec):
        return False
    if term.get("nodeTaintsPolicy") != "Honor":
        return True
    return node.schedulable and eligible.tolerated(node, spec)


def questions(nodes: Sequence[Node], demands: Sequence[Demand]) -> int:
    """Return what it costs to begin a count: each rule is asked about each node and demand."""
    rules = sum(len(_musts(one.spec)) + len(_keeps_away(one.spec)) for one in demands)
    return rules * (len(nodes) + len(demands))


class Spacing:
    """Where the pods of one app are while places are sought for more: lives for one such count."""

    def __init__(self, nodes: Iterable[Node], demands: Sequence[Demand]) -> None:
        self._nodes = {node.name: node for node in nodes}
        apart = [_Apart(one, term, demands) for one in demands for term in _keeps_away(one.spec)]
        rules: list[Rule] = [*apart, *self._even(demands)]
        self._asked = {one: [rule for rule in rules if rule.asks(one)] for one in demands}
        self._counted = {one: [rule for rule in rules if rule.counts(one)] for one in demands}
        for one in demands:
            for name in one.on:
                self.put(one, name)

    def _even(self, demands: Sequence[Demand]) -> Iterable[_Even]:
        for one in demands:
            terms = _musts(one.spec)
            keys = {term["topologyKey"] for term in terms}
            nodes = [node for node in self._nodes.values() if keys <= node.labels.keys()]
            yield from (_Even(one, term, demands, nodes) for term in terms)

    def matters(self, demand: Demand) -> bool:
        """Tell whether there is any rule about the pods of a demand."""
        return bool(self._asked[demand] or self._counted[demand])

    def refuses(self, demand: Demand, node: str) -> tuple[int, Rule | None]:
        """Return how many rules were asked about one more pod on a node, and who refuses it."""
        rules, place = self._asked[demand], self._nodes[node]
        for asked, rule in enumerate(rules, start=1):
            if not rule.allows(demand, place):
                return asked, rule
        return len(rules), None

    def put(self, demand: Demand, node: str) -> int:
        """Take note of a pod that has its place; return how many rules did."""
        rules = self._counted[demand] if node in self._nodes else []
        for rule in rules:
            rule.put(demand, self._nodes[node])
        return len(rules)


def _keeps_away(spec: Body) -> Sequence[Body]:
    return eligible.required(spec, "podAntiAffinity") or ()
