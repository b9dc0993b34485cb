"""Groups that fill the cluster."""

import dataclasses
from typing import Any

import pytest

from clusterous_api import names, quantity
from clusterous_api.models import App
from clusterous_operator.cache.observed import Pod
from clusterous_operator.capacity import sizing
from clusterous_operator.decisions import fill
from clusterous_operator.decisions.counting import Size
from clusterous_operator.objects.idle import State
from clusterous_operator.objects.usage import Usage
from tests.unit.operator.making import (
    FakeApi,
    make_app,
    make_node,
    make_pod,
    make_taint,
    settle,
    summary,
)


def filling(**more: Any) -> App:
    asks = {"resources": {"requests": {"cpu": "1"}}}
    group = {"name": "more", "fill": True, **asks, **more}
    return make_app(master={}, workers=asks, components=[group])


def sized(app: App, api: FakeApi, before: Size | None = None, now: float = 0.0) -> Size:
    known = {} if before is None else before.targets
    return fill.size(api.observe(app), known, now=now, patience=10.0)


def counted(size: Size) -> dict[str, int]:
    return {name: target.count for name, target in size.targets.items()}


def counts(app: App, api: FakeApi, **more: Any) -> dict[str, int]:
    """Return how many pods are to fill the cluster when the master has its place."""
    api.pods = (make_pod(),)
    seen = dataclasses.replace(api.observe(app), **more)
    others = {("lab", "other", "all")}
    return counted(fill.size(seen, {}, now=0.0, patience=10.0, others=others))


def test_groups_share_the_room_within_their_bounds() -> None:
    api = FakeApi()

    assert counts(filling(), api) == {"workers": 2, "more": 2}
    assert counts(filling(max=1), api) == {"workers": 3, "more": 1}


def test_pods_that_wait_come_first_unless_they_fill_the_cluster_themselves() -> None:
    api = FakeApi()
    waits = {"node": None, "placing": {}, "app": "other", "requests": {"cpu": sizing.Decimal(2)}}
    one, other = make_pod("one", **waits), make_pod("all", **waits)

    assert counts(filling(), api, usage=Usage((one,))) == {"workers": 1, "more": 1}
    assert counts(filling(), api, usage=Usage((other,))) == {"workers": 2, "more": 2}


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        pytest.param({"schedulable": False}, 5, id="cordoned"),
        pytest.param({"schedulable": False, "answers": False}, 5, id="silent"),
    ],
)
def test_what_runs_on_a_node_that_takes_no_more_counts_and_stays(
    closed: dict[str, Any], expected: int
) -> None:
    app = make_app(workers={"resources": {"requests": {"cpu": "1"}}})
    api = FakeApi()
    api.nodes = (make_node("open"), make_node("closed", **closed))
    ours = [make_pod("workers", node="closed", requests={"cpu": sizing.Decimal(1)}) for _ in "ab"]
    api.pods = (make_pod(requests={"cpu": sizing.Decimal(1)}, node="open"), *ours)

    assert counted(sized(app, api)) == {"workers": expected}
    api.pods = (api.pods[0], *(dataclasses.replace(one, deleting=True) for one in ours))
    assert counted(sized(app, api)) == {"workers": expected - 2}


IN_POOL = {"pool": "a"}


@pytest.mark.parametrize(
    "closed",
    [
        pytest.param({"taints": (make_taint("maintenance"),)}, id="tainted"),
        pytest.param({"taints": (make_taint("node.kubernetes.io/memory-pressure"),)}, id="short"),
        pytest.param({"labels": {"pool": "b"}}, id="relabelled"),
    ],
)
def test_a_node_that_would_take_no_more_ends_nothing_that_it_runs(closed: dict[str, Any]) -> None:
    asks = {"resources": {"requests": {"cpu": "1"}}, "placement": {"nodeSelector": IN_POOL}}
    app, api = make_app(workers=asks), FakeApi()
    api.nodes = (make_node("open", labels=IN_POOL), make_node("shut", labels=IN_POOL))
    ours = [make_pod("workers", node=node, requests={"cpu": sizing.Decimal(1)})
            for node in ("open", "shut") for _ in range(4)]  # fmt: skip
    api.pods = tuple(ours)
    settle(app, api, Size(targets={"workers": sizing.Target(count=8)}))
    api.run()
    api.nodes = (api.nodes[0], make_node("shut", **{"labels": IN_POOL, **closed}))

    late = Size(targets={"workers": sizing.Target(count=8, shrinking_since=0.0, enough=4)})

    assert counted(sized(app, api, late, now=20.0)) == {"workers": 8}
    api.pods = (*ours[:4], *(dataclasses.replace(one, deleting=True) for one in ours[4:]))
    assert counted(sized(app, api, late, now=20.0)) == {"workers": 4}


