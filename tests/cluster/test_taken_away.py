"""What the cluster adds to an app's pods, and how it takes them away: by evictions, with nodes, and
for the sake of quotas. The app goes on, or says what it waits for."""

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from clusterous_api import names
from tests.cluster.conftest import Lab, Operator
from tests.cluster.controlplane import CONTROLLER_MANAGER
from tests.cluster.test_features import MASTER, deployment, finish, live, numbers, told
from tests.cluster.test_status_truth import quota, until_reason

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

Object = dict[str, Any]


def uids(lab: Lab, component: str) -> set[str]:
    return {one["metadata"]["uid"] for one in live(lab, component)}


def evict(lab: Lab, component: str) -> None:
    """Take a pod away as `kubectl drain` does."""
    name = live(lab, component)[0]["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    lab.plane.api("POST", lab.path("pods", f"{name}/eviction"), body)


def evict_for_another(lab: Lab, component: str) -> None:
    before = uids(lab, component)
    evict(lab, component)
    lab.until(lambda: bool(uids(lab, component) - before), "another pod")


def overlay(*containers: Object, annotations: Object | None = None, **spec: Any) -> Object:
    """Return a template that adds to a pod."""
    found = {"containers": list(containers)} if containers else {}
    noted = {f"clusterous.test/{key}": value for key, value in (annotations or {}).items()}
    return {"template": {"metadata": {"annotations": noted}, "spec": {**found, **spec}}}


def test_an_eviction_is_no_try_of_a_batch(lab: Lab) -> None:
    lab.create(run="Batch", batch={"backoffLimit": 0}, master={**MASTER, **told(hold="true")})
    for _ in range(2):
        lab.until_condition("Ready")
        evict_for_another(lab, "master")

    finish(lab, "master")

    lab.until_condition("Completed")
    assert lab.get("jobs", "sim-master")["status"].get("failed", 0) == 0


@contextlib.contextmanager
def late_collector(lab: Lab) -> Iterator[None]:
    """Let the cluster's garbage collector, as one that has much to do, come only afterwards."""
    process = lab.plane.running[CONTROLLER_MANAGER]
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_batch_that_is_deleted_and_made_again_at_once_runs_again(lab: Lab) -> None:
    lab.create(run="Batch", master=MASTER)
    lab.until_condition("Completed")
    before = lab.get("jobs", "sim-master")["metadata"]["uid"]

    with late_collector(lab):
        lab.delete("clusterousapps", "sim")
        lab.create(run="Batch", master=MASTER)
        lab.until(lambda: bool(lab.condition("Completed")), "a look at the new app")
        told_at_once = lab.condition("Completed")["status"]
        there = lab.get("jobs", "sim-master")["metadata"]["uid"]

    assert there == before, "the earlier app's Job is gone already"
    assert told_at_once == "False"
    lab.until_condition("Completed")
    assert lab.get("jobs", "sim-master")["metadata"]["uid"] != before


def test_a_claim_that_goes_with_an_earlier_app_is_made_anew(lab: Lab) -> None:
    volume = {"size": "1Gi", "retentionPolicy": "Delete"}
    lab.create(master=MASTER, sharedVolume=volume)
    lab.until_condition("Ready")
    before = lab.get("persistentvolumeclaims", "sim-data")["metadata"]["uid"]

    with late_collector(lab):
        lab.delete("clusterousapps", "sim")
        lab.create(master=MASTER, sharedVolume=volume)
        lab.until(lambda: bool(lab.condition("VolumeBound")), "a look at the new app")
        assert lab.get("persistentvolumeclaims", "sim-data")["metadata"]["uid"] == before

    lab.until_condition("Ready")
    assert lab.get("persistentvolumeclaims", "sim-data")["metadata"]["uid"] != before


def test_the_policy_hears_of_an_eviction_of_what_runs_on(lab: Lab) -> None:
    rule = {"action": "RestartApp", "reasons": ["EvictionByEvictionAPI"]}
    lab.create(
        master=MASTER,
        workers={"replicas": 1, **told(linger="1s")},
        failurePolicy={"maxRestarts": 2, "rules": [rule]},
    )
    lab.until_condition("Ready")

    evict(lab, "workers")

    lab.until(lambda: numbers(lab, "workers") == {"1"} == numbers(lab, "master"), "all anew")
    lab.until_condition("Ready")
    assert lab.status()["restarts"] == 1


def test_a_batch_whose_node_is_lost_says_which_and_for_what_it_waits(lab: Lab) -> None:
    lab.add_node("silent", "silent")
    toleration = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 1,
    }
    lab.create(
        run="Batch",
        master={
            # kwok would end it all the same, whatever became of its node.
            **overlay(annotations={"hold": "true", "linger": "600s"}, tolerations=[toleration]),
            "placement": {"pool": "silent"},
        },
    )
    lab.until_condition("MasterReady")
    (pod,) = live(lab, "master")

    lab.plane.lose_node("silent")
    lab.until(lambda: not live(lab, "master"), "the pod is told to end")

    assert until_reason(lab, "NodeLost")["message"] == (
        f"master: node silent, with pod {pod['metadata']['name']}, does not answer; it goes on "
        "when the node is back, or its Node object is removed (`kubectl delete node silent`)"
    )


