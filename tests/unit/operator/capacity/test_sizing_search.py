"""Sizing against a scheduler that searches: every way to place pods is tried, one after the other.

The search knows nothing of how sizing counts. It knows what Kubernetes lets onto a node, and tries.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterous_operator.cache.observed import Node, Pod
from clusterous_operator.capacity import sizing
from clusterous_operator.capacity.sizing import Group
from tests.unit.operator.making import make_node, make_pod, make_taint

HOST, ZONE, GPU = "kubernetes.io/hostname", "zone", "nvidia.com/gpu"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
TAINT = make_taint("keep", value="away")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Equal pods, in the few words that the search understands."""

    name: str
    cpu: int = 1
    gpu: int = 0
    port: int | None = None
    tolerates: bool = False
    zone: str | None = None
    apart: str | None = None  # no two of the app's pods in one such domain
    even: str | None = None  # no such domain ahead of another by more than one

    def demand(self, count: int = 1) -> sizing.Demand:
        requests = {"cpu": self.cpu} | ({GPU: self.gpu} if self.gpu else {})
        ports = [{"containerPort": 80, "hostPort": self.port}] if self.port else []
        spec: dict[str, Any] = {"containers": [{"resources": {"requests": requests}}]}
        spec["containers"][0]["ports"] = ports
        if self.tolerates:
            spec["tolerations"] = [{"key": "keep", "operator": "Exists"}]
        if self.zone:
            spec["nodeSelector"] = {ZONE: self.zone}
        if self.apart:
            term = {"topologyKey": self.apart, "labelSelector": {"matchLabels": {"app": "sim"}}}
            spec["affinity"] = {"podAntiAffinity": {REQUIRED: [term]}}
        if self.even:
            spec["topologySpreadConstraints"] = [
                {
                    "topologyKey": self.even,
                    "maxSkew": 1,
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"kind": self.name}},
                }
            ]
        return sizing.demand(spec, count, labels={"app": "sim", "kind": self.name})


Places = tuple[tuple[int, ...], ...]  # how many of each kind are on each node


@dataclass(frozen=True, kw_only=True)
class Search:
    """A cluster, the pods that are there, and the kinds of pods to place."""

    nodes: list[Node]
    pods: list[Pod]
    kinds: list[Kind]

    def most(self) -> int:
        """Return how many of the only kind can be placed, at the very best."""
        return max(sum(state[0]) for state in self.reached([99]))

    def finds(self, counts: list[int]) -> bool:
        """Tell whether so many of each kind can be placed all at once."""
        return any([sum(row) for row in state] == counts for state in self.reached(counts))

    def reached(self, wanted: list[int]) -> Iterator[Places]:
        """Return every state that scheduling pod after pod can lead to, in any order."""
        start: Places = tuple((0,) * len(self.nodes) for _ in self.kinds)
        seen, todo = {start}, [start]
        while todo:
            state = todo.pop()
            yield state
            for kind in range(len(self.kinds)):
                if sum(state[kind]) < wanted[kind]:
                    for node in range(len(self.nodes)):
                        then = _plus(state, kind, node)
                        if then not in seen and self.lets(state, kind, node):
                            seen.add(then)
                            todo.append(then)

    def lets(self, state: Places, kind: int, at: int) -> bool:
        """Tell whether the scheduler would put one more pod of a kind onto a node."""
        node, one = self.nodes[at], self.kinds[kind]
        usable = node.schedulable and (one.tolerates or not node.taints)
        chosen = one.zone in (None, node.labels[ZONE])
        return (
            usable
            and chosen
            and self._has_room(state, one, at)
            and self._is_apart(state, one, at)
            and self._is_even(state, kind, at)
        )

    def _has_room(self, state: Places, one: Kind, at: int) -> bool:
        node = self.nodes[at]
        here = [pod for pod in self.pods if pod.node == node.name and not pod.ended]
        placed = [(kind, state[index][at]) for index, kind in enumerate(self.kinds)]
        cpu = sum(pod.requests.get("cpu", 0) for pod in here) + sum(k.cpu * n for k, n in placed)
        gpu = sum(pod.requests.get(GPU, 0) for pod in here) + sum(k.gpu * n for k, n in placed)
        ports = {("TCP", k.port) for k, n in placed if n}.union(*(pod.ports for pod in here))
        return (
            cpu + one.cpu <= node.allocatable["cpu"]
            and gpu + one.gpu <= node.allocatable.get(GPU, 0)
            and len(here) + sum(n for _, n in placed) < node.allocatable["pods"]
            and (one.port is None or ("TCP", one.port) not in ports)
        )

    def _is_apart(self, state: Places, one: Kind, at: int) -> bool:
        """One pod that wants to be alone keeps others away, whether it came first or last."""
        for index, other in enumerate(self.kinds):
            for key in {one.apart, other.apart} - {None}:
                domain = self.nodes[at].labels[str(key)]
                for node, count in zip(self.nodes, state[index], strict=True):
                    if count and node.labels[str(key)] == domain:
                        return False
        return True

    def _is_even(self, state: Places, kind: int, at: int) -> bool:
        one = self.kinds[kind]
        if one.even is None:
            return True
        counts: Counter[str] = Counter()
        for node, count in zip(self.nodes, state[kind], strict=True):
            if one.zone in (None, node.labels[ZONE]):
                counts[node.labels[one.even]] += count
        return counts[self.nodes[at].labels[one.even]] + 1 - min(counts.values()) <= 1


