"""The machine room on a real API server: who writes, what is served, what is too old."""

import copy
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterous_api import names
from tests import ports
from tests.cluster.conftest import Lab, Operator, install
from tests.cluster.controlplane import ApiError, ControlPlane
from tests.contract import charting

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

MASTER = {"ports": [{"name": "http", "port": 8080}]}
WORKERS = {"replicas": 2}
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{names.NAMESPACE}/leases/{names.LEASE}"


def holder(plane: ControlPlane) -> str:
    """Return who holds the Lease."""
    return str(plane.api("GET", LEASE)["spec"].get("holderIdentity", ""))


def identity(operator: Operator) -> str:
    return f"operator-{operator.port}"


def leads(operator: Operator) -> bool:
    """Tell whether an operator says that it holds the Lease."""
    found = re.search(r"^leader_election_master_status\S* (\S+)$", operator.ask("/metrics"), re.M)
    return found is not None and float(found[1]) == 1


Started = Callable[..., Operator]


@pytest.fixture
def another(shared_plane: ControlPlane, tmp_path: Path) -> Iterator[Started]:
    """Start further operators, which end with the test."""
    started: list[Operator] = []

    def start(*flags: str, account: str = "clusterous-operator") -> Operator:
        log = tmp_path / f"log-{len(started)}"
        one = Operator(plane=shared_plane, port=ports.free(), log=log, flags=flags, account=account)
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        if one.process is not None:
            one.end()


def test_a_standby_is_ready_and_writes_nothing(
    lab: Lab, operator: Operator, another: Started
) -> None:
    standby = another()
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")

    assert holder(lab.plane) == identity(operator)
    assert (leads(operator), leads(standby)) == (True, False)
    assert operator.writes() > 0
    assert standby.writes() == 0


def test_the_standby_takes_over_from_a_killed_one(
    lab: Lab, operator: Operator, another: Started
) -> None:
    standby = another()
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")

    operator.end(signal.SIGKILL)
    try:
        lab.change(image="example.org/sim:2")
        lab.until(lambda: holder(lab.plane) == identity(standby), "the standby", 60)
        spec = lab.plane.api("GET", LEASE)["spec"]
        lab.until_condition("Ready")
        code = standby.end()
    finally:
        operator.start()

    assert code == 0
    assert spec["leaseDurationSeconds"] == 10  # of the fifteen that a failover may take


def test_a_lease_that_is_given_up_is_taken_at_once(
    lab: Lab, operator: Operator, another: Started
) -> None:
    standby = another()
    transitions = lab.plane.api("GET", LEASE)["spec"]["leaseTransitions"]

    code = operator.end(signal.SIGTERM)
    try:
        lab.until(lambda: leads(standby), "the standby", 60)
        spec = lab.plane.api("GET", LEASE)["spec"]
        standby.end()
    finally:
        operator.start()

    assert code == 0
    assert spec["holderIdentity"] == identity(standby)
    assert spec["leaseTransitions"] == transitions + 1


def test_an_operator_that_was_put_out_of_its_lease_writes_nothing(
    lab: Lab, operator: Operator
) -> None:
    lab.create(master=MASTER)
    lab.until_condition("Ready")
    lab.until(operator.is_quiet, "the last event")
    before = operator.writes()
    theft: dict[str, Any] = {"holderIdentity": "somebody-else", "leaseDurationSeconds": 6}

    lab.plane.api("PATCH", LEASE, {"spec": theft})
    lab.until(lambda: not leads(operator), "it to notice")
    lab.change(image="example.org/sim:2")
    lab.until(lambda: leads(operator) or operator.writes() > before, "the end of that Lease")
    is_first = leads(operator)

    lab.until_condition("Ready")
    assert is_first


def install_account(plane: ControlPlane, account: str, *values: str) -> None:
    """Make the chart's account and rights once more, under another name."""
    kinds = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    for one in charting.render(f"serviceAccount.name={account}", *values):
        if one["kind"] in kinds:
            text = json.dumps(one).replace('"name": "clusterous-operator', f'"name": "{account}')
            install(plane, json.loads(text))


def label(lab: Lab, value: str | None) -> None:
    """Give the namespace the label `served`, or take it away."""
    path = f"/api/v1/namespaces/{lab.namespace}"
    lab.plane.api("PATCH", path, {"metadata": {"labels": {"served": value}}})


