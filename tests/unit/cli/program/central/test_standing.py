"""How central logging stands, by what the API server tells of its objects."""

from typing import Any

import pytest

from clusterous_cli.program.central import standing
from clusterous_cli.program.central.standing import Part


def workload(component: str, **status: int) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app.kubernetes.io/component": component}},
        "spec": {"replicas": 1},
        "status": status,
    }


COLLECTORS = workload("collector", desiredNumberScheduled=3, numberReady=2)
STORE = workload("store", readyReplicas=1)
KIBANA = {
    "metadata": {"labels": {"kibana.k8s.elastic.co/name": "clusterous"}},
    "spec": {"replicas": 1},
    "status": {},
}


def test_each_part_is_told_by_what_it_is_for() -> None:
    found = standing.read([COLLECTORS, KIBANA, STORE, workload("operator", readyReplicas=1)])

    assert found == (
        Part(name="store", ready=1, wanted=1),
        Part(name="page", ready=0, wanted=1),
        Part(name="collector", ready=2, wanted=3),
    )
    assert standing.data(found)["collectors"] == {"ready": 2, "wanted": 3}


@pytest.mark.parametrize(
    ("workloads", "ours", "late"),
    [
        pytest.param([], True, "store starts", id="nothing yet"),
        pytest.param([STORE], True, "the collectors are still to come", id="no collectors"),
        pytest.param([STORE, COLLECTORS], True, "collectors: 2 of 3 ready", id="not all"),
        pytest.param(
            [STORE, workload("collector", desiredNumberScheduled=3, numberReady=3), KIBANA],
            True,
            "page: 0 of 1 ready",
            id="the page",
        ),
        pytest.param(
            [workload("collector", desiredNumberScheduled=1, numberReady=1)], False, "", id="yours"
        ),
    ],
)
def test_what_is_late_is_named(workloads: list[dict[str, Any]], ours: bool, late: str) -> None:
    assert standing.missing(standing.read(workloads), ours=ours) == late
