"""What the status says of a component where little is told, or much of what is there is others'."""

from decimal import Decimal

from clusterous_api import names
from tests.unit.operator.making import FakeApi, make_app, make_node, make_pod, settle, summary

NO_PLACE = ("Unschedulable", "0/2 nodes are available")


def test_a_count_that_is_not_told_is_none() -> None:
    app, api = make_app(workers={"replicas": 2}), FakeApi()
    settle(app, api)
    api.objects["Deployment", "sim-workers"]["status"] = {"observedGeneration": 1}

    assert summary(app, api)["components"][1]["updated"] == 0


def test_no_pods_wanted_and_none_told_is_ready() -> None:
    app, api = make_app(workers={"replicas": 0}), FakeApi()
    settle(app, api)
    api.run()
    settle(app, api)
    api.run()
    api.objects["Deployment", "sim-workers"]["status"] = {"observedGeneration": 9}

    assert summary(app, api)["conditions"]["Ready"]["status"] == "True"


def test_where_no_pod_is_counted_yet_no_update_waits() -> None:
    app, api = make_app(workers={"replicas": 2, "strategy": {"maxUnavailable": 0}}), FakeApi()
    settle(app, api)
    api.objects["Deployment", "sim-workers"]["status"] = {"observedGeneration": 1}
    waiting = make_pod("workers", node=None, trouble=NO_PLACE, requests={"cpu": Decimal(8)})
    api.pods = (make_pod(), make_pod("workers"), waiting)

    told = summary(app, api)["components"][1]["reason"]

    assert told.endswith("needs 8 CPUs and the largest has 4 CPUs")


def test_nodes_that_may_not_be_used_are_not_measured() -> None:
    app, api = make_app(master={"placement": {"pool": "small"}}), FakeApi()
    settle(app, api)
    api.nodes = (
        make_node("small", labels={names.LABEL_POOL: "small"}),
        make_node("large", labels={names.LABEL_POOL: "large"}, room={"cpu": "64"}),
    )
    api.pods = (make_pod(node=None, trouble=NO_PLACE, requests={"cpu": Decimal(8)}),)

    told = summary(app, api)["components"][0]["reason"]

    assert told == "1 waits: no node is large enough; needs 8 CPUs and the largest has 4 CPUs"


def test_of_failed_pods_the_newest_tells() -> None:
    app, api = make_app(run="Batch"), FakeApi()
    settle(app, api)
    api.objects["Job", "sim-master"]["status"] = {"failed": 2}
    old = make_pod(ended=True, trouble=("Crash", "crashed with exit code 1"))
    new = make_pod(ended=True, trouble=("Crash", "crashed with exit code 2"))
    api.pods = (new, old)

    assert summary(app, api)["components"][0]["reason"] == "crashed with exit code 2"


def test_a_lost_pod_of_another_component_is_not_told_of_this_one() -> None:
    app, api = make_app(run="Batch", workers={"replicas": 1}), FakeApi()
    settle(app, api)
    api.nodes = (make_node("n1", answers=False, schedulable=False), make_node("n2"))
    api.pods = (make_pod("workers", node="n1", ready=False), make_pod(node="n2", ready=False))

    assert "reason" not in summary(app, api)["components"][0]