def test_serves_the_namespaces_that_carry_its_labels(
    lab: Lab, operator: Operator, another: Started
) -> None:
    install_account(lab.plane, "labelled", "namespaceSelector=served=yes")
    other = Lab(plane=lab.plane, namespace=f"{lab.namespace}-b")
    labels = {"name": other.namespace, "labels": {"served": "yes"}}
    lab.plane.api("POST", "/api/v1/namespaces", {"metadata": labels})
    other.until(lambda: bool(other.all("serviceaccounts")), "the service account")
    operator.end()
    try:
        chosen = another("--namespace-selector=served=yes", account="labelled")
        lab.create(master=MASTER)
        other.create(master=MASTER)
        other.until_condition("Ready")
        before = lab.status()

        label(lab, "yes")
        lab.until_condition("Ready")

        label(lab, None)
        lab.change(image="example.org/sim:2")
        other.change(image="example.org/sim:2")
        other.until_condition("Ready")
        after = lab.get("deployments", "sim-master")["spec"]["template"]["spec"]
        other.delete("clusterousapps", "sim")
        code = chosen.end()
    finally:
        operator.start()

    assert code == 0
    assert before == {}
    assert after["containers"][0]["image"] == "example.org/sim:1"
    assert "forbidden" not in chosen.log.read_text()


def test_touches_nothing_while_the_crd_is_older(lab: Lab, operator: Operator) -> None:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{names.PLURAL}.{names.GROUP}"
    lab.create(master=MASTER, components=[{"name": "db"}])
    lab.until_condition("Ready")
    whole = lab.plane.api("GET", path)
    older = copy.deepcopy(whole)
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["logging"]

    operator.end()
    try:
        lab.plane.api("PUT", path, older)
        lab.change(components=None, image="example.org/sim:2")
        operator.start()
        lab.until_condition("Stalled")
        told = lab.condition("Stalled")
        kept = lab.exists("deployments", "sim-db")
        lab.until(operator.is_quiet, "quiet")
        writes = operator.writes()
    finally:
        version = lab.plane.api("GET", path)["metadata"]["resourceVersion"]
        metadata = {**whole["metadata"], "resourceVersion": version}
        lab.plane.api("PUT", path, {**whole, "metadata": metadata})

    lab.until(lambda: not lab.exists("deployments", "sim-db"), "its end, now that it is sure")
    lab.until_condition("Ready")
    assert told["reason"] == "CRDTooOld"
    assert "it lacks spec.logging" in told["message"]
    assert kept
    assert writes == 1
    assert lab.condition("Stalled")["status"] == "False"


def test_tells_that_it_is_well_and_what_it_does(lab: Lab, operator: Operator) -> None:
    lab.create(master=MASTER, workers=WORKERS)
    lab.until_condition("Ready")

    figures = operator.ask("/metrics")

    assert operator.ask("/healthz") == "ok\n"
    app = f'namespace="{lab.namespace}",name="sim"'
    for wanted in (
        'leader_election_master_status{name="clusterous-operator"} 1.0',
        'rest_client_requests_total{code="200",method="PATCH"}',
        'clusterous_watch_age_seconds{kind="Pod",namespace=""}',
        'clusterous_cache_objects{kind="Deployment",namespace=""}',
        f'clusterous_app_info{{{app},run="Service",generation="1"}} 1',
        f'clusterous_app_condition{{{app},type="Ready"}} 1',
        f'clusterous_app_replicas{{{app},component="workers",state="ready"}} 2',
        f"clusterous_app_ready_seconds{{{app}}}",
    ):
        assert wanted in figures


def test_a_restricted_namespace_admits_the_operators_pod(lab: Lab) -> None:
    (deployment,) = (one for one in charting.render() if one["kind"] == "Deployment")
    pod = {
        "metadata": {"name": "operator"},
        "spec": {**deployment["spec"]["template"]["spec"], "serviceAccountName": "default"},
    }
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    home = f"/api/v1/namespaces/{lab.namespace}"
    lab.plane.api("PATCH", home, {"metadata": {"labels": restricted}})

    lab.plane.api("POST", f"{lab.path('pods')}?dryRun=All", pod)
    pod["spec"]["securityContext"] = {}
    with pytest.raises(ApiError, match="restricted"):
        lab.plane.api("POST", f"{lab.path('pods')}?dryRun=All", pod)
