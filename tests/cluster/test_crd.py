"""What the API server accepts as a ClusterousApp and what it refuses, with which words."""

from typing import Any

import pytest

from clusterous_api import names
from tests.cluster.conftest import APPS
from tests.cluster.controlplane import ApiError, ControlPlane

pytestmark = pytest.mark.cluster

PORT = {"name": "http", "port": 80}
MASTER: dict[str, Any] = {"master": {}}
DB: dict[str, Any] = {"components": [{"name": "db"}]}


def create(plane: ControlPlane, name: str = "sim", **spec: Any) -> dict[str, Any]:
    """Ask for an app without making it."""
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {"image": "example.org/sim:1", **spec},
    }
    return plane.api("POST", APPS.format("default") + "?dryRun=All", body)


def needs(*others: str) -> dict[str, Any]:
    return {"dependsOn": [{"name": other} for other in others]}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(MASTER, id="master"),
        pytest.param({"workers": {}}, id="workers"),
        pytest.param(DB, id="components"),
        pytest.param({"run": "Batch", **MASTER}, id="batch"),
        pytest.param({"workers": {"min": 2, "max": 2, "replicas": 2}}, id="bounds"),
        pytest.param({"image": None, "master": {"image": "m"}}, id="own-image"),
        pytest.param({**MASTER, "workers": needs("master")}, id="worker-needs-master"),
        pytest.param({"master": needs("db"), **DB}, id="master-needs-db"),
        pytest.param({**MASTER, "sharedVolume": {"subPath": "a/b"}}, id="subpath"),
        pytest.param({**MASTER, "sharedVolume": {"claimName": "c"}}, id="claim"),
        pytest.param(
            {**MASTER, "sharedVolume": {"size": "5Gi", "storageClassName": "s"}}, id="new-claim"
        ),
        pytest.param({**MASTER, "sharedVolume": {"existing": {"nfs": {"server": "h"}}}}, id="nfs"),
        pytest.param(
            {**MASTER, "sharedVolume": {"existing": {"efs": {"fileSystemId": "fs-0123abcd"}}}},
            id="efs",
        ),
        pytest.param(
            {
                "master": {"ports": [PORT]},
                "expose": [{"name": "p", "component": "master", "port": "http"}],
            },
            id="expose",
        ),
        pytest.param(
            {"master": {"resources": {"requests": {"cpu": "500m", "memory": "1.5Gi", "x/gpu": 1}}}},
            id="resources",
        ),
        pytest.param({"master": {"template": {"spec": {"anything": {"goes": [1]}}}}}, id="overlay"),
    ],
)
def test_accepts(shared_plane: ControlPlane, spec: dict[str, Any]) -> None:
    made = create(shared_plane, **spec)

    assert made["spec"]["run"] in ("Service", "Batch")


def expose(component: str) -> dict[str, Any]:
    return {"expose": [{"name": "p", "component": component, "port": 80}]}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({}, "at least one of master, workers and components", id="empty"),
        pytest.param({"run": "Once", **MASTER}, "Unsupported value", id="run"),
        pytest.param({"run": "Batch", "workers": {}}, "run Batch needs a master", id="batch"),
        pytest.param({"image": None, **MASTER}, "master has no image", id="no-image"),
        pytest.param({"image": None, "workers": {}}, "workers have no image", id="no-image-w"),
        pytest.param({"image": None, **DB}, "a component has no image", id="no-image-c"),
        pytest.param({"workers": {"min": 3, "max": 2}}, "min must not be greater", id="min-max"),
        pytest.param(
            {"workers": {"max": 2, "replicas": 3}}, "replicas must not be greater", id="over"
        ),
        pytest.param({"workers": {"min": 2, "replicas": 1}}, "must not be less", id="under"),
        pytest.param({"workers": {"replicas": -1}}, "should be greater than or equal", id="minus"),
        pytest.param({"components": [{"name": "master"}]}, "fields of their own", id="reserved"),
        pytest.param({"components": [{"name": "A"}]}, "should match", id="letters"),
        pytest.param({"components": [{"name": "x" * 21}]}, "may not be more than 20", id="long"),
        pytest.param({"components": DB["components"] * 2}, "Duplicate value", id="twice"),
        pytest.param({"master": needs("db")}, "depends on a component", id="master-needs"),
        pytest.param({"master": needs("master")}, "depends on a component", id="needs-itself"),
        pytest.param({"workers": needs("master")}, "depend on a component", id="worker-needs"),
        pytest.param({"components": [{"name": "a", **needs("a")}]}, "on itself", id="needs-self"),
        pytest.param({"components": [{"name": "a", **needs("b")}]}, "not there", id="needs-b"),
        pytest.param({**MASTER, **expose("db")}, "expose names a component", id="expose"),
        pytest.param(
            {**MASTER, "sharedVolume": {"claimName": "c", "size": "1Gi"}}, "give one of", id="two"
        ),
        pytest.param({**MASTER, "sharedVolume": {"existing": {}}}, "one of nfs", id="none"),
        pytest.param({**MASTER, "sharedVolume": {"size": "big"}}, "should match", id="size"),
        pytest.param({**MASTER, "sharedVolume": {"subPath": "../x"}}, "relative", id="up"),
        pytest.param({**MASTER, "sharedVolume": {"subPath": "/x"}}, "relative", id="root"),
        pytest.param({"master": {"ports": [{"name": "a", "port": 0}]}}, "greater", id="port"),
        pytest.param({"master": {"ports": [PORT, PORT]}}, "Duplicate value", id="two-ports"),
        pytest.param(
            {"master": {"resources": {"requests": {"cpu": "lots"}}}}, "should match", id="cpu"
        ),
        pytest.param({"master": {"placement": {"role": "king"}}}, "Unsupported", id="role"),
        pytest.param({"master": {"command": "sh -c x"}}, "must be of type array", id="command"),
    ],
)
def test_refuses(shared_plane: ControlPlane, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError, match=words) as refused:
        create(shared_plane, **spec)

    assert refused.value.status == 422


@pytest.mark.parametrize("name", ["x" * 41, "with.dot", "1st"])
def test_refuses_names_that_children_could_not_have(shared_plane: ControlPlane, name: str) -> None:
    with pytest.raises(ApiError, match="the name m"):
        create(shared_plane, name, **MASTER)


def test_prunes_what_it_does_not_know(shared_plane: ControlPlane) -> None:
    made = create(shared_plane, **MASTER, fancy=1)

    assert "fancy" not in made["spec"]
