"""What the benchmark of a cluster's life makes of logs and lists, before anybody believes it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bench.cluster import calls, goals, path, seen
from bench.cluster.path import CALL, Step
from clusterous_cli.cluster import config

BEGAN = 1000.0
SETTINGS = {
    "nat_pending": 2.0,
    "profile_delay": 0.0,
    "volume_creating": 0.5,
    "pending": 1.0,
    "volume_attaching": 1.0,
}
MACHINES = {"gateway": "i-1a", "controller": "i-2b", "worker": "i-3c"}
NODES = {"n-controller": "Ready", "n-worker": "Ready"}


def step(name: str, seconds: float, at: float, *needs: str) -> Step:
    return Step(name=name, kind=CALL, seconds=seconds, at=at, needs=needs)


def test_the_longest_path_leaves_out_what_is_waited_for() -> None:
    found = path.longest(
        [
            step("vpc", 1, 1),
            step("nat", 5, 8, "vpc", "nobody"),
            step("role", 3, 3),
            step("machine", 4, 9, "role", "vpc"),
        ]
    )

    assert [(one.step.name, one.late) for one in found.links] == [("role", 0), ("machine", 2)]
    assert found.seconds == 7


def test_of_nothing_there_is_no_path() -> None:
    assert path.longest([]).seconds == 0


# -- the log of a create ------------------------------------------------------------------


def call(action: str, at: float, ms: float = 100.0, key: str = "", **more: Any) -> dict[str, Any]:
    resource = f"bucket/{key}" if key else None
    usual = {"caller": "you", "status": 200, "resource": resource}
    return {"action": action, "time": BEGAN + at, "ms": ms, **usual, **more}


def told(role: str, at: float, phase: str, **more: Any) -> dict[str, Any]:
    machine = MACHINES[role]
    return {
        "time": BEGAN + at,
        "caller": f"c-{role}/{machine}",
        "resource": f"bucket/nodes/{machine}.json",
        "text": json.dumps({"phase": phase, "role": role, **more}),
    }


def view(volume: str, nodes: Mapping[str, str] = NODES) -> dict[str, Any]:
    rollouts = "".join(f"{name}@d it 1 1 1 1 1 1\n" for name in ("operator", "volume"))
    return {
        "addons": {"operator": "d", "volume": "d"},
        "rollouts": rollouts,
        "nodes": nodes,
        "volume": {"volume": "vol-1", "phase": volume, "made": True, "size": 2 << 30},
    }


CALLS = [
    call("CreateBucket", 1.0),
    call("PutObject", 1.2, key="lock.json"),
    call("CreateVpc", 1.5),
    call("CreateSubnet", 1.8),
    call("CreateVolume", 2.0),
    call("AllocateAddress", 2.0),
    call("PutObject", 2.1, key="boot/9/k3s"),
    call("CreateNatGateway", 2.2),
    call("DescribeNatGateways", 2.9),
    call("RunInstances", 2.5),
    call("PutObject", 2.8, key="server/state"),
    call("PutObject", 2.8, key="server/volume"),
    call("AttachVolume", 4.0),
    call("CreateRouteTable", 2.0),
    call("CreateRoute", 4.5),
    call("CreateTags", 13.0, ms=200),
    call("PutObject", 13.3, key="server/state", ms=200),
    call("CreateTags", 30.0, ms=200),
    call("PutObject", 30.3, key="server/volume", ms=200),
    call("RunInstances", 3.3, status=400),
    call("CreateTags", 90.0),
]
TOLD = [
    told("controller", 7.0, "fetching"),
    told("controller", 10.0, "waiting for its state volume", state={"phase": "made"}),
    told("controller", 20.0, "ready", state={"phase": "mounted"}, cluster=view("mounting")),
    told("controller", 26.0, "ready", cluster=view("made")),
    told("controller", 35.3, "ready", cluster=view("serving", {"n-controller": "Ready"})),
    told("controller", 36.3, "ready", cluster=view("serving")),
    told("controller", 39.0, "ready", cluster=view("serving")),
    told("worker", 7.0, "fetching"),
    told("worker", 8.0, "starting"),
    told("worker", 24.0, "ready"),
    told("gateway", 7.0, "ready"),
]


def create(**changes: Any) -> calls.Create:
    usual: dict[str, Any] = {
        "config": config.parse("name: c\nmaster: none\nworkers: 1\nvolume: {size: 2}\n"),
        "user": "you",
        "began": BEGAN,
        "ended": BEGAN + 40,
        "settings": SETTINGS,
        "calls": CALLS,
        "told": TOLD,
    }
    return calls.Create(**{**usual, **changes})


@pytest.fixture(autouse=True)
def awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be two add-ons that are waited for, whatever their names are now."""

    class Addon:
        awaited = True

        def __init__(self, name: str) -> None:
            self.name = self.noun = name

    every = (Addon("operator"), Addon("volume"))
    monkeypatch.setattr(calls.table, "wanted", lambda config: every)


