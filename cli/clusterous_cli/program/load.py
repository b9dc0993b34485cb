"""What the cluster's machines have, what is promised of it, and what is used. Pure.

*Promised* is what pods request: Kubernetes gives it to nobody else, whether it is used or not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clusterous_api import quantity
from clusterous_cli.reach.kube import Object

# Beyond this share of what a machine has, its programs and Kubernetes itself get slow.
FULL: Final = 0.95
PRESSURES: Final = {
    "MemoryPressure": "is short of memory",
    "DiskPressure": "is short of disk",
    "PIDPressure": "has too many processes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """CPUs and memory; *cpu* in CPUs, *memory* in bytes."""

    cpu: float = 0.0
    memory: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(cpu=self.cpu + other.cpu, memory=self.memory + other.memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine as Kubernetes sees it; *used* is None where nothing measures it."""

    name: str
    has: Amount
    promised: Amount
    used: Amount | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """All machines of the cluster."""

    nodes: tuple[Node, ...] = ()

    def of(self, name: str) -> Node | None:
        """Return what is known of the node *name*."""
        return next((node for node in self.nodes if node.name == name), None)

    @property
    def has(self) -> Amount:
        """What all have together."""
        return sum((node.has for node in self.nodes), Amount())

    @property
    def promised(self) -> Amount:
        """What is promised of all."""
        return sum((node.promised for node in self.nodes), Amount())

    @property
    def used(self) -> Amount | None:
        """What is used of all; None unless all of them are measured."""
        measured = [node.used for node in self.nodes if node.used is not None]
        return sum(measured, Amount()) if len(measured) == len(self.nodes) > 0 else None


def read(nodes: Iterable[Object], pods: Iterable[Object], metrics: Iterable[Object]) -> Load:
    """Add up what *pods* request of *nodes*, beside what *metrics* measured."""
    promised: dict[str, Amount] = {}
    for pod in pods:
        name = pod.get("spec", {}).get("nodeName")
        if name and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            promised[name] = promised.get(name, Amount()) + requests(pod)
    used = {one["metadata"]["name"]: amount(one.get("usage") or {}) for one in metrics}
    read = [_node(node, promised, used) for node in nodes]
    return Load(nodes=tuple(sorted(read, key=lambda node: node.name)))


def _node(node: Object, promised: Mapping[str, Amount], used: Mapping[str, Amount]) -> Node:
    name, status = node["metadata"]["name"], node.get("status") or {}
    has = amount(status.get("allocatable") or {})
    uses = used.get(name)
    return Node(
        name=name,
        has=has,
        promised=promised.get(name, Amount()),
        used=uses,
        trouble=trouble(status.get("conditions") or (), has, uses),
    )


def trouble(conditions: Sequence[Mapping[str, Any]], has: Amount, used: Amount | None) -> str:
    """Say what a machine suffers from; empty when nothing is known."""
    states = {str(one.get("type")): str(one.get("status")) for one in conditions}
    if states.get("Ready") == "Unknown":
        return "does not answer: it is overloaded, cut off or gone"
    words = [said for kind, said in PRESSURES.items() if states.get(kind) == "True"]
    if used is not None:
        words += [f"uses {share:.0%} of its {what}" for what, share in _shares(has, used)]
    return f"is overloaded: it {', '.join(words)}" if words else ""


def _shares(has: Amount, used: Amount) -> list[tuple[str, float]]:
    shares = {
        "CPUs": used.cpu / has.cpu if has.cpu else 0.0,
        "memory": used.memory / has.memory if has.memory else 0.0,
    }
    return [(what, share) for what, share in shares.items() if share >= FULL]


def requests(pod: Object) -> Amount:
    """What Kubernetes puts aside for a pod."""
    return _amount(quantity.of_pod(pod.get("spec") or {}))


def amount(values: Mapping[str, Any]) -> Amount:
    """Read a mapping of resources to quantities."""
    return _amount(quantity.amounts(values))


def _amount(found: quantity.Amounts) -> Amount:
    return Amount(cpu=float(found.get("cpu", 0)), memory=int(found.get("memory", 0)))


def as_data(known: Amount | None) -> dict[str, Any] | None:
    """For -o json: CPUs, and bytes."""
    return None if known is None else {"cpu": round(known.cpu, 3), "memory": known.memory}
