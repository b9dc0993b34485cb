"""Filling the cluster: as many workers as a scheduler would find a place for, no more."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_operator import sizing
from clusterous_operator.observed import Node, Pod
from tests.unit.operator.making import make_node, make_pod, make_taint


def worker(cpu: str = "1", count: int = 1, **spec: Any) -> sizing.Demand:
    container = {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    return sizing.demand({"containers": [container], **spec}, count)


def used(cpu: int, node: str = "node", **changes: Any) -> Pod:
    return make_pod(node=node, requests={"cpu": Decimal(cpu)}, **changes)


TAINT = make_taint("gpu", value="yes")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def affinity(operator: str, *values: str) -> dict[str, Any]:
    expression = {"key": "zone", "operator": operator, "values": list(values)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"affinity": {"nodeAffinity": {REQUIRED: terms}}}


@pytest.mark.parametrize(
    ("nodes", "pods", "siblings", "one", "count"),
    [
        pytest.param([make_node()], [], [], worker(), 4, id="an empty node"),
        pytest.param([make_node()], [used(1)], [], worker(), 3, id="beside others"),
        pytest.param(
            [make_node()], [used(1, ended=True)], [], worker(), 4, id="ended pods are gone"
        ),
        pytest.param([make_node()], [], [], worker("3"), 1, id="whole pods only"),
        pytest.param([make_node()], [], [], worker("5"), 0, id="too large"),
        pytest.param([make_node("a"), make_node("b")], [], [], worker("3"), 2, id="two nodes"),
        pytest.param([make_node(schedulable=False)], [], [], worker(), 0, id="cordoned"),
        pytest.param([make_node(taints=(TAINT,))], [], [], worker(), 0, id="tainted"),
        pytest.param(
            [make_node(taints=(TAINT,))],
            [],
            [],
            worker(tolerations=[{"key": "gpu", "value": "yes"}]),
            4,
            id="tolerated",
        ),
        pytest.param(
            [make_node(taints=(TAINT,))],
            [],
            [],
            worker(tolerations=[{"key": "gpu", "value": "no"}]),
            0,
            id="another value is not tolerated",
        ),
        pytest.param(
            [make_node(taints=(make_taint("gpu", "PreferNoSchedule"),))],
            [],
            [],
            worker(),
            4,
            id="a preference does not matter",
        ),
        pytest.param([make_node()], [], [], worker(nodeSelector={"a": "1"}), 0, id="not selected"),
        pytest.param(
            [make_node(labels={"a": "1"})],
            [],
            [],
            worker(nodeSelector={"a": "1"}),
            4,
            id="selected",
        ),
        pytest.param(
            [make_node(labels={"zone": "x"})], [], [], worker(**affinity("In", "x")), 4, id="affine"
        ),
        pytest.param(
            [make_node(labels={"zone": "x"})], [], [], worker(**affinity("NotIn", "x")), 0, id="not"
        ),
        pytest.param([make_node()], [], [worker("2")], worker(), 2, id="siblings come first"),
        pytest.param([make_node()], [], [worker("9")], worker(), 4, id="a sibling without place"),
        pytest.param([make_node()] * 1, [], [], worker(""), 1, id="asks for nothing: one a node"),
        pytest.param(
            [make_node(room={"cpu": "64", "pods": "3"})],
            [],
            [],
            worker(),
            3,
            id="pods a node takes",
        ),
        pytest.param(
            [make_node()],
            [],
            [],
            sizing.demand({"containers": [{"resources": {"requests": {"nvidia.com/gpu": "1"}}}]}),
            0,
            id="what no node has",
        ),
    ],
)
def test_fills(
    nodes: list[Node],
    pods: list[Pod],
    siblings: list[sizing.Demand],
    one: sizing.Demand,
    count: int,
) -> None:
    assert sizing.fill(nodes, pods, siblings, one) == count


amounts = st.integers(0, 8)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Node], list[Pod], sizing.Demand]:
    nodes = [
        make_node(
            f"n{index}",
            room={"cpu": draw(amounts), "memory": draw(amounts), "pods": draw(st.integers(0, 6))},
            labels={"zone": draw(st.sampled_from("ab"))},
            taints=(TAINT,) if draw(st.booleans()) else (),
            schedulable=draw(st.booleans()),
        )
        for index in range(draw(st.integers(0, 4)))
    ]
    pods = [
        make_pod(
            node=f"n{draw(st.integers(0, 4))}",
            requests={"cpu": Decimal(draw(st.integers(0, 3)))},
            ended=draw(st.booleans()),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]
    requests = {"cpu": draw(st.integers(1, 3)), "memory": draw(st.integers(0, 3))}
    spec: dict[str, Any] = {"containers": [{"resources": {"requests": requests}}]}
    if draw(st.booleans()):
        spec["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
    if draw(st.booleans()):
        spec["nodeSelector"] = {"zone": "a"}
    return nodes, pods, sizing.demand(spec)


def placed_one_by_one(nodes: list[Node], pods: list[Pod], one: sizing.Demand) -> int:
    """Count the dull way: place pods until no node takes another."""
    count = 0
    bound = [pod for pod in pods if not pod.ended]
    while True:
        for node in nodes:
            here = [pod for pod in bound if pod.node == node.name]
            fits = all(
                sum(pod.requests.get(name, Decimal(0)) for pod in here) + amount
                <= node.allocatable.get(name, 0)
                for name, amount in one.requests.items()
                if amount > 0
            )
            tolerated = not node.taints or bool(one.spec.get("tolerations"))
            selected = one.spec.get("nodeSelector", {}).items() <= node.labels.items()
            has_slot = len(here) < node.allocatable["pods"]
            if node.schedulable and fits and tolerated and selected and has_slot:
                bound.append(make_pod(node=node.name, requests=one.requests))
                count += 1
                break
        else:
            return count


@given(clusters())
def test_finds_what_a_scheduler_finds(case: tuple[list[Node], list[Pod], sizing.Demand]) -> None:
    nodes, pods, one = case

    assert sizing.fill(nodes, pods, [], one) == placed_one_by_one(nodes, pods, one)


@given(clusters(), st.integers(0, 3))
def test_a_sibling_never_makes_room(
    case: tuple[list[Node], list[Pod], sizing.Demand], count: int
) -> None:
    nodes, pods, one = case

    with_sibling = sizing.fill(nodes, pods, [worker("1", count)], one)

    assert with_sibling <= sizing.fill(nodes, pods, [], one)


@pytest.mark.parametrize(
    ("count", "least", "most", "found"),
    [(5, 0, None, 5), (5, 8, None, 8), (5, 0, 3, 3), (0, 2, 4, 2), (9, 0, 9, 9)],
)
def test_keeps_to_what_the_user_allows(
    count: int, least: int, most: int | None, found: int
) -> None:
    assert sizing.bounded(count, least, most) == found


def test_grows_at_once() -> None:
    assert sizing.steady(sizing.Target(count=2), 5, 100.0, 20.0) == sizing.Target(count=5)


def test_shrinks_only_after_patience() -> None:
    began = sizing.steady(sizing.Target(count=5), 2, 100.0, 20.0)
    waits = sizing.steady(began, 3, 119.0, 20.0)
    gives_in = sizing.steady(waits, 3, 120.0, 20.0)

    assert [began.count, waits.count, gives_in.count] == [5, 5, 3]


def test_forgets_to_shrink_when_the_room_is_back() -> None:
    began = sizing.steady(sizing.Target(count=5), 2, 100.0, 20.0)
    back = sizing.steady(began, 5, 110.0, 20.0)
    again = sizing.steady(back, 2, 125.0, 20.0)

    assert (back, again.count) == (sizing.Target(count=5), 5)
