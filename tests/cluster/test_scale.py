"""Who decides on the number of workers: a person, Git, or a real HorizontalPodAutoscaler.

The autoscaler is the controller manager's own. It reads a length of a queue that a test sets, from
a metrics API of ours that the API server's aggregation layer leads to.
"""

import contextlib
import http.server
import json
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from clusterous_api import names
from tests import programs
from tests.cluster.conftest import Lab
from tests.cluster.controlplane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

GROUP = "external.metrics.k8s.io"
SERVICES = "/api/v1/namespaces/kube-system/services"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
MASTER = {"ports": [{"name": "http", "port": 8080}]}
SCALED = {"scaledBy": "Autoscaler", "min": 2, "max": 6}

Kubectl = Callable[..., str]


class Queue:
    """A queue's length, as it stands; the API below tells it."""

    length = 0

    def answer(self, path: str) -> dict[str, Any] | None:
        """Return what the metrics API says to a request."""
        resource = {"name": "*", "namespaced": True, "kind": "ExternalMetricValueList"}
        known = {"kind": "APIResourceList", "groupVersion": f"{GROUP}/v1beta1"}
        if path == f"/apis/{GROUP}/v1beta1":
            return {**known, "resources": [{**resource, "verbs": ["get"]}]}
        if not path.endswith("/queue_length"):
            return None
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        item = {"metricName": "queue_length", "metricLabels": {}, "timestamp": now}
        return {
            "kind": "ExternalMetricValueList",
            "apiVersion": f"{GROUP}/v1beta1",
            "metadata": {},
            "items": [{**item, "value": str(self.length)}],
        }


@pytest.fixture(scope="module")
def queue(shared_plane: ControlPlane) -> Iterator[Queue]:
    """Serve the metrics API, and make it known to the API server."""
    told = Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = told.answer(self.path.split("?")[0])
            body = json.dumps(answer or {"kind": "Status", "code": 404}).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *told: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = shared_plane.home / "apiserver.crt"
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with aggregated(shared_plane, server.server_port):
            yield told
        server.shutdown()


@contextlib.contextmanager
def aggregated(plane: ControlPlane, port: int) -> Iterator[None]:
    """Lead requests for the group to a port of this machine.

    Endpoints on loopback are refused, and no kube-proxy follows cluster addresses here; a Service
    that is but a name is what the API server calls by itself.
    """
    service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    name = f"v1beta1.{GROUP}"
    spec = {
        "group": GROUP,
        "version": "v1beta1",
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"namespace": "kube-system", "name": "queue-metrics", "port": port},
    }
    plane.api("POST", SERVICES, {"metadata": {"name": "queue-metrics"}, "spec": service})
    plane.api("POST", API_SERVICES, {"metadata": {"name": name}, "spec": spec})
    try:
        plane.wait_until(lambda: available(plane, name), "the metrics API")
        yield
    finally:
        plane.api("DELETE", f"{API_SERVICES}/{name}")
        plane.api("DELETE", f"{SERVICES}/queue-metrics")


def available(plane: ControlPlane, name: str) -> bool:
    conditions = plane.api("GET", f"{API_SERVICES}/{name}").get("status", {}).get("conditions", [])
    return any(one["type"] == "Available" and one["status"] == "True" for one in conditions)


@pytest.fixture
def kubectl(lab: Lab) -> Kubectl:
    """Run kubectl in the test's namespace, with *given* as its standard input."""
    flags = (f"--kubeconfig={lab.plane.kubeconfig}", f"--namespace={lab.namespace}")

    def run(*argv: str, given: str = "") -> str:
        command = [str(programs.path("kubectl")), *flags, *argv]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def autoscaler(**changes: Any) -> dict[str, Any]:
    """Return an HPA that wants ten items of the queue for each worker, and makes up its mind."""
    target = {"type": "AverageValue", "averageValue": "10"}
    external = {"metric": {"name": "queue_length"}, "target": target}
    at_once = {"stabilizationWindowSeconds": 0}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "sim"},
        "spec": {
            "scaleTargetRef": {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "sim"},
            "minReplicas": 2,
            "maxReplicas": 6,
            "metrics": [{"type": "External", "external": external}],
            "behavior": {"scaleDown": at_once, "scaleUp": at_once},
            **changes,
        },
    }


