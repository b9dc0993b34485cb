"""The disk of a store goes with its machine: that is said, and the store begins anew."""

import json
from typing import Any

import pytest

from clusterous_cli.program.central import disks
from clusterous_cli.program.central.disks import Disk
from clusterous_cli.reach.kube import Api


def volume(claim: str, node: str, namespace: str = "clusterous-logging") -> dict[str, Any]:
    on = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    terms = [{"matchExpressions": [on]}]
    return {
        "spec": {
            "claimRef": {"namespace": namespace, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        }
    }


STORE = volume("data-clusterous-logs-store-0", "worker-2")
OTHERS = volume("data", "worker-2", "default")
ANYWHERE = {"spec": {"claimRef": {"namespace": "clusterous-logging", "name": "nfs"}}}
DISK = Disk(claim="data-clusterous-logs-store-0", node="worker-2")


def test_a_disk_of_the_store_is_one_that_is_tied_to_a_machine() -> None:
    assert disks.read([OTHERS, STORE, ANYWHERE]) == [DISK]


@pytest.mark.parametrize(
    ("leaving", "is_said"), [({"worker-2"}, True), ({"worker-1"}, False), (set(), False)]
)
def test_what_goes_with_a_machine_is_said_before(leaving: set[str], is_said: bool) -> None:
    said = disks.words([DISK], leaving)

    assert bool(said) is is_said
    if is_said:
        assert "is on worker-2" in said
        assert "logging export --all --to" in said


class Cluster:
    """An API server that knows lists, and what is to be removed."""

    def __init__(self, nodes: list[str]) -> None:
        names = [{"metadata": {"name": name}} for name in nodes]
        used = {"persistentVolumeClaim": {"claimName": DISK.claim}}
        pods = [
            {"metadata": {"name": "clusterous-logs-store-0"}, "spec": {"volumes": [used]}},
            {"metadata": {"name": "clusterous-logs-syslog-x"}, "spec": {"volumes": [{}]}},
        ]
        self.lists = {"nodes": names, "persistentvolumes": [STORE, OTHERS], "pods": pods}
        self.removed: list[str] = []

    def __call__(self, method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        if method == "DELETE":
            self.removed.append(path.rpartition("clusterous-logging/")[2])
            return 200, "{}"
        return 200, json.dumps({"items": self.lists[path.rpartition("/")[2]]})


def test_a_store_whose_machine_is_gone_begins_anew() -> None:
    cluster = Cluster(["worker-1"])

    assert disks.begin_anew(Api(cluster)) == [DISK]

    assert cluster.removed == [
        "persistentvolumeclaims/data-clusterous-logs-store-0",
        "pods/clusterous-logs-store-0",
    ]


def test_a_store_whose_machine_is_there_keeps_what_it_has() -> None:
    cluster = Cluster(["worker-1", "worker-2"])

    assert disks.begin_anew(Api(cluster)) == []

    assert cluster.removed == []
