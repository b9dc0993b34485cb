"""A child counts, and may be removed, only if this very app owns it: a label is not enough."""

import dataclasses
from typing import Any

import pytest

from clusterous_api import models, names
from clusterous_operator.cache import observed
from clusterous_operator.decisions import ending, plan, situation
from clusterous_operator.decisions.counting import Size
from clusterous_operator.objects.failure import Failure, Fallen
from tests.unit.operator.making import (
    NOW,
    FakeApi,
    make_app,
    make_body,
    make_pod,
    settle,
    steps_of,
    summary,
)

BATCH: dict[str, Any] = {"run": "Batch", "master": {"command": ["x"]}}


def anew(uid: str = "new-uid", **spec: Any) -> models.App:
    """Return the app of a manifest that was deleted and applied again."""
    body = make_body(**({"master": {}} | spec))
    body["metadata"]["uid"] = uid
    return models.parse(body)


def stranger(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    labels = {names.LABEL_APP: "sim", names.LABEL_MANAGED_BY: "Helm"}
    made = {"namespace": "lab", "name": name, "uid": "u", "resourceVersion": "1", "labels": labels}
    spec = {"clusterIP": "10.43.0.1"} if kind == "Service" else {"replicas": 1}
    return {"kind": kind, "metadata": made | metadata, "spec": spec, "status": {}}


def test_a_batch_is_not_completed_by_the_job_of_an_earlier_app() -> None:
    api = FakeApi()
    settle(make_app(**BATCH), api)
    api.end_job("sim-master", at="2026-11-22T11:00:00Z")
    app = anew(**BATCH)

    found = summary(app, api)

    assert ending.ended(api.observe(app)) is None
    assert found["conditions"]["Ready"]["status"] == "False"
    assert found["conditions"]["Completed"]["status"] == "False"
    assert "completionTime" not in found
    assert steps_of(api.observe(app)) == []  # the collector removes it, and then we begin


def test_a_batch_begins_when_the_earlier_one_is_gone() -> None:
    api = FakeApi()
    settle(make_app(**BATCH), api)
    api.end_job("sim-master")
    api.objects = {key: one for key, one in api.objects.items() if "Claim" in key[0]}
    app = anew(**BATCH)

    done = [one for one in settle(app, api) if isinstance(one, plan.Apply)]

    assert "Job" in [one.manifest["kind"] for one in done]


def test_a_service_is_not_ready_by_the_deployments_of_an_earlier_app() -> None:
    api = FakeApi()
    settle(make_app(), api)
    api.run()

    assert summary(anew(), api)["conditions"]["Ready"]["status"] == "False"


def test_attempts_of_an_earlier_app_do_not_count() -> None:
    child = FakeApi()
    settle(make_app(), child)
    one = child.children()["Deployment", "sim-master"]
    old = dataclasses.replace(one, state={**one.state, "attempt": 4, "life": 2})

    found = observed.belonging("sim", "new-uid", [old])["Deployment", "sim-master"]

    assert found.deleting
    assert not {"attempt", "life"} & set(found.state)


def test_a_claim_that_goes_with_an_earlier_app_is_waited_for() -> None:
    volume = {"size": "1Gi", "retentionPolicy": "Delete"}
    api = FakeApi()
    settle(make_app(sharedVolume=volume), api)
    api.run()
    app = anew(sharedVolume=volume)
    seen = api.observe(app)

    assert seen.claim is not None
    assert seen.claim.deleting
    assert seen.claim_is_going
    claim = (observed.CLAIM, names.claim("sim"))
    kinds = [one.manifest["kind"] for one in steps_of(seen) if isinstance(one, plan.Apply)]
    assert observed.CLAIM not in kinds
    del api.objects[claim]
    assert not api.observe(app).claim_is_going


def test_a_claim_that_stays_is_used_again() -> None:
    api = FakeApi()
    settle(make_app(), api)
    api.objects = {key: one for key, one in api.objects.items() if "Claim" in key[0]}
    app = anew()

    assert not api.observe(app).claim_is_going
    assert api.observe(app).claim is not None


def test_a_claim_of_another_app_is_used_as_it_is() -> None:
    api = FakeApi()
    settle(make_app(sharedVolume={"size": "1Gi", "retentionPolicy": "Delete"}), api)
    [claim] = [one for one in api.children().values() if one.kind == observed.CLAIM]
    other = dataclasses.replace(claim, app="other")

    found = observed.belonging("sim", "new-uid", [other])[observed.CLAIM, claim.name]

    assert not found.deleting


def test_what_merely_bears_the_label_stays() -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    owner = {"kind": "Grafana", "uid": "somebody", "controller": True}
    for body in (
        stranger("Deployment", "grafana", ownerReferences=[owner]),
        stranger("Deployment", "by-hand"),
        stranger("Service", "by-helm"),
    ):
        api.objects[body["kind"], body["metadata"]["name"]] = body

    assert steps_of(api.observe(app)) == []


def test_what_kubectl_expose_made_stays() -> None:
    app, api = make_app(master={"ports": [{"name": "http", "port": 80}]}), FakeApi()
    settle(app, api)
    copied = api.objects["Service", "sim-master"]["metadata"]["labels"]
    body = stranger("Service", "sim-lb", labels=copied)
    api.objects["Service", "sim-lb"] = body

    assert steps_of(api.observe(app)) == []


def test_what_lost_its_owner_is_taken_in_or_removed() -> None:
    api = FakeApi()
    settle(make_app(workers={"replicas": 1}), api)
    for body in api.objects.values():
        body["metadata"].pop("ownerReferences", None)  # kubectl delete --cascade=orphan
    app = anew()

    steps = steps_of(api.observe(app))

    gone = [one.child.name for one in steps if isinstance(one, plan.Delete)]
    taken = [one.manifest["metadata"]["name"] for one in steps if isinstance(one, plan.Apply)]
    assert "sim-workers" in gone
    assert "sim-master" in taken


def test_data_that_goes_with_an_earlier_app_is_not_missed() -> None:
    volume = {"size": "1Gi", "retentionPolicy": "Delete"}
    api = FakeApi()
    settle(make_app(sharedVolume=volume), api)
    api.objects[observed.CLAIM, names.claim("sim")]["spec"]["volumeName"] = "pvc-of-before"
    api.run()
    app = anew(sharedVolume=volume)
    api.told = told = {
        **(found := summary(app, api)),
        "conditions": [*found["conditions"].values()],
    }
    api.objects = {}

    made = [
        one.manifest["kind"] for one in steps_of(api.observe(app)) if isinstance(one, plan.Apply)
    ]

    assert "claim" not in told
    assert observed.CLAIM in made
    assert summary(app, api, before=told)["conditions"]["Stalled"]["status"] == "False"


def test_nothing_starts_after_the_job_of_an_earlier_app() -> None:
    spec: dict[str, Any] = {
        "master": {"dependsOn": [{"name": "prepare", "until": "Complete"}]},
        "components": [{"name": "prepare"}],
    }
    api = FakeApi()
    settle(make_app(**spec), api)
    api.end_job("sim-prepare")
    settle(make_app(**spec), api)
    del api.objects["Deployment", "sim-master"]  # the collector began there
    app = anew(**spec)

    assert "master" not in situation.facts(api.observe(app), Size()).replicas
    assert "master: waits until prepare is complete" in summary(app, api)["message"]


CRASH = Failure(code=3, at="2026-11-22T11:59:59Z")
EVICTED = Failure(reason="Evicted", at="2026-11-22T11:59:59Z")
TO_THE_END: dict[str, Any] = {
    "failurePolicy": {"rules": [{"action": "Fail", "exitCodes": [3], "reasons": ["Evicted"]}]}
}


@pytest.mark.parametrize("failure", [CRASH, EVICTED])
def test_what_failed_before_an_app_was_made_does_not_end_it(failure: Failure) -> None:
    app = dataclasses.replace(anew(**TO_THE_END), created=NOW)
    api = FakeApi()
    settle(app, api)
    api.run()

    def verdict(failure: Failure) -> str:
        fallen = Fallen(attempt=0, owner="rs", failures=(failure,))
        api.pods = (make_pod(ready=False, fallen=fallen),)
        return api.observe(app).verdict.failed

    before = verdict(failure)
    since = verdict(dataclasses.replace(failure, at=NOW))

    assert (before, bool(since)) == ("", True)


def test_the_deployment_of_an_earlier_app_fails_no_later_one() -> None:
    api = FakeApi()
    settle(make_app(**TO_THE_END), api)
    api.run()
    fallen = Fallen(attempt=0, owner="rs", failures=(Failure(code=3),))
    api.pods = (make_pod(ready=False, fallen=fallen),)

    assert api.observe(make_app(**TO_THE_END)).verdict.failed
    assert api.observe(anew(**TO_THE_END)).verdict.failed == ""


def test_no_pod_is_told_the_address_of_an_earlier_apps_service() -> None:
    spec: dict[str, Any] = {"master": {"ports": [{"name": "http", "port": 80}]}}
    api = FakeApi()
    settle(make_app(**spec), api)
    del api.objects["Deployment", "sim-master"]  # the collector began there
    app = anew(**spec)

    before = steps_of(api.observe(app))
    del api.objects["Service", "sim-master"]
    after = settle(app, api)

    assert before == []
    address = api.objects["Service", "sim-master"]["spec"]["clusterIP"]
    template = api.objects["Deployment", "sim-master"]["spec"]["template"]
    assert [one["ip"] for one in template["spec"]["hostAliases"]] == [address]
    assert [one.manifest["kind"] for one in after if isinstance(one, plan.Apply)] == [
        "Service",
        "Deployment",
    ]
