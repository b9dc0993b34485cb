"""How nodes leave: what is asked of Kubernetes, and in which order."""

import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from clusterous_api.errors import TransientError, UserError
from clusterous_cli.cluster.record import Node
from clusterous_cli.reach import drain, kube
from clusterous_cli.system import wait

BUDGET = "The disruption budget sim needs 2 healthy pods and has 2 currently"


def pod(name: str, node: str = "ip-1", owner: str = "ReplicaSet", **status: Any) -> dict[str, Any]:
    owners = [{"kind": owner, "controller": True}] if owner else []
    metadata = {"name": name, "namespace": "default", "uid": f"u-{name}", "ownerReferences": owners}
    return {
        "metadata": metadata,
        "spec": {"nodeName": node},
        "status": {"phase": "Running"} | status,
    }


@dataclass
class Cluster:
    """Nodes and pods; a pod that is evicted is gone, unless a budget *keeps* it so often.

    On *silent* nodes nobody tells that a pod has ended.
    """

    nodes: set[str]
    pods: list[dict[str, Any]]
    keeps: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    refusal: tuple[int, str] | None = None  # what is said to every eviction

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if method == "GET" and "nodes" in path:
            return 200, json.dumps({"items": [self.node(name) for name in self.nodes]})
        if method == "GET":
            return 200, json.dumps({"items": self.pods})
        name = re.sub(r".*/(pods|nodes)/([^/]+).*", r"\2", path)
        self.calls.append(f"{method} {name}")
        if method == "POST":
            return self.evicted(name, json.loads(body or ""))
        known = name in self.nodes
        if method == "DELETE":
            self.nodes.discard(name)
        else:
            assert json.loads(body or "") == {"spec": {"unschedulable": True}}
        return (200, "{}") if known else (404, "{}")

    def node(self, name: str) -> dict[str, Any]:
        ready = {"type": "Ready", "status": "Unknown" if name in self.silent else "True"}
        conditions = [{"type": "DiskPressure", "status": "Unknown"}, ready]
        return {"metadata": {"name": name}, "status": {"conditions": conditions}}

    def evicted(self, name: str, eviction: dict[str, Any]) -> tuple[int, str]:
        assert eviction["deleteOptions"] == {"preconditions": {"uid": f"u-{name}"}}
        if self.refusal:
            return self.refusal[0], json.dumps({"message": self.refusal[1]})
        if self.keeps.get(name, 0) > 0:
            self.keeps[name] -= 1
            causes = {"causes": [{"reason": "DisruptionBudget", "message": BUDGET}]}
            return 429, json.dumps({"message": "Cannot evict pod", "details": causes})
        (one,) = (one for one in self.pods if one["metadata"]["name"] == name)
        if one["spec"]["nodeName"] in self.silent:
            one["metadata"]["deletionTimestamp"] = "2026-11-30T00:00:00Z"
        else:
            self.pods.remove(one)
        return 201, "{}"


