"""How central logging stands, by what the API server tells of its objects."""

from typing import Any

import pytest

from clusterous_cli.program.central import standing
from clusterous_cli.program.central.standing import Disk, Part


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


def node(name: str, ready: str | None) -> dict[str, Any]:
    conditions = [{"type": "DiskPressure", "status": "False"}]
    conditions += [{"type": "Ready", "status": ready}] if ready else []
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def test_a_node_that_does_not_answer_is_named_and_not_waited_for() -> None:
    nodes = [node("c", "True"), node("w2", "Unknown"), node("w1", "False"), node("w3", None)]
    collectors = workload("collector", desiredNumberScheduled=4, numberReady=1)

    gone = standing.away(nodes)
    store, part = standing.read([STORE, collectors], gone)

    assert gone == ["w1", "w2", "w3"]
    assert store == Part(name="store", ready=1, wanted=1)
    assert part == Part(name="collector", ready=1, wanted=1, away=("w1", "w2", "w3"))
    assert standing.missing([store, part], ours=True) == ""
    assert part.words.startswith("1 of 1; no answer from w1, w2, w3: what is said there comes")
    assert standing.data([part]) == {
        "collectors": {"ready": 1, "wanted": 1, "away": ["w1", "w2", "w3"]}
    }


def test_what_a_lost_node_still_counts_for_makes_no_other_ready() -> None:
    lost = workload("collector", desiredNumberScheduled=3, numberReady=3)
    late = workload("collector", desiredNumberScheduled=3, numberReady=1)

    assert standing.read([lost], ["w1"])[0].ready == 2
    assert standing.missing(standing.read([STORE, late], ["w1"]), ours=True) == (
        "collectors: 1 of 2 ready"
    )
    assert not standing.read([late], ["c", "w1", "w2"])[0].is_ready, "none is there at all"


METRICS = """\
vl_max_disk_space_usage_bytes{path="/data/store"} 17179869184
vl_free_disk_space_bytes{path="/data/store"} 8589934592
vl_storage_is_read_only{path="/data/store"} 0
vl_data_size_bytes{type="indexdb"} 536870912
vl_data_size_bytes{type="storage"} 1.610612736e+09
go_gc_duration_seconds{quantile="0"} 1.2e-05
# a comment
"""


def test_it_is_said_how_much_the_store_holds_and_may() -> None:
    found = standing.disk(METRICS)

    assert found == Disk(used=2 << 30, most=16 << 30, is_full=False)
    assert found.words == "2.0 of 16 GiB"


def test_a_store_that_takes_nothing_more_says_so_and_what_to_do() -> None:
    found = standing.disk(
        METRICS.replace('only{path="/data/store"} 0', 'only{path="/data/store"} 1')
    )

    assert found is not None
    assert "store full" in found.words
    assert "clusterous logging off, then on" in found.words


def test_without_a_limit_the_disk_is_one() -> None:
    found = standing.disk(METRICS.partition("\n")[2])

    assert found == Disk(used=2 << 30, most=10 << 30, is_full=False)


def test_what_says_nothing_of_the_kind_has_no_disk() -> None:
    assert standing.disk("") is None


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