def test_the_path_of_a_create_is_that_of_its_controller_without_what_it_waited_for() -> None:
    found = path.longest(create().steps())

    names = [one.step.name for one in found.links]
    assert names == [
        "CreateBucket",
        "PutObject lock.json",
        "CreateVpc",
        "CreateSubnet",
        "RunInstances",
        "pending",
        "controller: it boots",
        "controller: the state's volume is formatted",
        "CreateTags: the state's volume is marked",
        "PutObject server/state, again",
        "controller: its API server answers",
        "controller: the shared volume is formatted",
        "CreateTags: the shared volume is marked",
        "PutObject server/volume, again",
        "controller: all is ready",
    ]
    own = {one.step.name: one.step.seconds for one in found.links}
    assert own["controller: it boots"] == pytest.approx(3.5)  # after 1 s of pending
    assert own["controller: its API server answers"] == pytest.approx(6.7)
    assert own["controller: all is ready"] == pytest.approx(6.0)
    late = {one.step.name: one.late for one in found.links}
    assert late["CreateTags: the state's volume is marked"] == pytest.approx(2.8)
    assert late["CreateTags: the shared volume is marked"] == pytest.approx(3.8)
    assert found.seconds == pytest.approx(0.5 + 1 + 3.5 + 3 + 0.4 + 6.7 + 6 + 0.4 + 6)


def test_a_gateway_that_takes_minutes_is_the_path() -> None:
    slow = [{**one, "time": BEGAN + 93} if one["action"] == "CreateRoute" else one for one in CALLS]

    found = path.longest(
        create(
            calls=slow, ended=BEGAN + 95, settings={**SETTINGS, "nat_pending": 90.0}, told=TOLD
        ).steps()
    )

    assert [one.step.name for one in found.links][-3:] == [
        "CreateNatGateway",
        "nat_pending",
        "CreateRoute",
    ]
    assert found.seconds == pytest.approx(90.6)


def test_what_another_command_did_before_does_not_count() -> None:
    earlier = [{**one, "time": one["time"] - 500} for one in CALLS]
    older = [{**one, "time": one["time"] - 500} for one in TOLD]

    again = create(calls=[*earlier, *CALLS], told=[*older, *TOLD])

    assert again.steps() == create().steps()


# -- what was seen ------------------------------------------------------------------------


def pod(name: str, node: str, *containers: tuple[str, int], **more: Any) -> dict[str, Any]:
    states = [{"containerID": id, "restartCount": count} for id, count in containers]
    ready = [{"type": "Ready", "status": "True" if containers else "False"}]
    labels = {"clusterous.io/app": "writer"}
    return {
        "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "labels": labels, **more},
        "spec": {"nodeName": node},
        "status": {"containerStatuses": states, "conditions": ready},
    }


def test_containers_that_were_started_again_are_counted() -> None:
    before = seen.lives([pod("a", "n1", ("x", 0), ("y", 0)), pod("b", "n2", ("z", 0))], ["n1"])

    assert seen.restarts(before, before) == 0
    assert seen.restarts(before, seen.lives([pod("a", "n1", ("x", 0), ("w", 1))], ["n1"])) == 1
    assert seen.restarts(before, {}) == 2


def test_a_job_that_is_done_is_nobodys_loss() -> None:
    done = pod("job", "n1", ("x", 0))
    done["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 0}}

    assert seen.restarts(seen.lives([done], ["n1"]), {}) == 0


def test_a_worker_is_lost_until_its_node_is_gone_and_its_pods_run_elsewhere() -> None:
    node = {"kind": "Node", "metadata": {"name": "n1"}}
    stays = pod("a", "n2", ("x", 0))

    def look(*things: dict[str, Any]) -> seen.Loss:
        return seen.loss(things, "n1", "writer", 2)

    assert look(node, pod("b", "n1", ("y", 0)), stays) == seen.Loss(
        node=True, pods=True, elsewhere=False
    )
    assert look(stays, pod("c", "n2")) == seen.Loss(node=False, pods=False, elsewhere=False)
    assert look(stays, pod("c", "n2", ("z", 0))) == seen.Loss(
        node=False, pods=False, elsewhere=True
    )
    leaving = pod("c", "n2", ("z", 0), deletionTimestamp="now")
    assert look(stays, leaving).elsewhere is False


def test_only_what_was_acknowledged_can_be_lost() -> None:
    told = seen.acknowledged("ack 0 1.5\nfull 1 1.6\nack 1 1.7\nack 2")

    assert told == {0, 1}
    assert seen.lost(told, [1, 2, 3]) == 1


def test_what_others_take_of_a_processor_is_not_ours() -> None:
    before = "cpu  100 0 50 1000 10 0 0 5 0 0\ncpu0 …"
    after = "cpu  300 100 150 2000 20 0 100 500 0 0\ncpu0 …"

    assert seen.busy(before, after, 100) == 5.0


def test_a_goal_is_met_only_by_what_was_measured() -> None:
    judged = goals.judged(goals.CREATE, {goals.SHORT: 3.0, goals.SLOW: 3.1})

    assert [one["met"] for one in judged] == [True, False, False]
    assert "value" not in judged[2]
    assert not goals.is_met(judged)
    assert "not measured" in goals.table(judged)
    every = {one.figure: 0.0 for one in goals.LIFE}
    assert goals.is_met(goals.judged(goals.LIFE, every))
