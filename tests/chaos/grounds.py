"""Where chaos happens: a real control plane, our CRD, the chart's rights, and the recorder."""

import contextlib
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clusterous_api import names
from tests.chaos import background
from tests.chaos.background import Background
from tests.chaos.proxy import Proxy, Write
from tests.chaos.recorder import Recorder
from tests.cluster import controlplane, metricsapi
from tests.cluster.conftest import ROOT, SYSTEM, install, served
from tests.cluster.controlplane import ControlPlane
from tests.contract import charting
from tests.region.parts import parts

POOL = "base"  # the nodes of every scenario that does not bring its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What all scenarios share."""

    plane: ControlPlane
    background: Background
    recorder: Recorder
    home: Path
    chart: Sequence[Mapping[str, Any]]

    def token(self, account: str = "clusterous-operator") -> str:
        """Return a new token of the operator's account."""
        path = f"{SYSTEM}/serviceaccounts/{account}/token"
        answer = self.plane.api("POST", path, {"spec": {"expirationSeconds": 3600 * 24}})
        return str(answer["status"]["token"])

    def let_live_in(self, namespace: str) -> None:
        """Give the operator's account in *namespace* the rights that it has in its own, so that
        operators of several namespaces do not share a Lease."""
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        for manifest in self.chart:
            if manifest["kind"] in ("Role", "RoleBinding"):
                moved = {"name": manifest["metadata"]["name"], "namespace": namespace}
                path = f"{base}/{manifest['kind'].lower()}s"
                self.plane.api("POST", path, {**manifest, "metadata": moved})

    def proxy(self, name: str, noted: list[Write]) -> Proxy:
        """Return a new proxy that listens already."""
        made = Proxy(
            name=name,
            upstream=self.plane.url,
            # Trusts the server and shows no certificate: the operator's token must be all it has.
            tls=ssl.create_default_context(cadata=self.plane.ca_pem.decode()),
            clock=time.monotonic,
            noted=noted,
        )
        self.background.do(made.start())
        return made


@contextlib.contextmanager
def prepared(home: Path, nodes: int = 4) -> Iterator[Grounds]:
    """Keep the grounds while the block lasts."""
    found = parts.ensure(["kube", "kwok", "helm"], print)
    with (
        background.running() as behind,
        controlplane.start(home, kube=found.kube, kine=found.kube, kwok=found.kwok) as plane,
    ):
        plane.add_nodes(
            [f"base-{index}" for index in range(nodes)], labels={names.LABEL_POOL: POOL}
        )
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": names.NAMESPACE}})
        install(plane, yaml.safe_load((ROOT / "crds" / "clusterousapps.yaml").read_text()))
        chart = charting.render()
        for manifest in chart:
            if manifest["kind"] not in ("Deployment", "Service"):
                install(plane, manifest)
        plane.wait_until(lambda: served(plane), "our CRD")
        metricsapi.serve(plane)
        recorder = Recorder(plane.url, plane.tls)
        recorder.start(behind)
        yield Grounds(plane=plane, background=behind, recorder=recorder, home=home, chart=chart)
