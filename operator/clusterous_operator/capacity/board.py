"""The cluster while places are sought: what each node has left, and which nodes to ask next. Pure.

Nodes are asked in their order. One that a spread refuses is set aside until that spread has moved
on, so that a place costs a few questions, however many nodes and pods there are. What costs more
all the same comes to an end: who wrote the rules is told, and the others are served.
"""

import heapq
from collections.abc import Iterable, Sequence
from decimal import Decimal

from clusterous_operator.cache.observed import Node
from clusterous_operator.capacity import spacing
from clusterous_operator.capacity.eligible import admits
from clusterous_operator.capacity.spacing import Demand, Rule, Spacing
from clusterous_operator.objects.usage import Usage

_NOTHING = Decimal(0)
_PODS = "pods"
ENDLESS = 1 << 31

# Questions of one count, which take less than a second.
MOST_QUESTIONS = 1_000_000


class TooLongError(Exception):
    """More questions were asked than one app's count may ask."""


class Seeker:
    """A demand with the nodes that may still take one of its pods, in the order to be asked."""

    def __init__(self, demand: Demand, nodes: Iterable[Node], *, is_ours: bool = True) -> None:
        self.demand = demand
        self.is_ours = is_ours
        self.asks = {name: amount for name, amount in demand.requests.items() if amount > 0}
        # What asks for nothing would fit without end; a port of the node is there but once.
        self.one_a_node = not self.asks or bool(demand.ports)
        self._names = [
            node.name for node in nodes if node.schedulable and admits(node, demand.spec)
        ]
        self._open = list(range(len(self._names)))  # a heap: what comes back keeps its turn
        self._aside: dict[Rule, tuple[int, list[int]]] = {}  # and what its rule said then

    @property
    def next(self) -> str | None:
        """The node to ask next."""
        return self._names[self._open[0]] if self._open else None

    def drop(self) -> None:
        """Ask the next node no more."""
        heapq.heappop(self._open)

    def set_aside(self, rule: Rule) -> None:
        """Ask the next node no more until its *rule* has moved on."""
        place = heapq.heappop(self._open)
        if rule.level is not None:
            self._aside.setdefault(rule, (rule.level, []))[1].append(place)

    def take_back(self) -> None:
        """Ask those again whose rule has moved on."""
        for rule, (level, places) in tuple(self._aside.items()):
            if rule.level != level:
                del self._aside[rule]
                for place in places:
                    heapq.heappush(self._open, place)


class Board:
    """What is taken is gone for the next. *ours* are the demands whose rules count."""

    def __init__(self, nodes: Sequence[Node], usage: Usage, ours: Sequence[Demand]) -> None:
        self._left = room(nodes, usage)
        self._ports = {name: set(+usage.of(name).ports) for name in self._left}
        self._questions = 0
        self._ask(spacing.questions(nodes, ours))
        self._spacing = Spacing(nodes, ours)

    def place(self, seeker: Seeker, wanted: int) -> int:
        """Find places for up to *wanted* more pods; return for how many."""
        if seeker.is_ours and self._spacing.matters(seeker.demand):
            return self._one_by_one(seeker, wanted)
        found = 0
        while found < wanted and (name := seeker.next) is not None:
            self._ask(1)
            fitting = self._fitting(name, seeker)
            count = min(fitting, wanted - found)
            self._take(name, seeker.demand, count)
            found += count
            if count == fitting:
                seeker.drop()
        return found

    def _one_by_one(self, seeker: Seeker, wanted: int) -> int:
        for found in range(wanted):
            name = self._next(seeker)
            if name is None:
                return found
            self._take(name, seeker.demand, 1)
            self._ask(self._spacing.put(seeker.demand, name))
        return wanted

    def _next(self, seeker: Seeker) -> str | None:
        """Return a node for one more pod: the first that rules and room allow."""
        seeker.take_back()
        while (name := seeker.next) is not None:
            asked, rule = self._spacing.refuses(seeker.demand, name)
            self._ask(1 + asked)
            if rule is not None:
                seeker.set_aside(rule)
            elif self._fitting(name, seeker):
                return name
            else:
                seeker.drop()
        return None

    def _ask(self, questions: int) -> None:
        self._questions += questions
        if self._questions > MOST_QUESTIONS:
            raise TooLongError

    def _fitting(self, name: str, seeker: Seeker) -> int:
        """Return how many more pods fit onto a node."""
        if seeker.demand.ports & self._ports[name]:
            return 0
        left = self._left[name]
        slots = int(left.get(_PODS, ENDLESS))
        found = min(
            [int(left.get(item, _NOTHING) // amount) for item, amount in seeker.asks.items()],
            default=slots,
        )
        return max(0, min(found, slots, 1 if seeker.one_a_node else ENDLESS))

    def _take(self, name: str, demand: Demand, count: int) -> None:
        left = self._left[name]
        for item, amount in demand.requests.items():
            left[item] = left.get(item, _NOTHING) - amount * count
        if _PODS in left:
            left[_PODS] -= count
        if count:
            self._ports[name] |= demand.ports


def room(nodes: Iterable[Node], usage: Usage) -> dict[str, dict[str, Decimal]]:
    """Return what is left of each schedulable node."""
    found = {}
    for node in nodes:
        if node.schedulable:
            left = found[node.name] = dict(node.allocatable)
            load = usage.of(node.name)
            for name, amount in load.requests.items():
                left[name] = left.get(name, _NOTHING) - amount
            if _PODS in left:
                left[_PODS] -= load.pods
    return found
