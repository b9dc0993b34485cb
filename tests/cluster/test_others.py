"""What others do to an app's objects: write them otherwise, change them again and again, and ask
for the same over and over. The operator comes to rest, and says who does what."""

import base64
import http.server
import json
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests import programs
from tests.cluster.conftest import Lab, Operator
from tests.cluster.controlplane import ControlPlane
from tests.cluster.test_documents import PAGES
from tests.contract.test_scaling_page import manifests

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def deployments_written(operator: Operator) -> list[str]:
    """Return how often Deployments were written; each change of one may change the status, too."""
    figure = r'^clusterous_writes_total\{kind="Deployment"\} (\S+)$'
    return re.findall(figure, operator.ask("/metrics"), re.M)


def test_what_the_api_server_writes_otherwise_is_written_once(lab: Lab, operator: Operator) -> None:
    given = [
        {"name": f"A{number}", "valueFrom": {"resourceFieldRef": {"resource": of, "divisor": one}}}
        for number, (of, one) in enumerate(
            [("requests.cpu", "1000m"), ("requests.cpu", 1), ("requests.memory", "1024Ki")]
        )
    ]
    memory = {"medium": "Memory", "sizeLimit": "1024Mi"}
    overlay = {"volumes": [{"name": "shm", "emptyDir": memory}]}
    resources = {"requests": {"cpu": "0.50", "memory": "1.5Gi"}, "limits": {"cpu": 1.5}}
    lab.create(
        master={"env": given, "resources": resources, "template": {"spec": overlay}},
    )
    lab.until_condition("Ready")
    lab.until(operator.is_quiet, "rest")

    before = deployments_written(operator)
    for number in range(3):
        lab.patch("deployments", "sim-master", {"metadata": {"annotations": {"n": str(number)}}})
        time.sleep(0.3)

    lab.until(operator.is_quiet, "rest")
    assert deployments_written(operator) == before


