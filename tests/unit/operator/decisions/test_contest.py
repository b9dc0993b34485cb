"""Putting right has an end, and a word: who sets the field, where an autoscaler should point."""

import dataclasses
from typing import Any

import pytest

from clusterous_operator.cache.observed import CLAIM, DEPLOYMENT
from clusterous_operator.decisions import contest, counting, plan
from clusterous_operator.decisions.contest import PAUSE_SECONDS, Mends
from clusterous_operator.decisions.counting import Size
from clusterous_operator.status import appstatus
from tests.unit.operator.making import NOW, FakeApi, make_app, settle, steps_of

WORKERS = {"replicas": 2}
OBJECT = (DEPLOYMENT, "sim-workers")


class Fight:
    """An app that is ready, and somebody who changes one of its objects after each look."""

    def __init__(self, **spec: Any) -> None:
        self.app = make_app(workers=WORKERS, **spec)
        self.api = FakeApi()
        settle(self.app, self.api)
        self.api.run()
        self.mends: Mends = {}
        self.writes = 0

    def look(self, now: float, replicas: int | None = 5) -> list[plan.Step]:
        """Change the number of workers, then look once; return what was done about it."""
        if replicas is not None:
            self.api.objects[OBJECT]["spec"]["replicas"] = replicas
        seen = self.api.observe(self.app)
        go, self.mends = contest.sift(steps_of(seen), self.mends, seen.children, now)
        self.api.carry_out(go)
        self.mends = contest.counted(self.mends, go, seen.children, now)
        self.writes += len(go)
        return go


def test_who_is_overruled_again_and_again_stops() -> None:
    fight = Fight()

    for second in range(100):
        fight.look(second)

    assert fight.writes == 5
    assert fight.mends[OBJECT].held
    assert fight.mends[OBJECT].field == "spec.replicas"


def test_it_is_tried_once_more_after_a_while_and_no_oftener() -> None:
    fight = Fight()

    for second in range(0, 3600, 10):
        fight.look(second)

    assert fight.writes <= 5 + 3600 / PAUSE_SECONDS
    assert contest.look_again(fight.mends, 3600.0) is not None


def test_changes_by_people_are_put_right_every_time() -> None:
    fight = Fight()

    for number in range(10):
        fight.look(number * 1000.0)

    assert fight.writes == 10


def test_what_was_put_right_long_ago_does_not_count_any_more() -> None:
    fight = Fight()
    for second in range(4):
        fight.look(second)

    fight.look(3 + 2 * PAUSE_SECONDS - 1)
    soon = fight.mends[OBJECT].times
    fight.look(2 + 4 * PAUSE_SECONDS)
    late = fight.mends[OBJECT].times

    assert (soon, late) == (5, 1)


def test_another_wish_counts_anew() -> None:
    fight = Fight()
    for second in range(10):
        fight.look(second)

    fight.app = make_app(workers={"replicas": 3})
    done = fight.look(11)

    assert done
    assert not fight.mends.get(OBJECT) or not fight.mends[OBJECT].held


def test_what_is_right_by_itself_is_no_contest_any_more() -> None:
    fight = Fight()
    for second in range(10):
        fight.look(second)

    fight.look(11, replicas=2)

    assert fight.mends == {}


def test_a_job_that_others_suspend_again_and_again_is_left_too() -> None:
    app, api = make_app(run="Batch"), FakeApi()
    settle(app, api)
    mends: Mends = {}
    writes = 0
    for second in range(20):
        api.objects["Job", "sim-master"]["spec"]["suspend"] = True
        seen = api.observe(app)
        go, mends = contest.sift(steps_of(seen), mends, seen.children, second)
        api.carry_out(go)
        mends = contest.counted(mends, go, seen.children, second)
        writes += len(go)

    assert writes == 5
    assert mends["Job", "sim-master"].field == "spec.suspend"


