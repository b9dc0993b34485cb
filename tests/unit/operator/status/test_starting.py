"""Pods that have their places and do not start, and words while things are merely on their way."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from clusterous_operator.cache import observed
from clusterous_operator.decisions.counting import Size
from clusterous_operator.status import appstatus, starting
from tests.unit.operator.making import NOW, FakeApi, make_app, make_pod, settle, summary

PLACED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": NOW}
CREATING = {"state": {"waiting": {"reason": "ContainerCreating"}}}
RUNS: dict[str, Any] = {"state": {"running": {}}}
ENDED = {"state": {"terminated": {"exitCode": 0}}}


def pod(**status: Any) -> observed.Pod:
    body = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": status}
    return observed.pod(body)


@pytest.mark.parametrize(
    ("status", "since"),
    [
        pytest.param({"conditions": [PLACED]}, NOW, id="no word of its containers"),
        pytest.param(
            {"phase": "Pending", "conditions": [PLACED], "containerStatuses": [CREATING]},
            NOW,
            id="creating",
        ),
        pytest.param({"phase": "Pending"}, "", id="without a place"),
        pytest.param({"phase": "Running", "conditions": [PLACED]}, "", id="runs"),
        pytest.param(
            {"phase": "Pending", "conditions": [PLACED], "initContainerStatuses": [RUNS]},
            "",
            id="its first container runs",
        ),
        pytest.param(
            {"phase": "Pending", "conditions": [PLACED], "initContainerStatuses": [ENDED]},
            "",
            id="its first container has run",
        ),
    ],
)
def test_since_when_a_pod_has_not_started(status: dict[str, Any], since: str) -> None:
    assert pod(**status).unstarted_since == since


@pytest.mark.parametrize(("seconds", "reason"), [(59, "Progressing"), (60, "Starting")])
def test_a_pod_that_does_not_start_is_named_after_a_minute(seconds: int, reason: str) -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    late = make_pod(name="sim-master-x", ready=False, begun=False, unstarted_since=NOW)
    api.pods = (late,)
    now = datetime.fromisoformat(NOW) + timedelta(seconds=seconds)
    look = dataclasses.replace(api.observe(app), now=now)

    found = appstatus.summarize(look, Size(), {}, NOW)

    ready = next(one for one in found["conditions"] if one["type"] == "Ready")
    assert ready["reason"] == reason
    assert ("`kubectl describe pod sim-master-x`" in ready["message"]) == (reason == "Starting")
    assert starting.told_in(look) == (1.0 if seconds == 59 else None)
    assert found["components"][0]["failed"] == 0


def up(**spec: Any) -> tuple[Any, FakeApi]:
    app, api = make_app(**spec), FakeApi()
    settle(app, api)
    api.run()
    settle(app, api)
    api.run()
    return app, api


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": {"observedGeneration": 0}}, "the cluster has not taken a change up yet"),
        ({"metadata": {"deletionTimestamp": NOW}}, "it is being removed"),
    ],
    ids=["a change", "a removal"],
)
def test_what_is_not_ready_never_says_no_more_than_that_it_is(
    change: dict[str, dict[str, Any]], said: str
) -> None:
    app, api = up()
    for part, fields in change.items():
        api.objects["Deployment", "sim-master"][part] |= fields

    assert summary(app, api)["message"] == f"master: 1 of 1 ready; {said}"


def test_a_claim_that_is_being_bound_is_not_called_anothers() -> None:
    app, api = up()
    claim = api.objects[observed.CLAIM, "sim-data"]
    claim["spec"]["volumeName"] = "pvc-1"
    claim["metadata"]["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    claim["status"] = {"phase": "Pending"}

    told = summary(app, api)["conditions"]["VolumeBound"]["message"]

    assert told == "The claim sim-data is Pending: it is being bound to volume pvc-1."


@pytest.mark.parametrize("is_there", [True, False])
def test_a_claim_that_the_scheduler_does_not_know_yet_is_waited_for(is_there: bool) -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    words = '0/2 nodes are available: persistentvolumeclaim "sim-data" not found'
    api.pods = (make_pod(node=None, trouble=("Unschedulable", words)),)
    if not is_there:
        del api.objects[observed.CLAIM, "sim-data"]

    reason = summary(app, api)["conditions"]["Ready"]["reason"]

    assert (reason == "VolumePending") == is_there