def test_what_is_held_takes_its_room_from_groups_that_may_still_be_there() -> None:
    asks = {"resources": {"requests": {"cpu": "1"}}}
    welcome = {"tolerations": [{"key": "mine", "operator": "Exists"}]}
    group = {"name": "more", "fill": True, **asks, "placement": welcome}
    app, api = make_app(workers=asks, components=[group]), FakeApi()
    api.nodes = (make_node("shut", taints=(make_taint("mine"),)),)
    api.pods = tuple(make_pod("workers", node="shut", requests={"cpu": sizing.Decimal(1)})
                     for _ in range(3))  # fmt: skip
    targets = {"workers": sizing.Target(count=3), "more": sizing.Target(count=0)}
    settle(app, api, Size(targets=targets))
    api.run()

    assert counted(sized(app, api)) == {"workers": 3, "more": 1}


def test_pods_of_before_an_update_hold_no_places() -> None:
    asks = {"resources": {"requests": {"cpu": "1"}}, "placement": {"nodeSelector": IN_POOL}}
    api = FakeApi()
    api.nodes = (make_node("a", labels=IN_POOL), make_node("b", labels={"pool": "b"}))
    api.pods = tuple(make_pod("workers", node="a", requests={"cpu": sizing.Decimal(1)})
                     for _ in range(4))  # fmt: skip
    settle(make_app(workers=asks), api, Size(targets={"workers": sizing.Target(count=4)}))
    api.run()
    moved = make_app(workers={**asks, "placement": {"nodeSelector": {"pool": "b"}}})

    assert counted(sized(moved, api)) == {"workers": 4}
    settle(moved, api, Size(targets={"workers": sizing.Target(count=4)}))
    assert counted(sized(moved, api)) == {"workers": 4}


def test_what_is_held_counts_towards_the_bounds() -> None:
    app = make_app(workers={"resources": {"requests": {"cpu": "1"}}, "min": 1, "max": 3})
    api = FakeApi()
    api.nodes = (make_node("open"), make_node("closed", schedulable=False))
    held = tuple(make_pod("workers", node="closed") for _ in "abcd")
    api.pods = (make_pod(node="open"), *held)

    assert counted(sized(app, api)) == {"workers": 3}
    api.pods = api.pods[:3]
    assert counted(sized(app, api)) == {"workers": 3}


def made(*requests: dict[str, int]) -> tuple[Pod, ...]:
    """Return workers that request what admission has made of them."""
    amounts = [{name: sizing.Decimal(number) for name, number in one.items()} for one in requests]
    return tuple(make_pod("workers", requests=one) for one in amounts)


def filled(api: FakeApi, workers: dict[str, Any] | None = None) -> App:
    """Return an app whose workers ask for memory only, and for no CPU; let it settle."""
    asks = {"resources": {"requests": {"memory": "1Gi"}}}
    app = make_app(master={}, workers={**asks, **(workers or {})})
    settle(app, api, sized(app, api))
    api.run()
    return app


GIB = 2**30


def test_pods_are_counted_as_admission_has_made_them() -> None:
    api = FakeApi()
    api.pods = (make_pod(),)
    app = filled(api)

    asked = sized(app, api)
    api.pods = (make_pod(), *made({"memory": GIB, "cpu": 1}))
    first = sized(app, api, asked)

    assert counted(asked) == {"workers": 16}
    assert counted(sized(app, api, first, now=11.0)) == {"workers": 4}