def test_who_changes_now_this_and_now_that_is_left_too() -> None:
    fight = Fight()

    for second in range(0, 100, 2):
        fight.look(second)
        body = fight.api.objects[OBJECT]
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:1"
        fight.look(second + 1, replicas=None)

    assert fight.writes == 5


def test_a_claim_that_others_change_back_again_and_again_is_left_too() -> None:
    app, api = make_app(sharedVolume={"size": "1Gi", "retentionPolicy": "Delete"}), FakeApi()
    settle(app, api)
    claim = (CLAIM, "sim-data")
    api.objects[claim]["metadata"].pop("ownerReferences")
    mends: Mends = {}
    writes = 0
    for second in range(20):
        seen = api.observe(app)
        go, mends = contest.sift(steps_of(seen), mends, seen.children, second)
        mends = contest.counted(mends, go, seen.children, second)  # it comes to nothing
        writes += len(go)

    assert writes == 5
    assert mends[claim].field == "metadata.ownerReferences"


FIELDS = {"f:spec": {"f:replicas": {}}}
CONTAINER = {"f:containers": {'k:{"name":"master"}': {"f:image": {}}}}


@pytest.mark.parametrize(
    ("field", "entry", "manager"),
    [
        ("spec.replicas", {"fieldsV1": FIELDS, "subresource": "scale"}, "hpa (through scale)"),
        ("spec.replicas", {"fieldsV1": {"f:spec": {"f:paused": {}}}}, ""),
        (
            "spec.template.spec.containers[master].image",
            {"fieldsV1": {"f:spec": {"f:template": {"f:spec": CONTAINER}}}},
            "hpa",
        ),
        (
            "spec.template.spec.containers[other].image",
            {"fieldsV1": {"f:spec": {"f:template": {"f:spec": CONTAINER}}}},
            "",
        ),
        ("metadata.labels.a", {"fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}}, "hpa"),
    ],
)
def test_names_who_sets_a_field(field: str, entry: dict[str, Any], manager: str) -> None:
    ours = {"manager": "clusterous-operator", "fieldsV1": {**FIELDS, **entry["fieldsV1"]}}
    body = {"metadata": {"managedFields": [ours, {"manager": "hpa", **entry}]}}

    assert contest.managers(body, field) == manager


def test_the_status_names_field_and_manager_and_where_to_point() -> None:
    fight = Fight()
    for second in range(10):
        fight.look(second)
    found = fight.mends[OBJECT]
    told = contest.words(fight.app, {OBJECT: dataclasses.replace(found, by="hpa")})
    seen = dataclasses.replace(fight.api.observe(fight.app), contested=told)

    found_status = appstatus.summarize(seen, Size(), {}, NOW)

    ready, _, stalled = found_status["conditions"][:3]
    assert (ready["status"], ready["reason"], stalled["status"]) == ("False", "Contested", "True")
    assert "hpa changes spec.replicas of Deployment sim-workers" in ready["message"]
    assert "point at ClusterousApp sim" in ready["message"]
    assert counting.is_ready(seen, fight.app.components[0])


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("spec", "replicas"), 9, "spec.replicas"),
        (("metadata", "labels", "clusterous.io/component"), "x", "metadata.labels"),
        (
            ("spec", "template", "spec", "containers"),
            [{"name": "workers", "image": "evil:1"}],
            "spec.template.spec.containers[workers].image",
        ),
        (("spec", "template", "spec", "tolerations"), [], "spec.template.spec.tolerations"),
    ],
)
def test_says_which_field_differs(path: tuple[str, ...], value: Any, field: str) -> None:
    tolerations = [{"key": "spot", "operator": "Exists"}]
    workers = {**WORKERS, "placement": {"tolerations": tolerations}}
    app, api = make_app(workers=workers), FakeApi()
    settle(app, api)
    at = api.objects[OBJECT]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value

    step = next(
        one
        for one in steps_of(api.observe(app))
        if isinstance(one, plan.Apply) and one.manifest["metadata"]["name"] == "sim-workers"
    )

    found = plan.difference(step.manifest, api.children()[OBJECT])
    assert found.startswith(field)