def _plus(state: Places, kind: int, node: int) -> Places:
    row = state[kind]
    changed = (*row[:node], row[node] + 1, *row[node + 1 :])
    return (*state[:kind], changed, *state[kind + 1 :])


@st.composite
def some_nodes(draw: st.DrawFn, most: int = 3) -> list[Node]:
    return [
        make_node(
            f"n{index}",
            room={
                "cpu": draw(st.integers(0, 4)),
                GPU: draw(st.integers(0, 2)),
                "pods": draw(st.integers(0, 5)),
            },
            labels={HOST: f"n{index}", ZONE: draw(st.sampled_from("ab"))},
            taints=(TAINT,) if draw(st.booleans()) and draw(st.booleans()) else (),
            schedulable=not (draw(st.booleans()) and draw(st.booleans())),
        )
        for index in range(draw(st.integers(1, most)))
    ]


@st.composite
def some_pods(draw: st.DrawFn) -> list[Pod]:
    return [
        make_pod(
            app="other",
            node=f"n{draw(st.integers(0, 2))}",
            requests={"cpu": Decimal(draw(st.integers(0, 2)))},
            ports=frozenset({("TCP", 80)} if draw(st.booleans()) else ()),
            ended=draw(st.booleans()) and draw(st.booleans()),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]


RULES: list[dict[str, Any]] = [
    {},
    {"port": 80},
    {"apart": HOST},
    {"apart": ZONE},
    {"even": HOST},
    {"even": ZONE},
]


@st.composite
def some_kind(draw: st.DrawFn, name: str) -> Kind:
    return Kind(
        name=name,
        cpu=draw(st.integers(1, 2)),
        gpu=draw(st.sampled_from([0, 0, 1])),
        tolerates=draw(st.booleans()),
        zone=draw(st.sampled_from([None, None, "a"])),
        **draw(st.sampled_from(RULES)),
    )


FEW = settings(max_examples=150)


@FEW
@given(some_nodes(), some_pods(), some_kind("workers"))
def test_one_group_gets_all_that_any_schedule_could_give_it(
    nodes: list[Node], pods: list[Pod], kind: Kind
) -> None:
    found = sizing.fill(nodes, pods, [], kind.demand())

    assert found == Search(nodes=nodes, pods=pods, kinds=[kind]).most()


@FEW
@given(
    some_nodes(most=2),
    some_pods(),
    st.lists(st.integers(0, 2), max_size=2),
    st.data(),
)
def test_what_is_given_to_groups_and_siblings_has_a_place_all_at_once(
    nodes: list[Node], pods: list[Pod], counts: list[int], data: st.DataObject
) -> None:
    beside = [data.draw(some_kind(f"s{index}")) for index in range(len(counts))]
    kinds = [data.draw(some_kind(f"g{index}")) for index in range(2)]
    siblings = [one.demand(count) for one, count in zip(beside, counts, strict=True)]
    groups = [Group(name=one.name, demand=one.demand()) for one in kinds]
    # What a sibling gets when nobody but those before it asks for anything.
    gets = [
        sizing.fill_groups(
            nodes,
            pods,
            siblings[:index],
            [Group(name="", demand=beside[index].demand(), max=count)],
        )[""]
        for index, count in enumerate(counts)
    ]

    found = sizing.fill_groups(nodes, pods, siblings, groups)

    search = Search(nodes=nodes, pods=pods, kinds=[*beside, *kinds])
    assert search.finds([*gets, *(found[one.name] for one in kinds)])


@given(some_nodes(), some_pods(), some_kind("x"), st.integers(2, 4))
def test_equal_groups_get_equal_shares(
    nodes: list[Node], pods: list[Pod], kind: Kind, many: int
) -> None:
    groups = [Group(name=str(index), demand=kind.demand()) for index in range(many)]

    found = sizing.fill_groups(nodes, pods, [], groups).values()

    assert max(found) - min(found) <= 1


@given(
    some_nodes(),
    some_kind("a"),
    some_kind("b"),
    st.integers(0, 4),
    st.none() | st.integers(1, 4),
)
def test_bounds_hold_and_one_groups_bounds_do_not_move_the_others(
    nodes: list[Node], one: Kind, other: Kind, least: int, most: int | None
) -> None:
    bounded = Group(name="a", demand=one.demand(), min=least, max=most)

    found = sizing.fill_groups(nodes, [], [], [bounded, Group(name="b", demand=other.demand())])

    assert found["a"] >= least
    assert most is None or found["a"] <= max(least, most)
    assert Search(nodes=nodes, pods=[], kinds=[other]).finds([found["b"]])


@FEW
@given(some_nodes(), some_pods(), some_kind("workers"), st.integers(0, 3))
def test_a_pod_that_waits_takes_its_place_first(
    nodes: list[Node], pods: list[Pod], kind: Kind, waiting: int
) -> None:
    asks = {"cpu": Decimal(1)}
    late = [make_pod(node=None, requests=asks, placing={}) for _ in range(waiting)]
    late_kind = Kind(name="late")
    gets = sizing.fill_groups(
        nodes, pods, [], [Group(name="", demand=late_kind.demand(), max=max(1, waiting))]
    )[""]

    found = sizing.fill(nodes, [*pods, *late], [], kind.demand())

    assert found <= sizing.fill(nodes, pods, [], kind.demand())
    if kind.apart is None:  # the search would keep the other's pods away, too
        search = Search(nodes=nodes, pods=pods, kinds=[late_kind, kind])
        assert search.finds([min(waiting, gets), found])
