"""The server on which all sides are measured: one set of programs and flags, empty each time.

What a side leaves behind would slow the next one down, so each gets a new store; the controllers
may ask as often as they like, since it is not they who are measured.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from bench.operator import processes
from clusterous_api import names
from tests.cluster import controlplane
from tests.cluster.controlplane import ControlPlane
from tests.region.parts import parts

ROOT: Final = Path(__file__).parents[2]
NAMESPACE: Final = "bench"
ADMINISTRATOR: Final = "you"  # in the audit log
NODES: Final = 100
QPS: Final = 5000
# kwok's nodes never fall silent, only a machine with all its cores at work is late to tell. Taken
# for lost, they would have their pods marked not ready, and no kubelet is there to mend that.
NODE_GRACE_SECONDS: Final = 24 * 3600
# Room for 3,000 apps; the pods request nothing, so that only their number counts.
ROOM: Final = {"cpu": "64", "memory": "256Gi", "pods": "250", "ephemeral-storage": "1Ti"}

Manifest = Mapping[str, Any]

PLURALS: Final[Mapping[str, str]] = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "CustomResourceDefinition": "customresourcedefinitions",
    "DaskCluster": "daskclusters",
    "Deployment": "deployments",
    "Namespace": "namespaces",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    names.KIND: names.PLURAL,
}
_OF_CLUSTER: Final = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "PersistentVolume",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Testbed:
    """A running server, and what helps to prepare it."""

    plane: ControlPlane
    helm: Path
    scratch: Path

    def pids(self) -> dict[str, int]:
        """Return the programs by name, this one among them."""
        running = {name: one.pid for name, one in self.plane.running.items()}
        return {**running, "bench": processes.OWN_PID}


def collection(kind: str, version: str, namespace: str | None) -> str:
    """Return the path of all objects of a kind."""
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = f"/namespaces/{namespace}" if namespace and kind not in _OF_CLUSTER else ""
    return f"{prefix}{scope}/{PLURALS[kind]}"


def path(manifest: Manifest) -> str:
    """Return the path of one object."""
    metadata = manifest["metadata"]
    where = collection(manifest["kind"], manifest["apiVersion"], metadata.get("namespace"))
    return f"{where}/{metadata['name']}"


def find_parts() -> parts.Parts:
    """Return the programs, built if need be."""
    return parts.ensure(["kube", "kwok", "helm"], print)


@contextlib.contextmanager
def serve(programs: parts.Parts, audited: tuple[str, ...]) -> Iterator[Testbed]:
    """Run an empty server; the writes of the users *audited* are noted in its audit log."""
    options = controlplane.Options(
        qps=QPS, room=ROOM, audit=_audit_policy(audited), provisioner=False
    )
    with (
        tempfile.TemporaryDirectory(prefix="clusterous-bench-") as folder,
        controlplane.start(
            Path(folder) / "plane",
            kube=programs.kube,
            kine=programs.kube,
            kwok=programs.kwok,
            nodes=NODES,
            node_grace_seconds=NODE_GRACE_SECONDS,
            options=options,
        ) as plane,
    ):
        make_namespace(plane, NAMESPACE)
        yield Testbed(plane=plane, helm=programs.helm, scratch=Path(folder))


def make_namespace(plane: ControlPlane, name: str) -> None:
    """Make a namespace in which pods may run."""
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
    plane.wait_until(lambda: bool(plane.api("GET", accounts)["items"]), "the service account")


def _audit_policy(users: tuple[str, ...]) -> Manifest:
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "Metadata", "users": [ADMINISTRATOR, *users], "verbs": writes},
            {"level": "None"},
        ],
    }


def install_chart(bed: Testbed, chart: Path, namespace: str, *values: str) -> None:
    """Make all that a chart makes but what would run: its CRDs, accounts, rights and settings."""
    make_namespace(bed.plane, namespace)
    for source in sorted((chart / "crds").glob("*.yaml")):
        for manifest in yaml.load_all(source.read_text(), yaml.CSafeLoader):
            install(bed.plane, manifest, namespace)
    chosen = [word for value in values for word in ("--set", value)]
    rendered = subprocess.run(
        [str(bed.helm), "template", "bench", str(chart), "-n", namespace, *chosen],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for manifest in filter(None, yaml.safe_load_all(rendered)):
        if manifest["kind"] not in ("Deployment", "Service"):
            install(bed.plane, manifest, namespace)


def install(plane: ControlPlane, manifest: Manifest, namespace: str) -> None:
    """Make an object."""
    kind = manifest["kind"]
    where = collection(
        kind, manifest["apiVersion"], manifest["metadata"].get("namespace", namespace)
    )
    plane.api("POST", where, manifest)
    if kind == "CustomResourceDefinition":
        _wait_for_kind(plane, f"{where}/{manifest['metadata']['name']}")


def _wait_for_kind(plane: ControlPlane, definition: str) -> None:
    def is_served() -> bool:
        status = plane.api("GET", definition).get("status") or {}
        return any(
            one["type"] == "Established" and one["status"] == "True"
            for one in status.get("conditions") or ()
        )

    plane.wait_until(is_served, definition)
