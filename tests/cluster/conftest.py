"""One control plane for all tests of the operator, which runs with the chart's rights."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterous_api import names
from tests import ports
from tests.cluster import controlplane
from tests.cluster.controlplane import ApiError, ControlPlane
from tests.contract import charting
from tests.region.parts import parts

ROOT = Path(__file__).parents[2]
APPS = "/apis/clusterous.io/v1/namespaces/{}/clusterousapps"
SYSTEM = f"/api/v1/namespaces/{names.NAMESPACE}"

Object = dict[str, Any]


@pytest.fixture(scope="session")
def shared_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with two nodes, our CRD and all that the chart makes but the Deployment."""
    with equipped(tmp_path_factory.mktemp("shared-plane")) as plane:
        yield plane


@contextlib.contextmanager
def equipped(home: Path, options: controlplane.Options | None = None) -> Iterator[ControlPlane]:
    """Run a control plane: two nodes, our CRD, all that the chart makes but the Deployment."""
    found = parts.ensure(["kube", "kwok", "helm"], print)
    with controlplane.start(
        home, kube=found.kube, kine=found.kube, kwok=found.kwok, nodes=2, options=options
    ) as plane:
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": names.NAMESPACE}})
        crd = yaml.safe_load((ROOT / "crds" / "clusterousapps.yaml").read_text())
        install(plane, crd)
        for manifest in charting.render():
            if manifest["kind"] not in ("Deployment", "Service"):
                install(plane, manifest)
        plane.wait_until(lambda: served(plane), "our CRD")
        yield plane


COLLECTIONS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ServiceAccount": SYSTEM + "/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{names.NAMESPACE}/roles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{names.NAMESPACE}/rolebindings",
}


def install(plane: ControlPlane, manifest: Mapping[str, Any]) -> None:
    """Make an object of the chart."""
    path = COLLECTIONS[manifest["kind"]]
    namespace = manifest["metadata"].get("namespace", names.NAMESPACE)
    plane.api("POST", path.replace(names.NAMESPACE, namespace), manifest)


def served(plane: ControlPlane) -> bool:
    """Tell whether ClusterousApps can be listed."""
    try:
        plane.api("GET", APPS.format("default"))
    except ApiError:
        return False
    return True


@dataclass(kw_only=True)
class Operator:
    """The operator as a process, with nothing but the rights of its service account."""

    plane: ControlPlane
    port: int
    log: Path
    account: str = "clusterous-operator"
    flags: tuple[str, ...] = ()
    kubeconfig: Path | None = None  # another than one with a token of the account
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        kubeconfig = self.kubeconfig or self.plane.service_account_kubeconfig(
            names.NAMESPACE, self.account
        )
        command = [sys.executable, "-m", "clusterous_operator"]
        who = f"--identity=operator-{self.port}"  # as a restarted container, so is it the same
        flags = [f"--port={self.port}", "--shrink-seconds=1", who, *self.flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["/usr/bin/setpriv", "--pdeathsig", "KILL", *command, *flags],
                env={**os.environ, **self.environment, "KUBECONFIG": str(kubeconfig)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.plane.wait_until(self.is_ready, "the operator's /readyz")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process = None
        return code

    def ask(self, path: str) -> str:
        """Return what it answers."""
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())

    def is_ready(self) -> bool:
        """Tell whether it says that it is ready."""
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"the operator ended: {self.log.read_text()[-3000:]}")
        try:
            return self.ask("/readyz") == "ok\n"
        except (urllib.error.URLError, OSError):
            return False

    def writes(self) -> float:
        """Return how often it has written, by its own count."""
        figures = re.findall(r"^clusterous_writes_total\S* (\S+)$", self.ask("/metrics"), re.M)
        return sum(map(float, figures))

    def is_quiet(self) -> bool:
        """Tell whether it writes nothing for a second."""
        before = self.writes()
        time.sleep(1)
        return self.writes() == before


