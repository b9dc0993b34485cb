"""The status tells the truth: a table of situations and what each condition says in them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from clusterous_api import models
from clusterous_api.conditions import Type
from clusterous_api.models import App
from clusterous_operator.capacity import sizing
from clusterous_operator.decisions.counting import Size
from clusterous_operator.status import appstatus, conditions
from clusterous_operator.status.conditions import Condition
from tests.unit.operator.making import (
    NOW,
    FakeApi,
    make_app,
    make_node,
    make_pod,
    settle,
    summary,
)

WORKERS = {"replicas": 2}


def ready(app: App, api: FakeApi) -> None:
    settle(app, api)
    api.run()
    settle(app, api)
    api.run()


def fresh(app: App, api: FakeApi) -> None:
    settle(app, api)


def nothing(app: App, api: FakeApi) -> None:
    """Nothing has been made yet."""


def one_worker_short(app: App, api: FakeApi) -> None:
    ready(app, api)
    api.objects["Deployment", "sim-workers"]["status"]["readyReplicas"] = 1


def stale(app: App, api: FakeApi) -> None:
    ready(app, api)
    api.objects["Deployment", "sim-master"]["status"]["observedGeneration"] = 0


def old_pods(app: App, api: FakeApi) -> None:
    ready(app, api)
    api.objects["Deployment", "sim-workers"]["status"] |= {"replicas": 3, "updatedReplicas": 2}


def not_updated(app: App, api: FakeApi) -> None:
    ready(app, api)
    api.objects["Deployment", "sim-workers"]["status"] |= {"updatedReplicas": 0}


def crashing(app: App, api: FakeApi) -> None:
    fresh(app, api)
    api.pods = (make_pod(trouble=("Crash", "crashed with exit code 3")),)


def completed(app: App, api: FakeApi) -> None:
    ready(app, api)
    api.end_job("sim-master")
    settle(app, api)
    api.run()


def gave_up(app: App, api: FakeApi) -> None:
    ready(app, api)
    api.end_job("sim-master", "Failed", "Job has reached the specified backoff limit")
    settle(app, api)


def suspending(app: App, api: FakeApi) -> None:
    settle(app, api)
    api.objects["Deployment", "sim-master"]["status"] = {"replicas": 1}


Arrange = Callable[[App, FakeApi], None]


@pytest.mark.parametrize(
    ("spec", "arrange", "told"),
    [
        # Ready, Reconciling, Stalled, Suspended, Completed
        pytest.param({}, nothing, "FTFFF", id="before anything is made"),
        pytest.param({}, fresh, "FTFFF", id="just made"),
        pytest.param({}, ready, "TFFFF", id="all ready"),
        pytest.param({}, one_worker_short, "FTFFF", id="a worker is missing"),
        pytest.param({}, stale, "FTFFF", id="counts of an older generation"),
        pytest.param({}, old_pods, "FTFFF", id="old pods still there"),
        pytest.param({}, not_updated, "FTFFF", id="ready, but of the old template"),
        pytest.param({}, crashing, "FTFFF", id="crashing"),
        pytest.param({"run": "Batch"}, ready, "TFFFF", id="a batch at work"),
        pytest.param({"run": "Batch"}, completed, "TFFFT", id="a batch that is done"),
        pytest.param({"run": "Batch"}, gave_up, "FFTFF", id="a batch that gave up"),
        pytest.param({"suspend": True}, suspending, "FTFFF", id="suspending"),
        pytest.param({"suspend": True}, ready, "FFFTF", id="suspended"),
    ],
)
def test_conditions(spec: dict[str, Any], arrange: Arrange, told: str) -> None:
    app, api = make_app(workers=WORKERS, **spec), FakeApi()

    arrange(app, api)

    found = summary(app, api)["conditions"]
    shown = [found[kind]["status"][0] for kind in _TOLD]
    assert "".join(shown) == told


_TOLD = ("Ready", "Reconciling", "Stalled", "Suspended", "Completed")


@pytest.mark.parametrize("arrange", [nothing, fresh, ready, crashing])
def test_is_complete_from_the_first_write(arrange: Arrange) -> None:
    app, api = make_app(workers=WORKERS), FakeApi()

    arrange(app, api)

    found = summary(app, api)
    assert set(found["conditions"]) == {str(one) for one in Type}
    assert found["observedGeneration"] == 1


def test_counts_each_component() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()

    one_worker_short(app, api)

    found = summary(app, api)
    counts = {"updated": 1, "failed": 0, "restarts": 0}
    assert found["components"] == [
        {"name": "master", "desired": 1, "ready": 1, **counts},
        {
            "name": "workers",
            "desired": 2,
            "ready": 1,
            **counts,
            "updated": 2,
            "progress": "1 of 2 ready",
        },
    ]
    assert (found["master"], found["workers"], found["message"]) == (
        "1/1",
        "1/2",
        "workers: 1 of 2 ready",
    )


def test_names_the_first_trouble_in_words() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()

    crashing(app, api)

    found = summary(app, api)
    assert found["message"] == "master: crashed with exit code 3"
    assert found["components"][0]["failed"] == 1
    assert found["components"][0]["reason"] == "crashed with exit code 3"


def test_says_what_does_not_fit() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()
    ready(app, api)
    api.objects["Deployment", "sim-workers"]["status"]["readyReplicas"] = 1
    waiting = make_pod(
        "workers",
        node=None,
        trouble=("Unschedulable", "0/1 nodes are available"),
        requests={"cpu": Decimal(4)},
    )
    api.pods = (make_pod(requests={"cpu": Decimal(2)}), waiting)

    found = summary(app, api)

    told = "workers: 1 waits: no node fits; needs 4 CPUs and the largest has 2 CPUs free"
    assert found["message"] == told
    assert found["conditions"]["Ready"]["reason"] == "Unschedulable"


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        pytest.param(
            {"cpu": Decimal(8)},
            "1 waits: no node is large enough; needs 8 CPUs and the largest has 4 CPUs",
            id="larger than any node",
        ),
        pytest.param(
            {"nvidia.com/gpu": Decimal(1)},
            "1 waits: no node has nvidia.com/gpu; needs 1 nvidia.com/gpu",
            id="on no node",
        ),
        pytest.param({}, "1 waits: 0/1 nodes are available", id="as the scheduler says"),
    ],
)
def test_says_what_will_never_fit(requests: dict[str, Decimal], told: str) -> None:
    app, api = make_app(), FakeApi()
    fresh(app, api)
    trouble = ("Unschedulable", "0/1 nodes are available")
    api.pods = (make_pod(node=None, trouble=trouble, requests=requests),)

    assert summary(app, api)["components"][0]["reason"] == told


def test_what_waits_since_before_an_update_is_not_what_is_asked_for_now() -> None:
    app, api = make_app(master={"resources": {"requests": {"cpu": "3"}}}), FakeApi()
    fresh(app, api)
    trouble = ("Unschedulable", "no")
    api.pods = (
        make_pod("other", requests={"cpu": Decimal(2)}),
        make_pod(name="a-old", node=None, trouble=trouble, requests={"cpu": Decimal(8)}),
        make_pod(name="b-new", node=None, trouble=trouble, requests={"cpu": Decimal(3)}),
    )

    told = summary(app, api)["components"][0]["reason"]

    assert told == "1 waits: no node fits; needs 3 CPUs and the largest has 2 CPUs free"


def test_says_why_no_pod_is_made() -> None:
    app, api = make_app(), FakeApi()
    fresh(app, api)
    message = (
        'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=3, '
        "limited: pods=3"
    )
    refused = {"type": "ReplicaFailure", "status": "True", "message": message}
    refused["lastTransitionTime"] = NOW
    api.objects["Deployment", "sim-master"]["status"] = {"conditions": [refused]}

    found = summary(app, api)["conditions"]["Ready"]

    assert found["reason"] == "QuotaExceeded"
    assert found["message"] == (
        f"master: quota team was used up at {NOW}: it allowed pods 3, of which 3 were used; "
        "a pod needs 1 more"
    )


def test_what_broke_is_told_before_what_waits() -> None:
    app, api = (
        make_app(workers={**WORKERS, "dependsOn": [{"name": "db"}]}, components=[DB]),
        (FakeApi()),
    )
    fresh(app, api)
    api.pods = (
        make_pod(node=None, trouble=("Unschedulable", "no")),
        make_pod("db", trouble=("Crash", "crashed with exit code 1")),
    )

    found = summary(app, api)["conditions"]["Ready"]

    assert (found["reason"], found["message"]) == ("Crash", "db: crashed with exit code 1")


DB = {"name": "db"}


def test_a_pod_that_crashed_is_not_ready_whatever_its_deployment_says() -> None:
    app, api = make_app(), FakeApi()
    ready(app, api)
    api.pods = (make_pod(trouble=("Crash", "crashed with exit code 1")),)

    assert summary(app, api)["conditions"]["Ready"]["status"] == "False"


def test_names_the_node_that_is_lost() -> None:
    app, api = make_app(), FakeApi()
    fresh(app, api)
    api.nodes = (make_node("n1", answers=False, schedulable=False),)
    api.pods = (make_pod(node="n1", ready=False),)

    found = summary(app, api)["conditions"]["Ready"]

    assert found["reason"] == "NodeLost"
    assert found["message"] == "master: node n1 does not answer; its pods are being replaced"


GOES_ON = (
    "does not answer; it goes on when the node is back, or its Node object is removed "
    "(`kubectl delete node n1`)"
)


@pytest.mark.parametrize("deleting", [False, True])
def test_names_the_pod_of_a_batch_on_the_node_that_is_lost(deleting: bool) -> None:
    app, api = make_app(run="Batch"), FakeApi()
    fresh(app, api)
    api.objects["Job", "sim-master"]["status"] = {"terminating": 1, "failed": 1}
    api.nodes = (make_node("n1", answers=False, schedulable=False),)
    crashed = make_pod(ended=True, trouble=("Crash", "crashed with exit code 1"))
    lost = make_pod(name="sim-master-x", node="n1", ready=False, deleting=deleting)
    api.pods = (crashed, lost)

    found = summary(app, api)

    assert found["conditions"]["Ready"]["reason"] == "NodeLost"
    assert found["message"] == f"master: node n1, with pod sim-master-x, {GOES_ON}"
    assert "no pod has been made yet" not in str(found)


def test_tells_what_an_update_waits_for_whose_old_pod_cannot_end() -> None:
    app, api = make_app(), FakeApi()
    ready(app, api)
    api.objects["Deployment", "sim-master"]["status"] |= {"replicas": 0, "readyReplicas": 0}
    api.nodes = (make_node("n1", answers=False, schedulable=False),)
    api.pods = (make_pod(name="sim-master-x", node="n1", ready=False, deleting=True),)

    assert summary(app, api)["message"] == f"master: node n1, with pod sim-master-x, {GOES_ON}"


def test_says_nothing_of_a_lost_pod_that_has_been_replaced() -> None:
    app, api = make_app(), FakeApi()
    ready(app, api)
    api.nodes = (make_node("n1", answers=False, schedulable=False), make_node("n2"))
    api.pods = (make_pod(node="n1", ready=False, deleting=True), make_pod(node="n2"))

    found = summary(app, api)

    assert found["message"] == "Ready"
    assert "reason" not in found["components"][0]


def test_names_the_finalizer_that_holds_a_pod() -> None:
    app, api = make_app(run="Batch", suspend=True), FakeApi()
    fresh(app, api)
    api.pods = (make_pod(name="sim-master-x", deleting=True, held_by="example.org/audit"),)

    assert summary(app, api)["message"] == (
        "1 pod is still ending: pod sim-master-x is to end, but its finalizer example.org/audit "
        "holds it; it goes on when whoever set that takes it away."
    )


def test_a_pod_that_is_still_ending_has_been_made() -> None:
    app, api = make_app(run="Batch"), FakeApi()
    fresh(app, api)
    api.pods = (make_pod(deleting=True),)

    assert summary(app, api)["message"] == "master: 0 of 1 done; 1 pod is still ending"


@pytest.mark.parametrize(
    ("workers", "is_told"),
    [
        pytest.param({"replicas": 3}, True, id="a quarter of three is none"),
        pytest.param({"replicas": 4}, False, id="one of four may go"),
        pytest.param(
            {"replicas": 9, "strategy": {"maxUnavailable": "10%"}}, True, id="of nine a tenth"
        ),
        pytest.param({"replicas": 9, "strategy": {"maxUnavailable": 0}}, True, id="none may go"),
        pytest.param({"replicas": 2, "strategy": {"maxUnavailable": 1}}, False, id="one may go"),
        pytest.param({"replicas": 2, "strategy": {"type": "Recreate"}}, False, id="all go first"),
        pytest.param({"min": 2}, False, id="what fills makes room for itself"),
        pytest.param(
            {"min": 2, "strategy": {"maxSurge": 1}}, True, id="unless it is told to surge"
        ),
    ],
)
def test_an_update_that_finds_no_room_says_what_would_help(
    workers: dict[str, Any], is_told: bool
) -> None:
    app, api = make_app(workers=workers), FakeApi()
    ready(app, api)
    count = api.objects["Deployment", "sim-workers"]["spec"]["replicas"]
    status = api.objects["Deployment", "sim-workers"]["status"]
    waits = make_pod("workers", node=None, trouble=("Unschedulable", "0/1 nodes"))
    api.pods = (waits, make_pod("workers"))
    before = summary(app, api)["message"]
    status |= {"replicas": count + 1, "updatedReplicas": 1}

    after = summary(app, api)["message"]
    api.pods = (waits,)
    homeless = summary(app, api)["message"]

    words = "; the update needs room for one pod more, or strategy.maxUnavailable: 1"
    assert (words in before, words in after, words in homeless) == (False, is_told, False)


def test_tells_how_far_an_update_has_come() -> None:
    app, api = make_app(workers={"replicas": 10}), FakeApi()
    ready(app, api)
    api.objects["Deployment", "sim-workers"]["status"] |= {"updatedReplicas": 3, "replicas": 12}

    found = summary(app, api)

    assert found["components"][1]["progress"] == "3 of 10 updated"
    assert found["message"] == "workers: 3 of 10 updated"


def test_tells_that_an_update_is_held_back() -> None:
    app, api = make_app(workers={**WORKERS, "strategy": {"paused": True}}), FakeApi()
    ready(app, api)
    api.objects["Deployment", "sim-workers"]["status"] |= {"updatedReplicas": 0}

    assert summary(app, api)["message"] == "workers: paused; 0 of 2 updated"


def test_tells_how_a_batch_goes() -> None:
    app, api = make_app(run="Batch"), FakeApi()
    ready(app, api)
    api.objects["Job", "sim-master"]["status"] |= {"failed": 2}

    found = summary(app, api)["components"][0]

    assert (found["progress"], found["succeeded"]) == ("0 of 1 done, 2 of 7 tries failed", 0)


def test_a_job_that_says_it_is_done_has_all_its_pods_done() -> None:
    app, api = make_app(run="Batch"), FakeApi()
    ready(app, api)
    met = {"type": "SuccessCriteriaMet", "status": "True"}
    api.objects["Job", "sim-master"]["status"] = {"active": 0, "conditions": [met]}

    found = summary(app, api)["components"][0]

    assert (found["ready"], found["succeeded"]) == (1, 1)
    assert found["progress"] == "1 of 1 done"


def test_tells_that_a_batch_has_no_pod() -> None:
    app, api = make_app(run="Batch"), FakeApi()

    fresh(app, api)

    assert summary(app, api)["message"] == "master: 0 of 1 done; no pod has been made yet"


def test_what_waits_for_the_volume_says_for_what_the_volume_waits() -> None:
    app, api = make_app(sharedVolume={"claimName": "mine"}), FakeApi()
    fresh(app, api)
    unbound = "0/1 nodes: pod has unbound immediate PersistentVolumeClaims"
    api.pods = (make_pod(node=None, trouble=("Unschedulable", unbound)),)

    assert summary(app, api)["message"] == (
        "master: 1 waits for the volume to be bound. "
        "The claim mine does not exist; make it, or name another."
    )


def test_counts_restarts() -> None:
    app, api = make_app(), FakeApi()
    ready(app, api)
    api.pods = (make_pod(restarts=2), make_pod(restarts=1))

    assert summary(app, api)["components"][0]["restarts"] == 3


def test_is_not_suspended_before_the_last_pod_is_gone() -> None:
    app, api = make_app(suspend=True), FakeApi()
    ready(app, api)
    api.pods = (make_pod(deleting=True),)

    found = summary(app, api)

    assert found["conditions"]["Suspended"]["status"] == "False"
    assert found["message"] == "1 pod is still ending."


CLAIM = ("PersistentVolumeClaim", "sim-data")


@pytest.mark.parametrize(
    ("claim_spec", "claim_status", "told"),
    [
        pytest.param(
            {},
            {"phase": "Pending"},
            "Pending (20Gi, ReadWriteOnce): the cluster has no default storage class; name one",
            id="no class",
        ),
        pytest.param(
            {"storageClassName": "fast"},
            {"phase": "Pending"},
            "Pending: storage class fast has made no volume yet (20Gi, ReadWriteOnce); "
            "`kubectl describe pvc sim-data` shows what it says",
            id="not made yet",
        ),
        pytest.param(
            {"volumeName": "v"},
            {"phase": "Pending"},
            "Pending: volume v is not there, or is another's",
            id="no such volume",
        ),
        pytest.param({}, {"phase": "Lost"}, "Lost: its volume is gone", id="lost"),
        pytest.param(
            {},
            {"phase": "Bound", "conditions": [{"type": "Resizing", "status": "True"}]},
            "Bound; it is being resized",
            id="resizing",
        ),
        pytest.param(
            {},
            {
                "phase": "Bound",
                "conditions": [
                    {"type": "ControllerResizeError", "status": "True", "message": "no"}
                ],
            },
            "Bound; it cannot be resized: no",
            id="not resized",
        ),
    ],
)
def test_says_what_the_volume_waits_for(
    claim_spec: dict[str, Any], claim_status: dict[str, Any], told: str
) -> None:
    app, api = make_app(sharedVolume={"size": "20Gi"}), FakeApi()
    fresh(app, api)
    size = {"resources": {"requests": {"storage": "20Gi"}}}
    api.objects[CLAIM]["spec"] |= {**size, **claim_spec}
    api.objects[CLAIM]["status"] = claim_status

    found = summary(app, api)["conditions"]["VolumeBound"]

    assert found["message"] == f"The claim sim-data is {told}."
    assert found["status"] == str(claim_status["phase"] == "Bound")


def test_waits_are_no_failures() -> None:
    app, api = make_app(), FakeApi()
    fresh(app, api)
    api.pods = (make_pod(node=None, trouble=("Unschedulable", "no")),)

    assert summary(app, api)["components"][0]["failed"] == 0


def test_says_for_whom_a_component_waits() -> None:
    app = make_app(workers={**WORKERS, "dependsOn": [{"name": "master", "until": "Ready"}]})
    api = FakeApi()

    fresh(app, api)

    assert ("Deployment", "sim-workers") not in api.objects
    assert summary(app, api)["components"][1]["reason"] == "waits until master is ready"
    assert summary(app, api)["components"][1]["desired"] == 2


def test_the_three_conditions_have_one_reason() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()
    fresh(app, api)

    found = summary(app, api)["conditions"]

    assert {found[one]["reason"] for one in ("Ready", "Reconciling", "Stalled")} == {"Progressing"}


def test_a_dependency_starts_once_it_is_met_and_then_stays() -> None:
    app = make_app(workers={**WORKERS, "dependsOn": [{"name": "master"}]})
    api = FakeApi()
    fresh(app, api)
    api.run()
    settle(app, api)

    api.objects["Deployment", "sim-master"]["status"]["readyReplicas"] = 0
    settle(app, api)

    assert api.objects["Deployment", "sim-workers"]["spec"]["replicas"] == 2


def test_complete_waits_for_the_end_of_a_job() -> None:
    waits = [{"name": "prepare", "until": "Complete"}]
    app = make_app(master={"dependsOn": waits}, components=[{"name": "prepare"}])
    api = FakeApi()
    ready(app, api)
    before = ("Deployment", "sim-master") in api.objects

    api.end_job("sim-prepare")
    ready(app, api)

    assert (before, ("Deployment", "sim-master") in api.objects) == (False, True)
    assert summary(app, api)["conditions"]["Ready"]["status"] == "True"


def test_a_batch_that_is_done_keeps_nothing_running() -> None:
    app, api = make_app(run="Batch", workers=WORKERS), FakeApi()

    completed(app, api)

    assert api.objects["Deployment", "sim-workers"]["spec"]["replicas"] == 0
    assert summary(app, api)["message"] == "Completed"


def test_a_batch_is_done_although_a_pod_on_a_lost_node_never_ends() -> None:
    app, api = make_app(run="Batch", workers=WORKERS), FakeApi()
    ready(app, api)

    api.end_job("sim-master", "SuccessCriteriaMet")
    settle(app, api)

    assert api.objects["Deployment", "sim-workers"]["spec"]["replicas"] == 0
    assert summary(app, api)["conditions"]["Completed"]["status"] == "True"


def test_suspend_leaves_no_pod() -> None:
    api = FakeApi()
    ready(make_app(workers=WORKERS), api)

    settle(make_app(workers=WORKERS, suspend=True), api)

    counts = [
        body["spec"].get("replicas")
        for (kind, _), body in api.objects.items()
        if kind == "Deployment"
    ]
    assert counts == [0, 0]


def test_the_scale_subresource_finds_the_workers() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()

    ready(app, api)

    found = summary(app, api)
    assert found["replicas"] == 2
    assert found["selector"] == "clusterous.io/app=sim,clusterous.io/component=workers"


def test_endpoints_tell_where_to_connect() -> None:
    expose = [{"name": "page", "component": "master", "port": "http", "message": "{url}"}]
    app, api = make_app(expose=expose), FakeApi()

    assert summary(app, api)["endpoints"] == [
        {
            "name": "page",
            "component": "master",
            "service": "sim-master",
            "port": 8080,
            "message": "{url}",
        }
    ]


def test_a_claim_that_is_not_there_is_named() -> None:
    app, api = make_app(sharedVolume={"claimName": "mine"}), FakeApi()

    found = summary(app, api)["conditions"]["VolumeBound"]

    assert found["message"] == "The claim mine does not exist; make it, or name another."


def test_filling_workers_want_what_fits() -> None:
    app, api = make_app(workers={}), FakeApi()
    size = Size(targets={"workers": sizing.Target(count=3)})
    settle(app, api, size)

    assert api.objects["Deployment", "sim-workers"]["spec"]["replicas"] == 3
    assert summary(app, api, size)["workers"] == "0/3"


def test_filling_with_nothing_is_not_ready() -> None:
    app, api = make_app(workers={}), FakeApi()
    size = Size(targets={"workers": sizing.Target(count=0)})
    settle(app, api, size)
    api.run()

    found = summary(app, api, size)

    assert found["conditions"]["Ready"]["status"] == "False"
    assert found["message"] == "workers: no node has room for one"


def test_writing_the_same_again_changes_nothing() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()
    ready(app, api)
    first = appstatus.summarize(api.observe(app), Size(), {}, "2026-01-01T00:00:00Z")

    assert appstatus.summarize(api.observe(app), Size(), first, NOW) == first


def test_only_a_changed_status_changes_its_time() -> None:
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": "then"}]

    same = conditions.write([Condition(type=Type.READY, status=True, reason="New")], old, 1, "now")
    other = conditions.write([Condition(type=Type.READY, status=False, reason="R")], old, 1, "now")

    assert [item["lastTransitionTime"] for item in same + other] == ["then", "now"]


def test_a_mistake_is_told_and_the_rest_is_kept() -> None:
    app, api = make_app(workers=WORKERS), FakeApi()
    ready(app, api)
    before = appstatus.summarize(api.observe(app), Size(), {}, NOW)

    found = appstatus.stalled(2, "It cannot be.", before, NOW)

    told = {item["type"]: item["status"] for item in found["conditions"]}
    assert (told["Ready"], told["Stalled"], told["VolumeBound"]) == ("False", "True", "True")
    assert (found["observedGeneration"], found["message"]) == (2, "It cannot be.")
    assert found["workers"] == "2/2"


def test_models_and_status_agree_on_an_app_without_workers() -> None:
    app = models.parse({"metadata": {"name": "a"}, "spec": {"image": "i", "master": {}}})

    found = summary(app, FakeApi())

    assert "workers" not in found
    assert "WorkersReady" not in found["conditions"]


def test_a_claim_that_is_deleted_under_its_app_is_told() -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    api.run()
    claim = api.objects["PersistentVolumeClaim", "sim-data"]
    claim["metadata"]["deletionTimestamp"] = NOW

    found = summary(app, api)

    assert found["volume"] == "Deleting"
    assert found["conditions"]["VolumeBound"]["reason"] == "Deleting"
    assert "nothing is put in its place" in found["conditions"]["VolumeBound"]["message"]
