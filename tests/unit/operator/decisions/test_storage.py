"""An app's claim: it grows where it may, goes with the app if asked to, and reaches its pods."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from clusterous_api import names
from clusterous_api.models import App
from clusterous_operator.cache import observed
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Node
from clusterous_operator.decisions import plan, storage
from clusterous_operator.decisions.counting import Size
from clusterous_operator.status import appstatus
from tests.unit.operator.making import (
    NOW,
    FakeApi,
    make_app,
    make_node,
    make_pod,
    settle,
    steps_of,
    summary,
)


def app_with(**volume: Any) -> App:
    return make_app(master={}, workers={"replicas": 2}, sharedVolume=volume)


def bound(app: App) -> FakeApi:
    api = FakeApi()
    settle(app, api)
    api.run()
    claim = api.objects["PersistentVolumeClaim", "sim-data"]
    claim["spec"] |= {"volumeName": "pv-1", "storageClassName": "standard"}
    return api


def test_more_is_asked_for_where_the_class_allows_it() -> None:
    api = bound(app_with(size="1Gi"))
    larger = app_with(size="2Gi")

    grows = dataclasses.replace(api.observe(larger), can_grow=True)

    (step,) = storage.growth(grows)
    assert step.body == {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    assert storage.words(grows) == ""


def test_says_why_a_volume_stays_as_it_is() -> None:
    api = bound(app_with(size="1Gi"))
    larger = app_with(size="2Gi")

    assert storage.growth(api.observe(larger)) == []
    told = summary(larger, api)["conditions"]["VolumeBound"]
    assert (told["status"], told["reason"]) == ("True", "NotResizable")
    assert "storage class standard does not let volumes grow to the 2Gi" in told["message"]


@pytest.mark.parametrize("size", ["1Gi", "1024Mi", "512Mi"])
def test_a_claim_that_is_large_enough_is_left_alone(size: str) -> None:
    api = bound(app_with(size="1Gi"))

    assert storage.more(api.observe(app_with(size=size))) is None


def test_a_claim_goes_with_its_app_only_as_long_as_that_is_asked_for() -> None:
    kept = app_with(size="1Gi")
    api = bound(kept)

    (goes,) = steps_of(api.observe(app_with(size="1Gi", retentionPolicy="Delete")))
    claim = api.objects["PersistentVolumeClaim", "sim-data"]
    claim["metadata"]["ownerReferences"] = [{"uid": "app-uid", "controller": True}]
    (stays,) = steps_of(api.observe(kept))

    assert isinstance(goes, plan.Patch)
    assert goes.body["metadata"]["ownerReferences"][0]["uid"] == "app-uid"
    assert isinstance(stays, plan.Patch)
    assert stays.body == {"metadata": {"ownerReferences": None}}


def test_a_new_claim_that_is_to_go_has_its_owner_from_the_first() -> None:
    api = bound(app_with(retentionPolicy="Delete"))

    (owner,) = api.objects["PersistentVolumeClaim", "sim-data"]["metadata"]["ownerReferences"]
    assert owner["uid"] == "app-uid"


def test_a_claim_that_somebody_else_made_is_never_given_away() -> None:
    api = bound(app_with(size="1Gi"))
    api.objects["PersistentVolumeClaim", "sim-data"]["metadata"]["labels"] = {}
    goes = app_with(size="1Gi", retentionPolicy="Delete")

    assert steps_of(api.observe(goes)) == []


NODES = (make_node("a", labels={"zone": "x"}), make_node("b", labels={"zone": "x"}))
HERE = {
    "required": {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["y"]}]}
        ]
    }
}
TWO = {"master": 1, "workers": 1}


def tied(mode: str = "ReadWriteOnce", nodes: tuple[Node, ...] = NODES, **more: Any) -> Look:
    """Return what is seen where a claim of that mode is bound on a cluster of these nodes."""
    app = app_with(accessMode=mode)
    api = bound(app)
    api.nodes = nodes
    ordinary: dict[str, Any] = {"reach": {}}
    return dataclasses.replace(api.observe(app), **(ordinary | more))


def refusal(seen: Look, replicas: Mapping[str, int] | None = None) -> str | None:
    return storage.refusal(seen, TWO if replicas is None else replicas)


def test_a_volume_of_one_node_is_refused_to_pods_of_several() -> None:
    assert refusal(tied()) == (
        "The claim sim-data can be mounted on one node at a time, since it is not ReadWriteMany, "
        "but the app's 2 pods may run on 2 nodes. Use a volume with ReadWriteMany, or keep all "
        "components on one node by placement."
    )


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(tied("ReadWriteMany"), id="for many"),
        pytest.param(tied(nodes=NODES[:1]), id="one node"),
        pytest.param(
            tied(nodes=(NODES[0], make_node("b", schedulable=False))), id="one that can be used"
        ),
        pytest.param(
            tied(nodes=(*NODES, make_node("c", labels={"zone": "y"})), reach=HERE),
            id="a volume that is on one node",
        ),
        pytest.param(tied(reach=None), id="a volume of which nobody knows"),
        pytest.param(tied(pods=(make_pod(), make_pod("workers"))), id="all run together already"),
    ],
)
def test_what_can_work_is_not_refused(seen: Look) -> None:
    assert refusal(seen) is None


@pytest.mark.parametrize(
    "changes", [{"ready": False}, {"deleting": True}], ids=["not ready", "ending"]
)
def test_pods_that_do_not_work_say_nothing_of_where_they_can(changes: dict[str, Any]) -> None:
    pods = (make_pod(), make_pod("workers", **changes))

    assert refusal(tied(pods=pods)) is not None


def test_only_components_that_have_pods_are_asked_where_they_may_be() -> None:
    placed = {"placement": {"nodeSelector": {"name": "a"}}}
    app = make_app(master={}, workers={"replicas": 2, **placed})
    nodes = (make_node("a", labels={"name": "a"}), make_node("b"))

    assert storage.refusal(tied(nodes=nodes, app=app), {"master": 0, "workers": 2}) is None


def test_one_pod_may_be_anywhere() -> None:
    assert refusal(tied(), {"master": 1, "workers": 0}) is None


def test_placement_on_one_node_is_as_good() -> None:
    placed = {"placement": {"nodeSelector": {"name": "a"}}}
    app = make_app(master=placed, workers={"replicas": 1, **placed})
    nodes = (make_node("a", labels={"name": "a"}), make_node("b"))

    assert storage.refusal(tied(nodes=nodes, app=app), TWO) is None


def lost(**more: Any) -> tuple[App, FakeApi]:
    """An app whose claim, once bound to pvc-1, is gone."""
    app, api = make_app(**more), FakeApi()
    settle(app, api)
    api.run()
    claim = api.objects.get((observed.CLAIM, "sim-data"))
    if claim is not None:
        claim["spec"] |= {"volumeName": claim["spec"].get("volumeName", "pvc-1")}
    api.told = appstatus.summarize(api.observe(app), Size(), {}, NOW)
    api.objects.pop((observed.CLAIM, "sim-data"), None)
    return app, api


def test_a_claim_that_was_deleted_is_not_made_anew_unasked() -> None:
    app, api = lost()

    assert settle(app, api) == []

    found = summary(app, api, before=api.told)
    ready = found["conditions"]["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "VolumeDeleted")
    assert found["conditions"]["Stalled"]["status"] == "True"
    assert "volume pvc-1" in ready["message"]
    assert f"{names.ANNOTATION_BEGIN_EMPTY}=pvc-1" in ready["message"]
    assert found["claim"] == {"name": "sim-data", "volume": "pvc-1"}


@pytest.mark.parametrize(
    ("named", "is_made"), [("pvc-1", True), ("pvc-0", False)], ids=["this one", "an earlier one"]
)
def test_who_names_the_lost_volume_begins_with_an_empty_one(named: str, is_made: bool) -> None:
    app, api = lost()
    app = dataclasses.replace(app, annotations={names.ANNOTATION_BEGIN_EMPTY: named})

    settle(app, api)

    assert ((observed.CLAIM, "sim-data") in api.objects) == is_made


def test_a_claim_that_is_put_back_by_hand_is_taken() -> None:
    app, api = lost()
    api.objects[observed.CLAIM, "sim-data"] = {
        "metadata": {"namespace": "lab", "name": "sim-data"},
        "spec": {"volumeName": "pvc-1", "accessModes": ["ReadWriteMany"]},
        "status": {"phase": "Bound"},
    }

    assert settle(app, api) == []
    assert summary(app, api)["conditions"]["Ready"]["reason"] == "Ready"


def test_what_lies_on_an_nfs_server_is_claimed_again() -> None:
    nfs = {"existing": {"nfs": {"server": "192.0.2.9"}}}
    app, api = lost(sharedVolume=nfs)

    settle(app, api)

    assert (observed.CLAIM, "sim-data") in api.objects


def test_a_claim_that_was_never_bound_is_made_again() -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    api.told = appstatus.summarize(api.observe(app), Size(), {}, NOW)
    del api.objects[observed.CLAIM, "sim-data"]

    settle(app, api)

    assert (observed.CLAIM, "sim-data") in api.objects


def test_who_had_a_claim_of_his_own_does_not_slip_onto_the_clusters_volume() -> None:
    app, api = lost()
    api.cluster = {names.CLUSTER_VOLUME_KEY: "{nfs: {server: 192.0.2.9}}"}

    assert settle(app, api) == []
    assert api.observe(app).claim_name == "sim-data"