@pytest.fixture(scope="session")
def operator(
    shared_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """The running operator."""
    log = tmp_path_factory.mktemp("operator") / "log"
    started = Operator(plane=shared_plane, port=ports.free(), log=log)
    started.start()
    yield started
    if started.process is not None:
        started.end()


@dataclass(kw_only=True)
class Lab:
    """A namespace of one test, and what a person would do and see in it."""

    plane: ControlPlane
    namespace: str
    nodes: list[str] = field(default_factory=list)

    def path(self, kind: str, name: str = "") -> str:
        """Return the path of an object in the namespace."""
        prefixes = {
            "clusterousapps": "/apis/clusterous.io/v1",
            "deployments": "/apis/apps/v1",
            "replicasets": "/apis/apps/v1",
            "jobs": "/apis/batch/v1",
            "events": "/apis/events.k8s.io/v1",
        }
        base = f"{prefixes.get(kind, '/api/v1')}/namespaces/{self.namespace}/{kind}"
        return f"{base}/{name}" if name else base

    def create(self, name: str = "sim", **spec: Any) -> Object:
        """Make an app."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": name},
            "spec": {"image": "example.org/sim:1", **spec},
        }
        return self.plane.api("POST", self.path("clusterousapps"), body)

    def change(self, name: str = "sim", **spec: Any) -> Object:
        """Change an app; None removes a field."""
        return self.plane.api("PATCH", self.path("clusterousapps", name), {"spec": spec})

    def get(self, kind: str, name: str) -> Object:
        """Return an object."""
        return self.plane.api("GET", self.path(kind, name))

    def patch(self, kind: str, name: str, body: Mapping[str, Any]) -> Object:
        """Change an object."""
        return self.plane.api("PATCH", self.path(kind, name), body)

    def delete(self, kind: str, name: str) -> None:
        """Remove an object."""
        self.plane.api("DELETE", self.path(kind, name), {"propagationPolicy": "Background"})

    def all(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        found: list[Object] = self.plane.api("GET", self.path(kind))["items"]
        return found

    def exists(self, kind: str, name: str) -> bool:
        """Tell whether an object is there."""
        return any(one["metadata"]["name"] == name for one in self.all(kind))

    def status(self, name: str = "sim") -> Object:
        """Return the app's status."""
        found: Object = self.get("clusterousapps", name).get("status", {})
        return found

    def condition(self, kind: str, name: str = "sim") -> Object:
        """Return one condition of the app, if its status is about the newest generation."""
        app = self.get("clusterousapps", name)
        status = app.get("status", {})
        if status.get("observedGeneration") != app["metadata"]["generation"]:
            return {}
        return next((one for one in status["conditions"] if one["type"] == kind), {})

    def until(self, check: Callable[[], bool], what: str, seconds: float = 90) -> None:
        """Wait for something; if it does not come, tell how the app stands."""
        end = time.monotonic() + seconds
        while not check():
            if time.monotonic() > end:
                apps = json.dumps(
                    [one.get("status") for one in self.all("clusterousapps")], indent=1
                )
                raise AssertionError(f"waited in vain for {what}: {apps}")
            time.sleep(0.05)

    def until_condition(
        self, kind: str, value: str = "True", name: str = "sim", seconds: float = 90
    ) -> None:
        """Wait for a condition."""
        self.until(
            lambda: self.condition(kind, name).get("status") == value, f"{kind}={value}", seconds
        )

    def add_node(self, name: str, pool: str) -> None:
        """Add a node of 4 CPUs to a pool."""
        self.plane.add_nodes([name], labels={names.LABEL_POOL: pool})
        self.nodes.append(name)


@pytest.fixture
def lab(shared_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A namespace of its own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[-50:].strip("-")
    shared_plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    made = Lab(plane=shared_plane, namespace=name)
    made.until(lambda: bool(made.all("serviceaccounts")), "the service account")
    yield made
    for app in made.all("clusterousapps"):
        made.delete("clusterousapps", app["metadata"]["name"])
    for node in made.nodes:
        shared_plane.delete_node(node)
