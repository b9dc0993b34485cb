"""What pods reserve of each node: running sums, so that a look at them need not add all pods up."""

import copy
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from clusterous_operator.observed import HostPort, Pod

_NOTHING = Decimal(0)


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
        self._waiting: dict[tuple[str, str], Pod] = {}
        for pod in pods:
            self.add(pod)

    def of(self, node: str) -> Load:
        """Return the load of a node."""
        return self.loads.get(node) or Load()

    @property
    def waiting(self) -> Iterable[Pod]:
        """Return the pods that want a place and have none."""
        return self._waiting.values()

    def add(self, pod: Pod) -> None:
        """Count a pod."""
        if pod.waits:
            self._waiting[pod.namespace, pod.name] = pod
        if pod.node is not None and not pod.ended:
            self._change(self.loads.setdefault(pod.node, Load()), pod, 1)

    def remove(self, pod: Pod) -> None:
        """Count a pod no more that was counted, exactly as it was then."""
        self._waiting.pop((pod.namespace, pod.name), None)
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
