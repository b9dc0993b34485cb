"""What one app asks for, and the API server takes, stops the operator for nobody else."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from clusterous_api import names
from tests.cluster.conftest import Lab, Object, Operator

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

HOST = "kubernetes.io/hostname"


def lease(lab: Lab) -> Object:
    """Return what the Lease says."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{names.NAMESPACE}/leases/{names.LEASE}"
    found: Object = lab.plane.api("GET", path)["spec"]
    return found


def lost(operator: Operator) -> int:
    """Return how often the operator has lost its Lease so far."""
    return operator.log.read_text().count("has lost the Lease")


def serves(lab: Lab, name: str) -> None:
    """Make another app, and see it come up."""
    lab.create(name, master={})
    lab.until_condition("Ready", name=name, seconds=30)


def test_a_count_that_takes_too_long_holds_up_nobody(lab: Lab, operator: Operator) -> None:
    pool = "crowd"
    for index in range(32):
        lab.add_node(f"{pool}-{index}", pool)
    rules = [
        {
            "topologyKey": HOST,
            "maxSkew": skew,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {names.LABEL_APP: "hostile"}},
        }
        for skew in range(1_000, 1_020)
    ]
    one: dict[str, Any] = {
        "fill": True,
        "resources": {"requests": {"cpu": "1m"}},
        "placement": {"pool": pool},
        "template": {"spec": {"topologySpreadConstraints": rules}},
    }
    before, lost_before = lease(lab), lost(operator)

    lab.create("hostile", components=[{"name": f"c{index}", **one} for index in range(16)])
    for index in range(3):
        serves(lab, f"other-{index}")
        lab.change("hostile", imagePullSecrets=[{"name": f"change-{index}"}])
    told = "takes too long to count"
    lab.until(lambda: told in lab.status("hostile").get("message", ""), "a word to who asked")
    lab.until_condition("Stalled", name="hostile")

    after = lease(lab)
    kept = ("holderIdentity", "leaseTransitions")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert lost(operator) == lost_before


@pytest.fixture
def deep_reader() -> Iterator[None]:
    """Let the test itself read what is nested without end."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(30_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep_reader")
@pytest.mark.parametrize("depth", [200, 4_000])
def test_what_is_nested_without_end_holds_up_nobody(
    lab: Lab, operator: Operator, depth: int
) -> None:
    deep: dict[str, Any] = {}
    for _ in range(depth):
        deep = {"a": deep}
    lost_before = lost(operator)

    lab.create("deep", master={"template": {"spec": deep}})
    serves(lab, "other")

    told = "nested more than"
    lab.until(lambda: told in lab.status("deep").get("message", ""), "a word to who asked")
    assert lost(operator) == lost_before

    operator.end()
    operator.start()
    serves(lab, "after")
