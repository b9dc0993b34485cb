"""What would wait for ever on a cluster is told before it is applied, and nothing else is."""

import json
from typing import Any

import pytest

from clusterous_api import models, names
from clusterous_api.errors import UserError
from clusterous_cli.program import foresight
from clusterous_cli.program.convert import Machine
from clusterous_cli.reach import kube

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
MACHINE = Machine(nodes=1, cpu_millis=2000, free_millis=1800, free_bytes=1 << 30)


def app(volume: dict[str, Any] | None = None, **worker: Any) -> dict[str, Any]:
    """Return an app of a master and two workers, as a manifest."""
    spec: dict[str, Any] = {"image": "x", "master": {}, "workers": {"replicas": 2, **worker}}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "reef"},
        "spec": spec if volume is None else {**spec, "sharedVolume": volume},
    }


def storage(name: str = "local-path", provisioner: str = foresight.LOCAL, **more: str) -> Any:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "metadata": {"name": name, "annotations": default, **more},
        "provisioner": provisioner,
    }


def cluster(*, nodes: int = 2, classes: Any = None, **objects: Any) -> kube.Api:
    """Return k3s as it comes, with so many nodes, and with *objects* by their paths."""
    there: dict[str, Any] = {
        "/api/v1/nodes": {"items": [{"metadata": {"name": str(n)}} for n in range(nodes)]},
        CLASSES: {"items": [storage()] if classes is None else classes},
        foresight.LOCAL_CONFIG: {"data": {"config.json": '{"nodePathMap": []}'}},
        **objects,
    }

    def answer(method: str, path: str, body: str | None, kind: str) -> tuple[int, str]:
        assert (method, body) == ("GET", None)
        return (200, json.dumps(there[path])) if path in there else (404, "{}")

    return kube.Api(answer)


@pytest.mark.parametrize(
    ("volume", "has_volume"),
    [
        pytest.param(None, False, id="says nothing, and the cluster has none"),
        pytest.param({"subPath": "runs"}, False, id="a folder of the cluster's"),
        pytest.param({"size": "5Gi"}, True, id="one of its own beside the cluster's"),
        pytest.param({"storageClassName": "local-path"}, True, id="by its class"),
        pytest.param({"accessMode": "ReadWriteMany"}, False, id="by its mode"),
    ],
)
def test_a_volume_that_nothing_serves_is_refused(volume: Any, has_volume: bool) -> None:
    with pytest.raises(UserError, match=r"wait for ever(.|\n)*accessMode: ReadWriteOnce") as told:
        foresight.check_volume(cluster(), app(volume), has_volume)

    assert "Nothing was started" in str(told.value)
    assert ("volume: none" in str(told.value)) is not has_volume


@pytest.mark.parametrize(
    ("volume", "has_volume", "there"),
    [
        pytest.param(None, True, {}, id="the cluster's own volume"),
        pytest.param({"accessMode": "ReadWriteOnce"}, False, {}, id="one node's"),
        pytest.param({"claimName": "mine"}, False, {}, id="a claim of the user's"),
        pytest.param(
            {"existing": {"nfs": {"server": "10.0.0.1"}}}, False, {}, id="a file system there is"
        ),
        pytest.param({"storageClassName": "fast"}, False, {}, id="a class that nobody knows"),
        pytest.param(None, False, {"nodes": 1}, id="a cluster of one node"),
        pytest.param(None, False, {"classes": []}, id="no class: the operator says so"),
        pytest.param(
            None, False, {"classes": [storage("efs", "efs.csi.aws.com")]}, id="another class"
        ),
        pytest.param(
            None,
            False,
            {
                "classes": [
                    storage("efs", "efs.csi.aws.com", creationTimestamp="2026-02-01T00:00:00Z"),
                    storage(creationTimestamp="2026-01-01T00:00:00Z"),
                ]
            },
            id="of two defaults the younger",
        ),
        pytest.param(None, False, {f"{CLAIMS}/reef-data": {"kind": "x"}}, id="its claim is there"),
        pytest.param(
            None, False, {f"{CLAIMS}/{names.CLUSTER_CLAIM}": {"kind": "x"}}, id="all share a claim"
        ),
        pytest.param(
            None,
            False,
            {foresight.LOCAL_CONFIG: {"data": {"config.json": '{"sharedFileSystemPath": "/m"}'}}},
            id="a folder that all nodes have",
        ),
        pytest.param(
            None,
            False,
            {
                "/api/v1/persistentvolumes": {
                    "items": [
                        {
                            "spec": {
                                "storageClassName": "local-path",
                                "accessModes": ["ReadWriteMany"],
                            },
                            "status": {"phase": "Available"},
                        }
                    ]
                }
            },
            id="a volume made by hand",
        ),
    ],
)
def test_what_may_be_served_is_not_refused(volume: Any, has_volume: bool, there: Any) -> None:
    foresight.check_volume(cluster(**there), app(volume), has_volume)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"storageClassName": "other", "accessModes": ["ReadWriteMany"]}, id="class"),
        pytest.param({"storageClassName": "local-path", "accessModes": ["ReadWriteOnce"]}, id="of"),
        pytest.param({}, id="nothing"),
    ],
)
def test_a_volume_of_something_else_helps_nobody(spec: Any) -> None:
    there: dict[str, Any] = {"/api/v1/persistentvolumes": {"items": [{"spec": spec}]}}

    assert foresight.unserved(cluster(**there), app(), has_volume=False)


def test_a_volume_that_is_taken_helps_nobody() -> None:
    spec = {"storageClassName": "local-path", "accessModes": ["ReadWriteMany"]}
    volume = {"spec": spec, "status": {"phase": "Bound"}}

    there: dict[str, Any] = {"/api/v1/persistentvolumes": {"items": [volume]}}

    assert foresight.unserved(cluster(**there), app(), has_volume=False)


def lacks(manifest: dict[str, Any], *nodes: dict[str, str]) -> list[str]:
    there = [{"status": {"allocatable": one}} for one in nodes]
    return foresight.lacks(models.parse(manifest), {"worker": MACHINE, "big": MACHINE}, there)


@pytest.mark.parametrize("pool", ["gpu", names.POOL_MASTER])
def test_a_pool_without_a_node_is_told(pool: str) -> None:
    (said,) = lacks(app(placement={"pool": pool}))

    assert f"workers is placed on pool {pool}" in said
    assert "it has: big, worker" in said


def test_what_has_its_nodes_is_not_told_about() -> None:
    assert lacks(app()) == []
    assert lacks(app(placement={"pool": "big"})) == []


@pytest.mark.parametrize("part", ["requests", "limits"])
def test_a_device_that_no_node_has_is_told(part: str) -> None:
    asks = app(resources={part: {"nvidia.com/gpu": 1, "cpu": 1}})

    (said,) = lacks(asks, {"cpu": "2"}, {"nvidia.com/gpu": "0"})

    assert "workers asks for nvidia.com/gpu" in said
    assert lacks(asks, {"cpu": "2"}, {"nvidia.com/gpu": "1"}) == []


@pytest.mark.parametrize("odd", [None, "4", True, ["nvidia.com/gpu"], {"requests": "4"}])
def test_what_the_cluster_would_refuse_is_no_traceback_here(odd: Any) -> None:
    assert lacks(app(resources=odd)) == []
    assert lacks(app(placement={"pool": {}})) == []
