"""Filling the cluster: as many workers as a scheduler would find a place for, no more."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_operator.cache.observed import Node, Pod
from clusterous_operator.capacity import board, sizing
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
        *[
            pytest.param([ranked], [], [], worker(**affinity(operator, bound)), count, id=words)
            for ranked, operator, bound, count, words in (
                (make_node(labels={"zone": "3"}), "Gt", "2", 4, "greater"),
                (make_node(labels={"zone": "3"}), "Gt", "3", 0, "not greater"),
                (make_node(labels={"zone": "-3"}), "Lt", "-2", 4, "less than less than nothing"),
                (make_node(labels={"zone": "x"}), "Lt", "2", 0, "no number"),
                (make_node(), "Gt", "2", 0, "no label"),
            )
        ],
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


def test_gives_up_no_more_than_was_too_much_all_the_time() -> None:
    began = sizing.steady(sizing.Target(count=5), 4, 100.0, 20.0)
    dips = sizing.steady(began, 1, 120.0, 20.0)
    later = sizing.steady(dips, 1, 140.0, 20.0)

    assert [began.count, dips.count, later.count] == [5, 4, 1]


PATIENCE = 20.0
readings = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), min_size=1, max_size=40)


@given(readings)
def test_never_above_what_fitted_within_patience_nor_below_it(
    history: list[tuple[int, int]],
) -> None:
    """What fitted at any time within patience still runs; what runs has fitted at some time."""
    now, target, seen = 0.0, None, []
    for passed, fresh in history:
        now += passed
        target = sizing.steady(target, fresh, now, PATIENCE)
        seen.append((now, fresh))
        recent = [count for at, count in seen if now - at < PATIENCE]

        assert max(recent) <= target.count <= max(count for _, count in seen)


@given(readings, st.integers(0, 9))
def test_comes_to_rest_when_the_room_does(history: list[tuple[int, int]], last: int) -> None:
    now, target = 0.0, None
    for passed, fresh in history:
        now += passed
        target = sizing.steady(target, fresh, now, PATIENCE)
    for _ in range(3):
        now += PATIENCE
        target = sizing.steady(target, last, now, PATIENCE)

    assert target == sizing.Target(count=last)


@given(
    st.integers(0, 12),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12)), min_size=20, max_size=60),
)
def test_two_apps_that_fill_one_cluster_come_to_rest(
    last: int, moments: list[tuple[str, int]]
) -> None:
    """Whoever looks when, and however the cluster changes: at last all is used, and nobody moves.

    Each sees what the other has placed, and not what it waits for, as the operator does.
    """
    targets: dict[str, sizing.Target | None] = {"a": None, "b": None}
    placed = {"a": 0, "b": 0}
    rest = [(name, last) for _ in range(12) for name in "ab"]
    for step, (name, cpus) in enumerate(moments + rest):
        nodes = [make_node(room={"cpu": str(cpus)})]
        other = "b" if name == "a" else "a"
        theirs = [used(1)] * min(placed[other], cpus)
        fresh = sizing.fill(nodes, theirs, [], worker())
        targets[name] = sizing.steady(targets[name], fresh, step * 5.0, PATIENCE)
        for who in (other, name):
            asks = targets[who]
            others = sum(placed.values()) - placed[who]
            placed[who] = 0 if asks is None else max(0, min(asks.count, cpus - others))

    assert {name: target and target.count for name, target in targets.items()} == placed
    assert sum(placed.values()) == last


def filling(name: str, least: int = 0, most: int | None = None) -> sizing.Group:
    return sizing.Group(name=name, demand=worker(), min=least, max=most)


def retarget(
    current: dict[str, sizing.Target], *groups: sizing.Group, cpus: int = 8, now: float = 0.0
) -> dict[str, int]:
    nodes = [make_node(room={"cpu": str(cpus)})]
    found = sizing.targets(
        lambda asked: sizing.fill_groups(nodes, [], [], asked), groups, current, now, PATIENCE
    )
    return {name: target.count for name, target in found.items()}


def test_groups_share_from_the_start() -> None:
    assert retarget({}, filling("a"), filling("b")) == {"a": 4, "b": 4}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        pytest.param([filling("a", most=1), filling("b")], {"a": 1, "b": 7}, id="max"),
        pytest.param([filling("a", least=6), filling("b")], {"a": 6, "b": 2}, id="min"),
        pytest.param([filling("a", least=9), filling("b")], {"a": 9, "b": 0}, id="min waits"),
        pytest.param([filling(x) for x in "abc"], {"a": 3, "b": 3, "c": 2}, id="an odd one"),
    ],
)
def test_bounds_of_groups(groups: list[sizing.Group], expected: dict[str, int]) -> None:
    assert retarget({}, *groups) == expected


def test_a_new_group_waits_until_the_old_one_has_made_room() -> None:
    old = {"a": sizing.Target(count=8)}
    waits = {
        "a": sizing.Target(count=8, shrinking_since=0.0, enough=4),
        "b": sizing.Target(count=0),
    }

    assert retarget(old, filling("a"), filling("b")) == {"a": 8, "b": 0}
    assert retarget(waits, filling("a"), filling("b"), now=PATIENCE) == {"a": 4, "b": 4}


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 8), max_size=3),
    st.integers(0, 12),
)
def test_groups_never_grow_above_what_fits(before: dict[str, int], cpus: int) -> None:
    current = {name: sizing.Target(count=count) for name, count in before.items()}

    found = retarget(current, *(filling(name) for name in "abc"), cpus=cpus)

    grown = any(found[name] > before.get(name, 0) for name in found)
    assert not grown or sum(found.values()) <= cpus
    assert all(found[name] >= count for name, count in before.items())


ALONE = {
    "affinity": {
        "podAntiAffinity": {
            REQUIRED: [{"topologyKey": "host", "labelSelector": {"matchLabels": {"app": "sim"}}}]
        }
    }
}
HOSTS = [make_node(name, labels={"host": name}) for name in "abc"]


def test_keeps_away_from_a_sibling_that_has_its_place() -> None:
    master = sizing.demand({}, 0, labels={"app": "sim"}, on=["b"])
    one = sizing.demand({"containers": [], **ALONE}, labels={"app": "sim"})

    assert sizing.fill(HOSTS, [], [master], one) == 2


def test_a_sibling_that_wants_to_be_alone_keeps_others_away() -> None:
    master = sizing.demand(ALONE, 0, labels={"app": "sim"}, on=["b"])
    one = sizing.demand(worker("2").spec, labels={"app": "sim"})

    assert sizing.fill(HOSTS, [], [master], one) == 4


SPREAD = {
    "topologyKey": "host",
    "maxSkew": 1,
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {},
}


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        pytest.param({}, 3, id="a full node holds the others back"),
        pytest.param({"maxSkew": 3}, 5, id="as far as the skew goes"),
        pytest.param({"whenUnsatisfiable": "ScheduleAnyway"}, 5, id="a wish does not"),
        pytest.param({"minDomains": 3}, 2, id="too few domains"),
        pytest.param({"nodeTaintsPolicy": "Honor"}, 4, id="a tainted node does not count"),
        pytest.param({"labelSelector": {"matchLabels": {"x": "y"}}}, 5, id="means others"),
        pytest.param({"topologyKey": "zone"}, 0, id="nodes without the label"),
    ],
)
def test_spread(changes: dict[str, Any], count: int) -> None:
    hosts = [
        make_node("a", labels={"host": "a"}),
        make_node("b", labels={"host": "b"}, taints=(TAINT,), room={"cpu": "1"}),
    ]
    constraint = {"topologySpreadConstraints": [SPREAD | changes]}
    tolerant = {} if "nodeTaintsPolicy" in changes else {"tolerations": [{"operator": "Exists"}]}

    found = sizing.fill(hosts, [], [], worker(**constraint, **tolerant))

    assert found == count


def even(key: str, who: dict[str, str], skew: int = 1) -> dict[str, Any]:
    return SPREAD | {"topologyKey": key, "maxSkew": skew, "labelSelector": {"matchLabels": who}}


def a_cluster(count: int) -> list[Node]:
    room = {"cpu": "4", "pods": "110"}
    kinds = {f"kind-{size}": size for size in range(2, 22)}
    return [
        make_node(
            f"n{index}",
            room=room,
            labels={
                "host": f"n{index}",
                **{kind: f"{index % size}" for kind, size in kinds.items()},
            },
        )
        for index in range(count)
    ]


def spread_groups(count: int, rules: list[dict[str, Any]]) -> list[sizing.Group]:
    """Groups of tiny pods, each spread over the pods of itself alone."""
    spec = worker("1m").spec
    found = []
    for index in range(count):
        own = {"group": f"g{index}"}
        terms = [one | {"labelSelector": {"matchLabels": own}} for one in rules]
        demand = sizing.demand({**spec, "topologySpreadConstraints": terms}, labels=own)
        found.append(sizing.Group(name=f"g{index}", demand=demand))
    return found


@pytest.mark.parametrize(
    ("groups", "most"),
    [
        pytest.param(spread_groups(1, [even("host", {})]), 5, id="one rule"),
        pytest.param(spread_groups(8, [even("host", {})] * 20), 60, id="8 x 20 rules"),
    ],
)
def test_a_place_costs_a_few_questions_however_many_nodes_there_are(
    groups: list[sizing.Group], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = 40 * 110
    monkeypatch.setattr(board, "MOST_QUESTIONS", most * pods)

    found = sizing.fill_groups(a_cluster(40), [], [], groups)

    assert sum(found.values()) == pods


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([even(f"kind-{size}", {}, 9_999) for size in range(2, 22)], id="each place"),
        pytest.param([even("host", {})] * 300, id="before the first"),
    ],
)
def test_a_count_that_costs_too_much_ends(
    rules: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {**worker("1m").spec, "topologySpreadConstraints": rules}
    demands = [sizing.demand(spec, labels={}) for _ in range(16)]
    monkeypatch.setattr(board, "MOST_QUESTIONS", 200_000)
    groups = [sizing.Group(name=f"g{index}", demand=one) for index, one in enumerate(demands)]

    with pytest.raises(sizing.TooLongError):
        sizing.fill_groups(a_cluster(40), [], [], groups)


def test_a_sibling_leaves_the_only_node_of_another_to_that() -> None:
    nodes = [make_node(name, room={"cpu": 1}, labels={"zone": name}) for name in ("a", "b")]
    bound = sizing.demand({**worker("1").spec, "nodeSelector": {"zone": "a"}}, 1)
    groups = [sizing.Group(name=name, demand=worker("1")) for name in ("g0", "g1")]

    found = sizing.fill_groups(nodes, [], [worker("1"), bound], groups)

    assert found == {"g0": 0, "g1": 0}


def test_each_group_is_asked_once_where_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def admits(node: Node, spec: Mapping[str, Any]) -> bool:
        asked.append(node.name)
        return True

    monkeypatch.setattr(sizing, "admits", admits)
    groups = [sizing.Group(name=f"g{index}", demand=worker("1")) for index in range(16)]

    sizing.fill_groups(a_cluster(40), [], [worker("1")], groups)

    assert len(asked) == 40 * 16


def test_pods_that_wait_for_different_places_are_counted_apart() -> None:
    asked = {"cpu": Decimal(1)}
    places = [{"nodeSelector": {"zone": zone}} for zone in "ab"]
    pods = [make_pod(app="other", node=None, requests=asked, placing=place) for place in places]

    found = sizing._waiting(pods)

    assert [(one.count, one.spec) for one in found] == [(1, places[0]), (1, places[1])]


def test_of_pods_of_ever_new_kinds_that_wait_some_count() -> None:
    late = [
        make_pod(app="other", node=None, requests={"cpu": Decimal(f"0.0{index}")}, placing={})
        for index in range(1, 1_000)
    ]

    assert sizing.fill([make_node()], late, [], worker()) < 4
    assert len(sizing._waiting(late)) < 300


def test_a_pod_that_waits_and_may_go_elsewhere_takes_no_place_of_a_group() -> None:
    nodes = [make_node("a", labels={"pool": "x"}), make_node("b")]
    late = make_pod(app="other", node=None, requests={"cpu": Decimal(1)}, placing={})
    one = worker(nodeSelector={"pool": "x"})

    assert sizing.fill(nodes, [late], [], one) == 4
    assert sizing.fill(nodes[:1], [late], [], one) == 3