def test_a_container_that_outlasts_the_program_is_named(lab: Lab) -> None:
    beside = {"name": "mesh-proxy", "image": "example.org/proxy:1"}
    lab.create(run="Batch", master=overlay(beside, annotations={"hold": "true"}))
    lab.until_condition("MasterReady")
    (pod,) = live(lab, "master")
    program, proxy = sorted(pod["status"]["containerStatuses"], key=lambda one: one["name"])
    ended = {**program, "ready": False, "state": {"terminated": {"exitCode": 0}}}

    path = lab.path("pods", f"{pod['metadata']['name']}/status")
    lab.plane.api("PATCH", path, {"status": {"containerStatuses": [ended, proxy]}})

    message = until_reason(lab, "RunsOn")["message"]
    assert message.startswith(
        "master: the program has ended with exit code 0, but container mesh-proxy runs on"
    )


def test_a_quota_on_the_apps_own_objects_is_told_like_one_on_pods(lab: Lab) -> None:
    key = "count/deployments.apps"
    quota(lab, **{key: "1"})
    lab.create(master=MASTER, workers={"replicas": 1})

    message = until_reason(lab, "QuotaExceeded")["message"]

    made = "master" if lab.exists("deployments", "sim-workers") else "workers"
    assert message == (
        f"quota team was used up: it allowed {key} 1, of which 1 were used; "
        f"Deployment sim-{made} needs 1 more"
    )
    lab.patch("resourcequotas", "team", {"spec": {"hard": {key: "2"}}})
    lab.until_condition("Ready", seconds=60)


def test_pods_that_a_quota_refused_come_when_it_is_raised(lab: Lab) -> None:
    quota(lab, pods="2")
    lab.create(master=MASTER)
    lab.until_condition("Ready")
    lab.change(workers={"replicas": 3})
    until_reason(lab, "QuotaExceeded")

    def is_told() -> bool:
        """Tell whether the ReplicaSet was told to ask again; by itself it does so ever later."""
        return any(
            names.ANNOTATION_ASKED_AGAIN in one["metadata"]["annotations"]
            for one in lab.all("replicasets")
        )

    lab.until(is_told, "the ReplicaSet asks again")
    lab.patch("resourcequotas", "team", {"spec": {"hard": {"pods": "4"}}})

    lab.until_condition("Ready")


def test_a_rollout_that_kubectl_pauses_goes_on(lab: Lab) -> None:
    lab.create(master=MASTER, workers={"replicas": 1})
    lab.until_condition("Ready")

    lab.patch("deployments", "sim-workers", {"spec": {"paused": True}})
    lab.change(image="example.org/sim:2")

    lab.until_condition("Ready")
    assert not deployment(lab, "workers").get("paused")


def test_an_update_that_finds_no_room_says_what_would_help(lab: Lab) -> None:
    lab.add_node("full-a", "full")
    lab.add_node("full-b", "full")
    workers = {
        "replicas": 2,
        "resources": {"requests": {"cpu": "3"}},
        "placement": {"pool": "full"},
    }
    lab.create(master={}, workers=workers)
    lab.until_condition("Ready")

    lab.change(image="example.org/sim:2")
    message = until_reason(lab, "Unschedulable")["message"]
    lab.change(workers={**workers, "strategy": {"maxUnavailable": 1}})

    assert message == (
        "workers: 1 waits: no node fits; needs 3 CPUs and the largest has 1 CPU free; "
        "the update needs room for one pod more, or strategy.maxUnavailable: 1"
    )
    lab.until_condition("Ready")


RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"


def default_of_the_namespace(lab: Lab) -> Object:
    """Let a LimitRange ask for a CPU where nothing is asked for."""
    limits = [{"type": "Container", "defaultRequest": {"cpu": "1"}}]
    body = {"metadata": {"name": "default"}, "spec": {"limits": limits}}
    lab.plane.api("POST", lab.path("limitranges"), body)
    return {}


def overhead_of_the_runtime(lab: Lab) -> Object:
    """Let a RuntimeClass take a CPU for itself."""
    name = f"heavy-{lab.namespace}"[-50:].strip("-")
    body = {"metadata": {"name": name}, "handler": "heavy", "overhead": {"podFixed": {"cpu": "1"}}}
    lab.plane.api("POST", RUNTIMES, body)
    return overlay(runtimeClassName=name)


@pytest.mark.parametrize("admission", [default_of_the_namespace, overhead_of_the_runtime])
def test_fills_with_pods_as_admission_makes_them(
    lab: Lab, operator: Operator, admission: Any
) -> None:
    lab.add_node("made-a", "made")
    lab.add_node("made-b", "made")
    more = admission(lab)
    time.sleep(1)  # until admission knows of it
    lab.create(
        workers={
            "resources": {"requests": {"memory": "1Gi"}},
            "placement": {"pool": "made"},
            **more,
        },
    )

    lab.until(lambda: lab.status().get("workers") == "8/8", "eight workers on eight CPUs")
    lab.until_condition("Ready")

    lab.change(image="example.org/sim:2")
    lab.until_condition("Ready")
    assert lab.status()["workers"] == "8/8"
    assert operator.is_quiet()