class Policy(http.server.BaseHTTPRequestHandler):
    """An admission policy: another registry before each image, and a stamp of its own each time."""

    stamp = 0

    def do_POST(self) -> None:
        """Answer a review."""
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        spec = review["request"]["object"]["spec"]["template"]
        Policy.stamp += 1
        changes = [
            {
                "op": "add",
                "path": "/spec/template/metadata/annotations",
                "value": {
                    **spec["metadata"].get("annotations", {}),
                    "stamp": str(Policy.stamp),
                },
            }
        ]
        for index, one in enumerate(spec["spec"]["containers"]):
            if not one["image"].startswith("mirror/"):
                path = f"/spec/template/spec/containers/{index}/image"
                changes.append({"op": "replace", "path": path, "value": f"mirror/{one['image']}"})
        patch = json.dumps(changes).encode()
        answer = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {
                "uid": review["request"]["uid"],
                "allowed": True,
                "patchType": "JSONPatch",
                "patch": base64.b64encode(patch).decode(),
            },
        }
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def policy(lab: Lab, tmp_path: Path) -> Iterator[type[Policy]]:
    """The policy at work on the Deployments of the test's namespace."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Policy)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bundle = base64.b64encode(authority.cert_pem.bytes()).decode()
    url = f"https://127.0.0.1:{server.server_address[1]}/"
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
    hook = {
        "name": "policy.example.org",
        "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": lab.namespace}},
    }
    lab.plane.api("POST", WEBHOOKS, {"metadata": {"name": lab.namespace}, "webhooks": [hook]})
    time.sleep(1.5)  # until the API server knows of it
    yield Policy
    lab.plane.api("DELETE", f"{WEBHOOKS}/{lab.namespace}")
    server.shutdown()
    server.server_close()


def test_a_policy_that_stamps_every_write_is_written_to_once(
    lab: Lab, operator: Operator, policy: type[Policy]
) -> None:
    lab.create(master={}, workers={"replicas": 1})
    lab.until_condition("Ready")

    assert operator.is_quiet()
    assert lab.condition("Ready")["status"] == "True"
    workers = lab.get("deployments", "sim-workers")
    image = workers["spec"]["template"]["spec"]["containers"][0]["image"]
    assert (policy.stamp > 0, image) == (True, "mirror/example.org/sim:1")

    lab.change(workers={"replicas": 2})
    lab.until(lambda: lab.status().get("workers") == "2/2", "two workers")
    lab.until_condition("Ready")
    assert operator.is_quiet()


def test_who_scales_the_deployment_is_named_and_the_fight_ends(
    lab: Lab, operator: Operator
) -> None:
    lab.create(master={}, workers={"replicas": 2})
    lab.until_condition("Ready")
    ends = threading.Event()

    def scale() -> None:
        while not ends.wait(0.3):
            path = lab.path("deployments", "sim-workers/scale") + "?fieldManager=my-autoscaler"
            lab.plane.api("PATCH", path, {"spec": {"replicas": 5}})

    fighter = threading.Thread(target=scale, daemon=True)
    fighter.start()
    try:
        lab.until_condition("Stalled")
        ready = lab.condition("Ready")
        assert ready["reason"] == "Contested"
        assert (
            "my-autoscaler (through scale) changes spec.replicas of Deployment"
            in (ready["message"])
        )
        assert "Let an autoscaler point at ClusterousApp sim" in ready["message"]
        lab.until(lambda: lab.status()["workers"] == "5/2", "the other's number")
        assert operator.is_quiet()
    finally:
        ends.set()
        fighter.join()

    # Something else changes: it is put right.
    lab.change(workers={"replicas": 3})
    lab.until_condition("Ready")
    lab.until(lambda: lab.status()["workers"] == "3/3", "three workers")


@pytest.mark.parametrize(
    "overlay",
    [
        {"tolerations": {"key": "a", "operator": "Exists"}},
        {"containers": {"name": "workers"}},
        {"affinity": "x"},
    ],
    ids=str,
)
def test_an_overlay_of_the_wrong_shape_is_told(lab: Lab, overlay: dict[str, Any]) -> None:
    lab.create(master={}, workers={"template": {"spec": overlay}})

    lab.until_condition("Stalled")

    (field,) = overlay
    told = lab.condition("Ready")
    assert told["reason"] == "Invalid"
    assert told["message"].startswith(f"spec.workers.template.spec.{field} must be")


def test_a_refusal_tells_the_users_own_place(lab: Lab) -> None:
    beside = {"name": "Not_A_Name", "image": "example.org/x:1"}
    lab.create(master={"template": {"spec": {"containers": [beside]}}})

    lab.until_condition("Stalled")

    assert "spec.master.template.spec.containers[0].name" in lab.condition("Ready")["message"]


@programs.needs("kubectl")
def test_kubectl_wait_does_not_take_an_older_generation(lab: Lab, operator: Operator) -> None:
    lab.create(master={})
    lab.until_condition("Ready")
    operator.end()
    lab.change(workers={"replicas": 1})

    flags = [f"--kubeconfig={lab.plane.kubeconfig}", f"--namespace={lab.namespace}"]
    wait = ["wait", "capp/sim", "--for=condition=Ready", "--timeout=2s"]
    done = subprocess.run(
        [str(programs.path("kubectl")), *flags, *wait], capture_output=True, text=True, check=False
    )
    operator.start()

    assert "timed out" in done.stderr


SHOWN = [
    pytest.param(one, id=f"{page.name}-{one['metadata']['name']}")
    for page in PAGES
    for one in manifests(page)
    if one["kind"] == "ClusterousApp"
]


@programs.needs("kubectl")
@pytest.mark.parametrize("manifest", SHOWN)
def test_what_is_applied_again_is_unchanged(
    shared_plane: ControlPlane, lab: Lab, manifest: dict[str, Any]
) -> None:
    """Argo CD compares by the same merge: where it is empty, nothing is out of sync."""
    flags = [f"--kubeconfig={shared_plane.kubeconfig}", f"--namespace={lab.namespace}"]
    command = [str(programs.path("kubectl")), *flags, "apply", "-f", "-"]
    given = yaml.safe_dump({**manifest, "spec": {**manifest["spec"], "suspend": True}})

    said = [
        subprocess.run(
            command, input=given, capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        for _ in range(3)
    ]

    assert said == ["created", "unchanged", "unchanged"]