def manifest(**workers: Any) -> str:
    """Return what stands in Git: no number of workers, as others decide on it."""
    return yaml.safe_dump(
        {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": "sim"},
            "spec": {"image": "example.org/sim:1", "master": MASTER, "workers": workers},
        }
    )


def replicas(lab: Lab) -> int | None:
    """Return how many workers the app's specification asks for."""
    found: int | None = lab.get("clusterousapps", "sim")["spec"]["workers"].get("replicas")
    return found


def until_workers(lab: Lab, count: int) -> None:
    told = f"{count}/{count}"
    lab.until(lambda: lab.status().get("workers") == told, f"{count} workers")


def from_git(kubectl: Kubectl, **workers: Any) -> None:
    kubectl("apply", "--server-side", "--field-manager=git", "-f", "-", given=manifest(**workers))


@programs.needs("kubectl")
def test_an_autoscaler_scales_and_git_does_not_fight(
    lab: Lab, queue: Queue, kubectl: Kubectl
) -> None:
    queue.length = 0
    from_git(kubectl, **SCALED)
    until_workers(lab, 2)  # the operator speaks first: an HPA leaves alone what has no number
    kubectl("apply", "-f", "-", given=yaml.safe_dump(autoscaler()))

    queue.length = 45
    until_workers(lab, 5)

    before = lab.get("clusterousapps", "sim")["metadata"]["generation"]
    from_git(kubectl, **SCALED)
    after = lab.get("clusterousapps", "sim")
    assert (after["spec"]["workers"]["replicas"], after["metadata"]["generation"]) == (5, before)

    from_git(kubectl, **SCALED, env=[{"name": "A", "value": "1"}])
    lab.until_condition("Ready")
    assert replicas(lab) == 5
    until_workers(lab, 5)

    queue.length = 12
    until_workers(lab, 2)
    lab.until_condition("Ready")


@programs.needs("kubectl")
def test_kubectl_scales_and_all_paths_of_the_subresource_answer(lab: Lab, kubectl: Kubectl) -> None:
    from_git(kubectl, **SCALED)
    until_workers(lab, 2)

    kubectl("scale", "capp", "sim", "--replicas=3")
    until_workers(lab, 3)

    scale = lab.get("clusterousapps", "sim/scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
    query = "?labelSelector=" + urllib.parse.quote(scale["status"]["selector"])
    pods = lab.plane.api("GET", lab.path("pods") + query)["items"]
    assert len(pods) == 3
    assert {one["metadata"]["labels"][names.LABEL_COMPONENT] for one in pods} == {names.WORKERS}


@programs.needs("kubectl")
def test_what_scales_to_nothing_stays_at_nothing(lab: Lab, kubectl: Kubectl) -> None:
    from_git(kubectl, **SCALED)
    until_workers(lab, 2)

    kubectl("scale", "capp", "sim", "--replicas=0")  # as KEDA does when the queue is empty
    until_workers(lab, 0)
    from_git(kubectl, **SCALED, env=[{"name": "A", "value": "1"}])
    lab.until_condition("Ready")
    assert replicas(lab) == 0

    kubectl("scale", "capp", "sim", "--replicas=4")
    until_workers(lab, 4)


@programs.needs("kubectl")
def test_a_number_that_git_has_never_named_is_not_its_own(lab: Lab, kubectl: Kubectl) -> None:
    lab.add_node("scale-a", "scale")
    room = {"resources": {"requests": {"cpu": "1"}}, "placement": {"pool": "scale"}}
    from_git(kubectl, **room)
    until_workers(lab, 4)  # fills the pool

    kubectl("scale", "capp", "sim", "--replicas=1")
    until_workers(lab, 1)
    from_git(kubectl, **room)

    lab.until_condition("Ready")
    assert replicas(lab) == 1
