"""What pods reserve of each node: running sums, so that nobody needs to add all pods up. Pure.

The cache keeps one of these up to date for all pods of the cluster.
"""

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from clusterous_api.quantity import Amounts

HostPort = tuple[str, int]  # protocol and number
_NOTHING = Decimal(0)


class Pod(Protocol):
    """What counts of a pod here; observed.Pod is one."""

    @property
    def namespace(self) -> str:
        """Where it lives."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def app(self) -> str | None:
        """The app that it belongs to."""

    @property
    def component(self) -> str | None:
        """The component that it belongs to."""

    @property
    def node(self) -> str | None:
        """The node that it has its place on."""

    @property
    def ended(self) -> bool:
        """Whether it has given its place back."""

    @property
    def requests(self) -> Amounts:
        """What it reserves."""

    @property
    def ports(self) -> frozenset[HostPort]:
        """The ports of its node that it takes."""

    @property
    def placing(self) -> Mapping[str, Any] | None:
        """What says where it may run, while it wants a place."""

    @property
    def waits(self) -> bool:
        """Whether it wants a place and has none."""


@dataclass(slots=True)
class Load:
    """What the pods of one node reserve together."""

    pods: int = 0
    requests: dict[str, Decimal] = field(default_factory=dict)
    ports: Counter[HostPort] = field(default_factory=Counter)

    def __copy__(self) -> "Load":
        return Load(self.pods, dict(self.requests), Counter(self.ports))


class Usage:
    """The loads of all nodes, and the pods that wait for a place on one."""

    def __init__(self, pods: Iterable[Pod] = ()) -> None:
        self.loads: dict[str, Load] = {}
        self._waiting: dict[tuple[str, str, str | None], Pod] = {}
        for pod in pods:
            self.add(pod)

    def of(self, node: str) -> Load:
        """Return the load of a node."""
        return self.loads.get(node) or Load()

    def change(self, old: Pod | None, new: Pod | None) -> None:
        """Count *new* in the place of *old*."""
        if old is not None:
            self.remove(old)
        if new is not None:
            self.add(new)

    @property
    def waiting(self) -> Collection[Pod]:
        """Return the pods that want a place and have none."""
        return self._waiting.values()

    def add(self, pod: Pod) -> None:
        """Count a pod."""
        if pod.waits:
            self._waiting[_key(pod)] = pod
        if pod.node is not None and not pod.ended:
            self._change(self.loads.setdefault(pod.node, Load()), pod, 1)

    def remove(self, pod: Pod) -> None:
        """Count a pod no more that was counted, exactly as it was then."""
        self._waiting.pop(_key(pod), None)
        if pod.node is not None and not pod.ended:
            load = self.loads[pod.node]
            self._change(load, pod, -1)
            if not load.pods:
                del self.loads[pod.node]

    def without(self, pods: Iterable[Pod]) -> "Usage":
        """Return what is used when some of the pods that are counted are left out."""
        rest = Usage()
        rest.loads = {name: copy.copy(load) for name, load in self.loads.items()}
        rest._waiting = dict(self._waiting)
        for pod in pods:
            rest.remove(pod)
        return rest

    @staticmethod
    def _change(load: Load, pod: Pod, sign: int) -> None:
        load.pods += sign
        for name, amount in pod.requests.items():
            load.requests[name] = load.requests.get(name, _NOTHING) + sign * amount
        for port in pod.ports:
            load.ports[port] += sign


def _key(pod: Pod) -> tuple[str, str, str | None]:
    # While a pod changes hands, two watches know it, and each counts its own.
    return (pod.namespace, pod.name, pod.app)