class Clock(threading.Event):
    """Time that passes only while somebody sleeps."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return False


def machine(number: int) -> Node:
    return Node(
        name=f"worker-{number}", instance_id=f"i-{number}", role="worker", pool="worker",
        type="t3.large", state="running", launched="", node_name=f"ip-{number}",
    )  # fmt: skip


def left(cluster: Cluster, said: list[str], count: int = 1, *, force: bool = False) -> list[str]:
    clock = Clock()
    pauses = wait.Pauses(clock=clock, event=clock)
    steady = wait.Patience(mend=lambda: None, tell=said.append, clock=clock, sleep=pauses.sleep)
    going = drain.drained(
        kube.Api(cluster), [machine(n + 1) for n in range(count)], tell=said.append, pauses=pauses,
        steady=steady, force=force,
    )  # fmt: skip
    return [f"{one.name} {len(cluster.calls)}" for one in going]


def test_a_node_is_cordoned_then_emptied_then_forgotten() -> None:
    cluster = Cluster({"ip-1", "ip-2"}, [pod("a"), pod("b"), pod("other", node="ip-2")])

    assert left(cluster, []) == ["worker-1 4"]

    assert cluster.calls == ["PATCH ip-1", "POST a", "POST b", "DELETE ip-1"]
    assert [one["metadata"]["name"] for one in cluster.pods] == ["other"]


def test_what_is_the_nodes_own_or_is_over_is_not_asked_to_leave() -> None:
    mirror = pod("static", owner="Node")
    mirror["metadata"]["annotations"] = {drain.MIRROR: "x"}
    over = pod("over", owner="", phase="Succeeded")
    cluster = Cluster({"ip-1"}, [pod("flannel", owner="DaemonSet"), mirror, over])

    left(cluster, [])

    assert cluster.calls == ["PATCH ip-1", "DELETE ip-1"]


def test_a_budget_is_waited_for_and_told() -> None:
    cluster = Cluster({"ip-1"}, [pod("a")], keeps={"a": 2})
    said: list[str] = []

    assert left(cluster, said) == ["worker-1 5"]

    assert cluster.calls == ["PATCH ip-1", *["POST a"] * 3, "DELETE ip-1"]
    assert said[0] == f"1 pod still runs on worker-1: default/a; default/a: {BUDGET}"


def test_after_the_deadline_the_node_stays_cordoned_and_is_not_forgotten() -> None:
    cluster = Cluster({"ip-1", "ip-2"}, [pod("a"), pod("b", node="ip-2")], keeps={"a": 10**6})

    with pytest.raises(drain.Held, match="After 10 min 0 s, 1 pod still runs on worker-1") as told:
        left(cluster, [], count=2)

    assert told.value.exit_code == 75
    assert "DELETE ip-2" in cluster.calls
    assert "DELETE ip-1" not in cluster.calls


def test_what_nothing_would_start_again_is_told_before_anything_is_done() -> None:
    cluster = Cluster({"ip-1"}, [pod("a"), pod("by-hand", owner="")])

    with pytest.raises(UserError, match=r"default/by-hand on worker-1\. Nothing was drained"):
        left(cluster, [])

    assert cluster.calls == []


def test_whose_kubelet_is_silent_is_not_waited_for() -> None:
    pods = [pod("a"), pod("b"), pod("c", node="ip-2")]
    cluster = Cluster({"ip-1", "ip-2"}, pods, keeps={"b": 10**6, "c": 1}, silent={"ip-1"})
    said: list[str] = []

    assert left(cluster, said, count=2) == ["worker-1 5", "worker-2 8"]

    # What may start elsewhere at once does, and those that answer keep their budgets.
    assert cluster.calls[2:5] == ["POST a", "POST b", "DELETE ip-1"]
    assert said[0] == "2 pods on worker-1 not waited for any more"


def test_what_nothing_would_start_again_is_not_lost_for_a_silent_kubelet() -> None:
    cluster = Cluster({"ip-1"}, [pod("by-hand", owner="")], silent={"ip-1"})

    with pytest.raises(UserError, match="default/by-hand on worker-1"):
        left(cluster, [])


def test_who_forces_it_loses_what_is_still_there_after_a_minute() -> None:
    pods = [pod("held"), pod("by-hand", owner="")]
    cluster = Cluster({"ip-1"}, pods, keeps={"held": 10**6})
    said: list[str] = []

    assert len(left(cluster, said, force=True)) == 1

    assert cluster.calls[:3] == ["PATCH ip-1", "POST held", "POST by-hand"]
    assert cluster.calls.count("POST held") == drain.FORCED / drain.PAUSE + 1
    assert said[-1] == "1 pod on worker-1 not waited for any more"


def test_what_holds_a_pod_and_what_forces_it_are_named() -> None:
    one = pod("a")
    one["metadata"] |= {"deletionTimestamp": "2026-11-30T00:00:00Z", "finalizers": ["sim.io/x"]}
    cluster = Cluster({"ip-1"}, [one])

    with pytest.raises(drain.Held, match=r"default/a: its finalizer sim\.io/x keeps it") as told:
        left(cluster, [])

    assert "`clusterous rm-nodes --force` ends them 60 s later" in str(told.value)


def test_a_folder_that_goes_with_its_pod_keeps_no_machine() -> None:
    """As that of every disk, its end is asked about: see `show.leaving_words`."""
    one = pod("a")
    one["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
    cluster = Cluster({"ip-1"}, [one])

    assert left(cluster, []) == ["worker-1 3"]


def test_a_machine_that_never_joined_goes_at_once() -> None:
    assert left(Cluster(set(), []), []) == ["worker-1 1"]


@pytest.mark.parametrize(
    "refusal",
    [
        (500, "This pod has more than one PodDisruptionBudget, which the eviction subresource does"
         " not support."),
        (403, "pods \"a\" is forbidden: unable to create new content in namespace x because it is"
         " being terminated"),
        (400, "admission webhook \"guard\" denied the request: not today"),
    ],
    ids=["two-budgets", "namespace-goes", "webhook"],
)  # fmt: skip
def test_what_kubernetes_never_evicts_is_named_and_goes_by_force(refusal: tuple[int, str]) -> None:
    cluster = Cluster({"ip-1"}, [pod("a")], refusal=refusal)
    with pytest.raises(drain.Held) as told:
        left(cluster, [])
    assert f"default/a: {refusal[1]}" in str(told.value)
    assert "`clusterous rm-nodes --force`" in str(told.value)
    assert cluster.nodes == {"ip-1"}

    assert len(left(cluster, [], force=True)) == 1
    assert cluster.nodes == set()


def test_an_api_server_that_is_busy_is_asked_again() -> None:
    cluster = Cluster({"ip-1"}, [pod("a")], refusal=(500, "etcdserver: request timed out"))

    with pytest.raises(TransientError, match="busy: etcdserver"):
        left(cluster, [])
