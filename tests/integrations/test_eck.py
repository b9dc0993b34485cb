"""Elastic's own operator, on a real API server, beside the chart: what it makes of its objects.

Elasticsearch and Kibana cannot be had here: their pods are only played, and what the operator does
after they answer is not seen.
"""

import copy
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.cluster import controlplane
from tests.cluster.controlplane import ApiError, ControlPlane
from tests.contract import charting
from tests.region.parts import eck, parts

OWN: Final = "elastic-system"
DIES_WITH_US: Final = ("/usr/bin/setpriv", "--pdeathsig", "KILL")
# What `clusterous logging on` tells it in eck-operator's chart, and nothing that listens.
FLAGS: Final = (
    f"--operator-namespace={OWN}",
    "--disable-telemetry",
    "--enable-webhook=false",
    "--manage-webhook-certs=false",
    "--enable-leader-election=false",
    "--metrics-port=0",
)
Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Values of the chart, and what they mean: memory and disk, and where."""

    values: tuple[str, ...]
    memory: str = "2Gi"
    page: str = "2Gi"
    selector: Mapping[str, str] | None = None
    size: int = 20


CASES: Final = {
    "usual": Wanted(values=()),
    "large": Wanted(
        values=("efk.elasticsearch.memory=4Gi", "efk.kibana.memory=1Gi", "sizeGiB=50"),
        memory="4Gi",
        page="1Gi",
        size=50,
    ),
    "pool": Wanted(
        values=(
            r"efk.nodeSelector.clusterous\.io/pool=logging",
            "efk.tolerations[0].key=logging",
            "efk.tolerations[0].operator=Exists",
        ),
        selector={"clusterous.io/pool": "logging"},
    ),
    "system": Wanted(values=("level=2", "storageClass=standard", "podAnnotations.a=b")),
}


def rendered(case: str) -> list[Object]:
    values = ("store=efk", *CASES[case].values)
    return charting.render(*values, chart=charting.LOGGING, namespace=f"logs-{case}")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The control plane, and kubectl."""

    plane: ControlPlane
    kubectl: Path
    crds: list[Object]

    def apply(self, objects: list[Object], space: str, *more: str) -> str:
        """Apply as Flux and k3s do, or return what was refused."""
        how = ("--server-side", "--validate=strict", "-n", space, "-f", "-", *more)
        argv = [str(self.kubectl), "apply", *how]
        env = {**os.environ, "KUBECONFIG": str(self.plane.kubeconfig)}
        text = yaml.safe_dump_all(objects)
        done = subprocess.run(
            argv, input=text, env=env, capture_output=True, text=True, check=False
        )
        return "" if done.returncode == 0 else done.stderr

    def find(self, path: str) -> Object | None:
        try:
            return self.plane.api("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def awaited(self, path: str) -> Object:
        self.plane.wait_until(lambda: self.find(path) is not None, path, timeout_seconds=180)
        found = self.find(path)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with the operator's CRDs, and the operator."""
    built = parts.paths([eck.NAME], print)[eck.NAME]
    found = parts.ensure(["kube", "kwok", "kubectl", "helm"], print)
    home = tmp_path_factory.mktemp("eck")
    with controlplane.start(
        home, kube=found.kube, kine=found.kube, kwok=found.kwok, nodes=1
    ) as plane:
        crds = list(yaml.safe_load_all((built / eck.CRDS).read_text()))
        made = Cluster(plane=plane, kubectl=found.kubectl, crds=crds)
        for space in (OWN, "default", *(f"logs-{case}" for case in CASES)):
            if space != "default":
                plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": space}})
        assert made.apply(earlier(crds), "default") == ""
        with (home / "operator.log").open("wb") as log:
            process: subprocess.Popen[bytes] | None = None
            try:
                assert refused(made), "an earlier release of it does not know the field"
                assert made.apply(crds, "default", "--force-conflicts") == ""
                plane.wait_until(lambda: not refused(made), "the CRDs as they are now")
                argv = [*DIES_WITH_US, str(built / eck.PROGRAM), "manager", *FLAGS]
                env = {**os.environ, "KUBECONFIG": str(plane.kubeconfig)}
                process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
                yield made
            finally:
                if process is not None:
                    process.terminate()
                    process.wait()


def earlier(crds: list[Object]) -> list[Object]:
    """Return the CRDs as an earlier release had them: without a field that the chart uses."""
    older = copy.deepcopy(crds)
    for one in older:
        if one["spec"]["names"]["kind"] == "Elasticsearch":
            for version in one["spec"]["versions"]:
                spec = version["schema"]["openAPIV3Schema"].get("properties", {}).get("spec", {})
                spec.get("properties", {}).pop("volumeClaimDeletePolicy", None)
    return older


def refused(cluster: Cluster) -> str:
    """Tell why the API server does not take the chart's Elasticsearch; nothing if it does."""
    stack = [one for one in rendered("usual") if one["kind"] == "Elasticsearch"]
    return cluster.apply(stack, "logs-usual", "--dry-run=server")


@pytest.mark.parametrize("case", CASES)
def test_every_object_of_the_chart_is_taken_by_the_server(cluster: Cluster, case: str) -> None:
    assert cluster.apply(rendered(case), f"logs-{case}", "--dry-run=server") == ""


def test_a_wrong_field_is_refused(cluster: Cluster) -> None:
    (stack,) = [one for one in rendered("usual") if one["kind"] == "Elasticsearch"]
    stack["spec"]["nodeSet"] = stack["spec"].pop("nodeSets")

    said = cluster.apply([stack], "logs-usual", "--dry-run=server")

    assert "nodeSet" in said


@pytest.mark.parametrize("case", CASES)
def test_it_makes_of_the_chart_what_was_asked_for(cluster: Cluster, case: str) -> None:
    wanted, space = CASES[case], f"logs-{case}"
    kinds = ("Secret", "Elasticsearch", "Kibana")
    objects = [one for one in rendered(case) if one["kind"] in kinds]
    assert cluster.apply(objects, space) == ""

    apps = f"/apis/apps/v1/namespaces/{space}"
    store = cluster.awaited(f"{apps}/statefulsets/clusterous-es-default")["spec"]
    page = cluster.awaited(f"{apps}/deployments/clusterous-kb")["spec"]
    for service in ("clusterous-es-http", "clusterous-kb-http"):
        cluster.awaited(f"/api/v1/namespaces/{space}/services/{service}")
    for secret in ("clusterous-es-elastic-user", "clusterous-kb-http-certs-public"):
        cluster.awaited(f"/api/v1/namespaces/{space}/secrets/{secret}")

    assert store["replicas"] == page["replicas"] == 1
    assert memory(store, "elasticsearch") == wanted.memory
    assert memory(page, "kibana") == wanted.page
    (claim,) = store["volumeClaimTemplates"]
    asked = claim["spec"]["resources"]["requests"]["storage"]
    assert asked == disk(rendered(case))
    assert int(asked.removesuffix("Gi")) >= wanted.size
    for spec in (store, page):
        selector = spec["template"]["spec"].get("nodeSelector") or None
        assert selector == wanted.selector
    if case == "system":
        assert store["template"]["metadata"]["annotations"]["a"] == "b"


def memory(spec: Object, name: str) -> str:
    """Return what a container asks for, which is also what it may use."""
    (container,) = [one for one in spec["template"]["spec"]["containers"] if one["name"] == name]
    resources = container["resources"]
    assert resources["limits"]["memory"] == resources["requests"]["memory"]
    return str(resources["requests"]["memory"])


def disk(objects: list[Object]) -> str:
    (stack,) = [one for one in objects if one["kind"] == "Elasticsearch"]
    (nodes,) = stack["spec"]["nodeSets"]
    (claim,) = nodes["volumeClaimTemplates"]
    return str(claim["spec"]["resources"]["requests"]["storage"])
