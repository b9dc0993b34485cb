"""The control plane of these tests is real: it schedules, refuses, restarts and vanishes."""

import http.client
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import controlplane
from tests.region.parts import minors, parts

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def programs() -> parts.Parts:
    return parts.ensure(["kube", "kwok"], print)


@pytest.fixture(scope="module")
def plane(
    programs: parts.Parts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[controlplane.ControlPlane]:
    home = tmp_path_factory.mktemp("plane")
    with controlplane.start(
        home, kube=programs.kube, kine=programs.kube, kwok=programs.kwok, nodes=2
    ) as started:
        yield started


def make_deployment(name: str, **annotations: str) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"containers": [{"name": "main", "image": "example.org/nothing:1"}]},
            },
        },
    }


def make_job(name: str, **annotations: str) -> dict[str, Any]:
    pod = {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "example.org/nothing:1"}],
    }
    template = {"metadata": {"annotations": annotations}, "spec": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    }


def status_of(plane: controlplane.ControlPlane, path: str) -> dict[str, Any]:
    status: dict[str, Any] = plane.api("GET", path)["status"]
    return status


def test_answers_with_its_version(plane: controlplane.ControlPlane) -> None:
    chosen = minors.chosen()
    release = minors.usual() if chosen is None else minors.release(chosen)

    version = plane.api("GET", "/version")

    assert version["gitVersion"] == f"v{release}"
    assert f"{version['major']}.{version['minor']}" == minors.of(release)


def test_runs_a_deployment_on_the_nodes(plane: controlplane.ControlPlane) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"

    plane.api("POST", path, make_deployment("runs"))

    plane.wait_until(
        lambda: status_of(plane, f"{path}/runs").get("readyReplicas") == 2, "two ready pods", 20
    )
    pods = plane.api("GET", "/api/v1/namespaces/default/pods?labelSelector=app%3Druns")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} <= {"node-0", "node-1"}
    assert all(pod["status"]["podIP"] for pod in pods)


def test_a_pod_that_cannot_start_says_why(plane: controlplane.ControlPlane) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    waiting = {"clusterous.test/waiting": "ImagePullBackOff"}

    plane.api("POST", path, make_deployment("stuck", **waiting))

    def reasons() -> set[str]:
        pods = plane.api("GET", "/api/v1/namespaces/default/pods?labelSelector=app%3Dstuck")
        statuses = [s for p in pods["items"] for s in p["status"].get("containerStatuses", [])]
        return {status["state"]["waiting"]["reason"] for status in statuses}

    plane.wait_until(lambda: reasons() == {"ImagePullBackOff"}, "the reason", 20)
    assert "readyReplicas" not in status_of(plane, f"{path}/stuck")


@pytest.mark.parametrize(
    ("annotations", "condition"),
    [
        pytest.param({}, "Complete", id="ends-well"),
        pytest.param({"clusterous.test/exit-code": "3"}, "Failed", id="exits-with-3"),
    ],
)
def test_jobs_end(
    plane: controlplane.ControlPlane, annotations: dict[str, str], condition: str
) -> None:
    path = "/apis/batch/v1/namespaces/default/jobs"
    name = f"job-{condition.lower()}"

    plane.api("POST", path, make_job(name, **annotations))

    def conditions() -> set[str]:
        found = status_of(plane, f"{path}/{name}").get("conditions", [])
        return {item["type"] for item in found if item["status"] == "True"}

    plane.wait_until(lambda: condition in conditions(), condition, 20)


def test_binds_a_claim_of_the_default_class(plane: controlplane.ControlPlane) -> None:
    path = "/api/v1/namespaces/default/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}

    plane.api("POST", path, {"metadata": {"name": "data"}, "spec": spec})

    plane.wait_until(
        lambda: status_of(plane, f"{path}/data").get("phase") == "Bound", "a bound claim", 20
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/api/v1/namespaces/default/secrets", 403, id="reads-no-secrets"),
        pytest.param("/version", 200, id="is-known"),
    ],
)
def test_a_service_account_has_its_own_rights_only(
    plane: controlplane.ControlPlane, path: str, expected: int
) -> None:
    kubeconfig = yaml.safe_load(plane.service_account_kubeconfig("default", "default").read_text())
    token = kubeconfig["users"][0]["user"]["token"]
    trust = ssl.create_default_context(cadata=plane.ca_pem.decode())
    connection = http.client.HTTPSConnection("127.0.0.1", plane.port, context=trust, timeout=10)

    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    connection.close()

    assert answer.status == expected


def test_a_lost_node_is_tainted_and_left(plane: controlplane.ControlPlane) -> None:
    plane.add_nodes(["lost"])
    plane.wait_until(lambda: "conditions" in status_of(plane, "/api/v1/nodes/lost"), "a node", 20)

    plane.lose_node("lost")

    def taints() -> set[str]:
        spec = plane.api("GET", "/api/v1/nodes/lost")["spec"]
        return {f"{taint['key']}:{taint['effect']}" for taint in spec.get("taints", [])}

    plane.wait_until(lambda: "node.kubernetes.io/unreachable:NoExecute" in taints(), "a taint", 30)
    plane.delete_node("lost")


def test_survives_a_crash_of_the_api_server(plane: controlplane.ControlPlane) -> None:
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": "before-the-crash"}})

    plane.restart_apiserver()

    assert plane.api("GET", "/api/v1/namespaces/before-the-crash")["status"]["phase"] == "Active"


def test_leaves_no_process_behind(programs: parts.Parts, tmp_path: Path) -> None:
    with controlplane.start(
        tmp_path, kube=programs.kube, kine=programs.kube, kwok=programs.kwok
    ) as plane:
        pids = [process.pid for process in plane.running.values()]
        assert len(pids) == 5
        assert all(is_alive(pid) for pid in pids)

    assert not any(is_alive(pid) for pid in pids)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
