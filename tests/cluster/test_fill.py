"""How many workers fill a pool, by our count and the real scheduler: so many, not one more."""

from typing import Any

import pytest

from clusterous_api import names
from tests.cluster.conftest import Lab

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

HOST = "kubernetes.io/hostname"
ONE_CPU = {"resources": {"requests": {"cpu": "1"}}}
WORKERS = {"matchLabels": {names.LABEL_COMPONENT: names.WORKERS}}
ALONE = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": HOST, "labelSelector": WORKERS}
        ]
    }
}
EVEN = {
    "topologyKey": HOST,
    "maxSkew": 1,
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": WORKERS,
}
PORT = {"containerPort": 80, "hostPort": 8080}


def init(cpu: str, **more: Any) -> dict[str, Any]:
    """Return a container that runs before the workers, or beside them."""
    asks = {"resources": {"requests": {"cpu": cpu}}}
    return {"initContainers": [{"name": "init", "image": "example.org/init:1", **asks, **more}]}


# On two nodes of 4 CPUs, of which the master takes two on the first.
@pytest.mark.parametrize(
    ("spec", "count"),
    [
        pytest.param({}, 6, id="cpu"),
        pytest.param({"containers": [{"name": "workers", "ports": [PORT]}]}, 2, id="port"),
        pytest.param({"affinity": ALONE}, 2, id="alone"),
        pytest.param({"topologySpreadConstraints": [EVEN]}, 5, id="even"),
        pytest.param(init("2"), 3, id="init"),
        pytest.param(init("1", restartPolicy="Always"), 3, id="sidecar"),
    ],
)
def test_fills_with_as_many_as_the_scheduler_places(
    lab: Lab, spec: dict[str, Any], count: int, request: pytest.FixtureRequest
) -> None:
    pool = f"fill-{request.node.callspec.id}"
    lab.add_node(f"{pool}-a", pool)
    lab.add_node(f"{pool}-b", pool)
    on_a = {
        "resources": {"requests": {"cpu": "2"}},
        "placement": {"nodeSelector": {HOST: f"{pool}-a"}},
    }

    in_pool = {"placement": {"pool": pool}}
    lab.create(master=on_a, workers={**ONE_CPU, **in_pool, "template": {"spec": spec}})
    lab.until(lambda: lab.status().get("workers") == f"{count}/{count}", f"{count} workers")
    lab.until_condition("Ready")

    lab.change(workers={"replicas": count + 1})
    lab.until(lambda: lab.status()["workers"] == f"{count}/{count + 1}", "one that waits")
    lab.until(lambda: "1 waits" in lab.status()["message"], "why")


def test_a_master_that_needs_a_whole_node_has_it_before_workers_spread_over_all(lab: Lab) -> None:
    in_pool = {"placement": {"pool": "whole"}}
    for name in ("whole-a", "whole-b", "whole-c"):
        lab.add_node(name, "whole")
    whole = {"resources": {"requests": {"cpu": "4"}}}

    lab.create(master={**whole, **in_pool}, workers={**ONE_CPU, **in_pool})

    lab.until(lambda: lab.status().get("workers") == "8/8", "workers on the other two nodes")
    lab.until_condition("Ready")