def test_while_pods_of_before_are_there_the_larger_requests_count() -> None:
    api = FakeApi()
    api.pods = (make_pod(), *made({"memory": 2 * GIB, "cpu": 1}))
    app = filled(api)
    workers = api.objects["Deployment", "sim-workers"]["status"]

    workers |= {"replicas": 5, "updatedReplicas": 1}
    during = counted(sized(app, api))
    api.pods = (make_pod(), *made({"memory": GIB // 2}))
    smaller = counted(sized(app, api))
    workers |= {"replicas": 4, "updatedReplicas": 4}

    newest = counted(sized(app, api))
    del api.objects["Deployment", "sim-workers"]

    assert during == {"workers": 4}
    assert smaller == {"workers": 16}
    assert newest == {"workers": 32}
    assert counted(sized(app, api)) == {"workers": 16}


def test_one_pod_stays_by_which_it_is_known_that_none_fits() -> None:
    api = FakeApi()
    app = filled(api)
    api.pods = (make_pod(), *made({"memory": GIB, "cpu": 8}))

    assert counted(sized(app, api)) == {"workers": 1}


@pytest.mark.parametrize(
    ("groups", "nodes", "waiting", "long"),
    [
        pytest.param(1, 100, 99, False, id="few wait"),
        pytest.param(1, 100, 100, True, id="many wait"),
        pytest.param(2, 90, 0, False, id="two groups share few nodes"),
        pytest.param(2, 91, 0, True, id="two groups share many nodes"),
    ],
)
def test_what_takes_long_to_count_is_known_before(
    groups: int, nodes: int, waiting: int, long: bool
) -> None:
    more = [{"name": f"more-{number}", "fill": True} for number in range(groups - 1)]
    app = make_app(workers={}, components=more)
    pods = [make_pod(app="another", node=None, placing={}) for _ in range(waiting)]
    look = dataclasses.replace(
        FakeApi().observe(app),
        nodes=tuple(make_node(f"n{number}") for number in range(nodes)),
        usage=Usage(pods),
    )

    assert len(fill.fillers(app)) == groups
    assert fill.takes_long(look) is long


def test_the_next_look_is_when_time_alone_may_change_the_number() -> None:
    shrinks = sizing.Target(count=2, shrinking_since=10.0)
    yields = sizing.Target(count=2, yielding_since=15.0)

    assert fill._next_look([shrinks], 20.0, 300.0) == 290.0
    assert fill._next_look([shrinks, yields], 20.0, 300.0) == 25.0
    assert fill._next_look([yields], 45.0, 300.0) is None


def test_nothing_is_filled_when_nothing_runs() -> None:
    app, api = filling(), FakeApi()
    api.idle = State(suspended=True)

    assert counts(app, api) == {}


def test_what_fills_waits_until_the_master_has_its_place() -> None:
    app, api = filling(), FakeApi()

    before = sized(app, api)
    api.pods = (make_pod(),)

    assert counted(before) == {"workers": 0, "more": 0}
    assert counted(sized(app, api, before, now=1.0)) == {"workers": 2, "more": 2}


def test_what_fills_says_what_it_waits_for() -> None:
    app, api = filling(), FakeApi()
    size = sized(app, api)
    settle(app, api, size)

    found = summary(app, api, size)

    assert "workers: waits until the components beside it have their places" in found["message"]
    assert found["conditions"]["Ready"]["status"] == "False"


def test_a_master_without_any_place_keeps_nobody_waiting() -> None:
    asks = {"resources": {"requests": {"cpu": "1"}}}
    app = make_app(master={"resources": {"requests": {"cpu": "5"}}}, workers=asks)

    assert counted(sized(app, FakeApi())) == {"workers": 4}


def test_nobody_waits_for_ever_for_a_place_that_is_not_taken() -> None:
    app, api = filling(), FakeApi()

    first = sized(app, api)
    still = sized(app, api, first, now=29.0)
    api.nodes = (make_node(), make_node("new"))
    later = sized(app, api, still, now=30.0)

    assert first.look_again == 30.0
    assert still.look_again == 1.0
    assert counted(still) == {"workers": 0, "more": 0}
    assert counted(later) == {"workers": 4, "more": 4}
    assert later.look_again is None


def test_what_runs_stays_and_grows_when_a_lost_master_is_back() -> None:
    app, api = filling(), FakeApi()
    api.pods = (make_pod(),)
    before = sized(app, api)

    api.pods = ()
    api.nodes = (make_node(), make_node("new"))
    lost = sized(app, api, before, now=100.0)
    api.pods = (make_pod(),)
    back = sized(app, api, lost, now=101.0)

    assert counted(lost) == {"workers": 2, "more": 2}
    assert counted(back) == {"workers": 4, "more": 4}


def with_a_machine_for_masters(*names_of_workers: str) -> FakeApi:
    api = FakeApi()
    theirs = {"labels": {names.LABEL_POOL: names.POOL_MASTER},
              "taints": (make_taint(names.MASTER_TAINT, value="true"),)}  # fmt: skip
    api.nodes = (*map(make_node, names_of_workers), make_node("z", **theirs))
    return api


def test_the_machine_for_masters_is_for_them_and_no_room_for_workers() -> None:
    asks = {"resources": {"requests": {"cpu": "1"}}}
    app, api = make_app(master=asks, workers=asks), with_a_machine_for_masters("a", "b")

    before = sized(app, api, Size(targets={"workers": sizing.Target(count=1)}))
    api.pods = (make_pod(node="z", requests=quantity.amounts({"cpu": "1"})),)

    assert counted(before) == {"workers": 1}  # a master that comes is waited for
    assert counted(sized(app, api, before, now=1.0)) == {"workers": 8}


def test_a_lost_master_takes_no_room_of_workers_where_it_has_a_machine() -> None:
    asks = {"resources": {"requests": {"cpu": "1"}}}
    app, api = make_app(master=asks, workers=asks), with_a_machine_for_masters("a", "b")
    full = Size(targets={"workers": sizing.Target(count=8)})

    here = sized(app, api, full)
    api.nodes = api.nodes[:-1]
    gone = sized(app, api, full)

    assert here.targets["workers"].shrinking_since is None
    assert counted(gone) == {"workers": 8}
    assert gone.targets["workers"].enough == 7  # it goes to a worker, and one of them is too many


def test_what_may_not_start_yet_keeps_nobody_waiting() -> None:
    later = {"name": "later", "replicas": 1, "dependsOn": [{"name": "workers"}]}
    app = make_app(workers={"resources": {"requests": {"cpu": "1"}}}, components=[later])
    api = FakeApi()
    api.pods = (make_pod(),)

    assert counted(sized(app, api)) == {"workers": 4}


@pytest.mark.parametrize("quick", ["workers", "master"])
def test_a_master_that_needs_a_whole_node_gets_one(quick: str) -> None:
    """Whoever is placed first, and however widely: see the order in which places are taken."""
    asks = {"resources": {"requests": {"cpu": "1"}}}
    app = make_app(master={"resources": {"requests": {"cpu": "4"}}}, workers=asks)
    api = FakeApi()
    api.nodes = (make_node("a"), make_node("b"))
    size = None
    for moment in range(4):
        size = sized(app, api, size, now=float(moment))
        order = [("workers", "1", counted(size)["workers"]), ("master", "4", 1)]
        for component, cpu, count in order if quick == "workers" else reversed(order):
            api.pods = placed(api, component, cpu, count)

    assert sorted(one.component or "" for one in api.pods) == ["master", *["workers"] * 4]


def placed(api: FakeApi, component: str, cpu: str, count: int) -> tuple[Pod, ...]:
    """Return the pods when as many as find a place have one, on the emptiest node each."""
    pods = api.pods
    asks = quantity.amounts({"cpu": cpu})
    while sum(one.component == component for one in pods) < count:
        left = sizing.room(api.nodes, Usage(pods))
        node = max(left, key=lambda name: left[name]["cpu"])
        if left[node]["cpu"] < asks["cpu"]:
            break
        pods += (make_pod(component, node=node, requests=asks),)
    return pods


def test_groups_stay_as_they_are_until_the_cluster_is_known() -> None:
    app, api = filling(), FakeApi()
    api.nodes = (make_node(),)

    assert counts(app, api, capacity_known=False) == {"workers": 0, "more": 0}
