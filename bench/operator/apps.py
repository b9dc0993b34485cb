"""The app that everything is measured with: one master with a port, and some workers.

It mounts the cluster's own volume, as apps on our clusters do: claim and volume are there once for
the namespace, and each app has a Service and two Deployments.
"""

from collections.abc import Mapping
from typing import Any, Final

from bench.operator import testbed
from clusterous_api import models, names
from clusterous_operator import manifests
from tests.cluster.controlplane import ControlPlane

Manifest = Mapping[str, Any]

WORKERS: Final = 4
PORT: Final = 8080
IMAGE: Final = "example.org/sim:1"
VOLUME: Final[Manifest] = {"nfs": {"server": "192.0.2.9", "path": "/"}}
APPS: Final = testbed.collection(names.KIND, names.API_VERSION, testbed.NAMESPACE)


def name(index: int) -> str:
    """Return the name of an app."""
    return f"app-{index:04}"


def body(name: str, workers: int = WORKERS) -> Manifest:
    """Return an app as a user writes it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": testbed.NAMESPACE},
        "spec": {
            "image": IMAGE,
            "master": {"command": ["serve"], "ports": [_port(PORT)]},
            "workers": {"command": ["work"], "replicas": workers},
        },
    }


def _port(port: int) -> Manifest:
    return {"name": "http", "port": port, "targetPort": PORT}


def other_port(turn: int) -> Manifest:
    """Return a change that a Service follows, and no pod: what it costs is one write of a child."""
    return {"master": {"ports": [_port(PORT + turn % 2)]}}


def other_size(turn: int) -> Manifest:
    """Return a change that a Deployment follows, and a pod that comes or goes."""
    return {"workers": {"replicas": WORKERS + turn % 2}}


def children(app: Manifest, address: str | None = None) -> list[manifests.Manifest]:
    """Return what the operator makes for an app, of the operator's own making.

    The pods know each other's addresses: without *address*, the master Service's, it is only what
    comes before them.
    """
    parsed = models.parse(app)
    facts = manifests.Facts(
        addresses={} if address is None else {names.MASTER: address},
        replicas={one.name: one.replicas or 0 for one in parsed.components},
        on_cluster_volume=True,
        cluster_volume=VOLUME,
    )
    return manifests.desired(parsed, facts)


def is_ready(app: Manifest) -> bool:
    """Tell whether the app's status says so of its newest generation."""
    status = app.get("status") or {}
    return status.get("observedGeneration") == app["metadata"]["generation"] and any(
        one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"]
    )


def make_volume(plane: ControlPlane) -> None:
    """Make the namespace's volume, and wait until its claim is bound.

    Every side needs it, and the controller that binds it may take until its next round.
    """
    app = {**body("none"), "metadata": {**body("none")["metadata"], "uid": "none"}}
    for manifest in children(app):
        if manifest["kind"] in ("PersistentVolume", "PersistentVolumeClaim"):
            testbed.install(plane, manifest, testbed.NAMESPACE)

    def is_bound() -> bool:
        claims = plane.api("GET", f"/api/v1/namespaces/{testbed.NAMESPACE}/persistentvolumeclaims")
        return all(one["status"]["phase"] == "Bound" for one in claims["items"])

    plane.wait_until(is_bound, "the volume")


def deployment_is_ready(deployment: Manifest) -> bool:
    """Tell whether a Deployment has all its pods, of its newest template."""
    status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    is_seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = (status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    return bool(is_seen) and all(one >= wanted for one in counts)
