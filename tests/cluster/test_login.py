"""The operator outside of a cluster: kubeconfigs whose credentials a helper gives."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from tests import issuer, ports
from tests.cluster import controlplane
from tests.cluster.conftest import SYSTEM, Lab, Operator, equipped, install
from tests.cluster.controlplane import ControlPlane
from tests.contract import charting
from tests.issuer import Issuer

pytestmark = pytest.mark.cluster

ACCOUNT = "clusterous-operator"
EXEC = "client.authentication.k8s.io/v1"
IMPORTS = {"PYTHONPROFILEIMPORTTIME": "1"}  # Python says each import on its standard error


@dataclass(frozen=True, kw_only=True)
class Site:
    """A control plane of its own, for the others' operator would lead here, and its issuer."""

    plane: ControlPlane
    issuer: Issuer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("outside")
    with issuer.running() as served:
        (home / "issuer.crt").write_bytes(served.ca_pem)
        flags = (
            f"--oidc-issuer-url={served.url}",
            f"--oidc-client-id={issuer.CLIENT}",
            f"--oidc-ca-file={home}/issuer.crt",
            "--oidc-username-prefix=-",
        )
        with equipped(home, controlplane.Options(apiserver=flags)) as plane:
            for manifest in charting.render():
                if manifest["kind"].endswith("Binding"):
                    install(plane, for_user(manifest, served.name))
            yield Site(plane=plane, issuer=served)


def for_user(binding: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The same rights for somebody whom the issuer knows."""
    metadata = {**binding["metadata"], "name": f"{binding['metadata']['name']}-user"}
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}
    return {**binding, "metadata": metadata, "subjects": [subject]}


def lab(plane: ControlPlane, name: str) -> Lab:
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    made = Lab(plane=plane, namespace=name)
    made.until(lambda: bool(made.all("serviceaccounts")), "the service account")
    return made


@contextmanager
def outside(plane: ControlPlane, place: Path, user: Mapping[str, Any]) -> Iterator[Operator]:
    """The operator with a kubeconfig of this user."""
    path = place / "kubeconfig"
    controlplane.write_kubeconfig(path, plane.port, plane.ca_pem, user)
    started = Operator(
        plane=plane, port=ports.free(), log=place / "log", kubeconfig=path, environment=IMPORTS
    )
    started.start()
    try:
        yield started
    finally:
        started.end()


def imported(operator: Operator) -> set[str]:
    """The modules that the operator has loaded (or kopf tried to, in vain, of `kubernetes`)."""
    told = operator.log.read_text(errors="replace").splitlines()
    return {line.rpartition("|")[2].strip() for line in told if line.startswith("import time:")}


def token(plane: ControlPlane, secret: str) -> str:
    """A token of the operator's account that is good for as long as *secret* is there."""
    made = plane.api("POST", f"{SYSTEM}/secrets", {"metadata": {"name": secret}})
    bound = {"kind": "Secret", "apiVersion": "v1", "name": secret, "uid": made["metadata"]["uid"]}
    path = f"{SYSTEM}/serviceaccounts/{ACCOUNT}/token"
    return str(plane.api("POST", path, {"spec": {"boundObjectRef": bound}})["status"]["token"])


def give(place: Path, words: str) -> None:
    said = {"apiVersion": EXEC, "kind": "ExecCredential", "status": {"token": words}}
    (place / "partial").write_text(json.dumps(said))
    (place / "partial").replace(place / "said")


def test_a_written_token_needs_no_kubernetes_package(site: Site, tmp_path: Path) -> None:
    user = {"token": token(site.plane, "written")}

    with outside(site.plane, tmp_path, user) as operator:
        assert "kopf" in imported(operator)
        assert "kubernetes" not in imported(operator)


def test_a_plugin_logs_in_and_does_so_again_once_its_token_is_refused(
    site: Site, tmp_path: Path
) -> None:
    plane, here = site.plane, lab(site.plane, "plugin")
    script = f"echo asked >>{tmp_path}/asked; cat {tmp_path}/said"
    user = {"exec": {"apiVersion": EXEC, "command": "bash", "args": ["-c", script]}}
    give(tmp_path, token(plane, "first"))

    with outside(plane, tmp_path, user) as operator:
        here.create(master={})
        here.until_condition("Ready")
        asked = (tmp_path / "asked").read_text()
        give(tmp_path, token(plane, "second"))
        # The API server remembers for ten seconds whom it has let in.
        plane.api("DELETE", f"{SYSTEM}/secrets/first")
        here.until(lambda: (tmp_path / "asked").read_text() != asked, "another log-in")
        here.change(workers={"replicas": 1})
        here.until(lambda: here.status().get("workers") == "1/1", "the worker")

        assert {"kubernetes", "kubernetes.aio.config"} <= imported(operator)


def test_an_expired_token_of_an_issuer_is_refreshed(site: Site, tmp_path: Path) -> None:
    here = lab(site.plane, "issuer")
    known = base64.b64encode(site.issuer.ca_pem).decode()
    settings = site.issuer.settings(**{"idp-certificate-authority-data": known})
    user = {"auth-provider": {"name": "oidc", "config": settings}}

    with outside(site.plane, tmp_path, user):
        here.create(master={})
        here.until_condition("Ready")

    assert site.issuer.asked == ["refresh-0"]
    managers = here.get("deployments", "sim-master")["metadata"]["managedFields"]
    assert names.FIELD_MANAGER in {one["manager"] for one in managers}
