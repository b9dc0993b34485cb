"""How an app ends, and what is remembered of that."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from clusterous_api.models import App
from clusterous_operator import manifests
from clusterous_operator.cache.look import Look
from clusterous_operator.decisions import ending, plan
from clusterous_operator.decisions.ending import Ended
from tests.unit.operator.decisions.batches import LATER, SEARCH, batch, ended, of_two, running, tell
from tests.unit.operator.making import NOW, FakeApi, make_app, make_body, settle, steps_of, summary


@pytest.mark.parametrize(
    ("operator", "done", "is_over"),
    [
        pytest.param("All", ["master"], False, id="all, one done"),
        pytest.param("All", ["master", "search"], True, id="all, both done"),
        pytest.param("Any", ["search"], True, id="any, one done"),
    ],
)
def test_success_is_as_the_policy_says(operator: str, done: list[str], is_over: bool) -> None:
    app = of_two(operator)
    api = running(app)

    for name in done:
        api.end_job(f"sim-{name}", at=NOW)

    assert (ended(app, api) is not None) is is_over


@pytest.mark.parametrize(
    ("operator", "lost", "is_over"),
    [
        pytest.param("All", ["search"], True, id="all, one lost"),
        pytest.param("Any", ["search"], False, id="any, one lost"),
        pytest.param("Any", ["search", "master"], True, id="any, both lost"),
    ],
)
def test_a_batch_has_failed_when_success_is_out_of_reach(
    operator: str, lost: list[str], is_over: bool
) -> None:
    app = of_two(operator)
    api = running(app)

    for name in lost:
        api.end_job(f"sim-{name}", "Failed", "no", at=NOW)

    end = ended(app, api)
    assert (end is not None and not end.succeeded) is is_over


def test_the_deadline_ends_a_batch_though_another_may_yet_succeed() -> None:
    app = of_two("Any", activeDeadlineSeconds=60)
    api = running(app)

    api.end_job("sim-master", "Failed", "too long", reason="DeadlineExceeded", at=NOW)

    assert ended(app, api) == Ended(
        succeeded=False, reason="DeadlineExceeded", words="too long", at=NOW
    )
    assert api.objects["Job", "sim-master"]["spec"]["activeDeadlineSeconds"] == 60
    assert "activeDeadlineSeconds" not in api.objects["Job", "sim-search"]["spec"]


def test_what_is_not_done_is_stopped_when_the_batch_is() -> None:
    app = of_two("Any")
    api = running(app)
    api.end_job("sim-search", at=NOW)

    (step,) = settle(app, api)

    assert isinstance(step, plan.Patch)
    assert (step.child.name, step.body) == ("sim-master", {"spec": {"suspend": True}})


def test_a_service_is_not_done_when_a_job_of_its_is() -> None:
    waits = [{"name": "prepare", "until": "Complete"}]
    app = make_app(master={"dependsOn": waits}, components=[{"name": "prepare"}])
    api = running(app)

    api.end_job("sim-prepare", at=NOW)

    assert ended(app, api) is None
    assert ("Deployment", "sim-master") in running_again(app, api).objects


def running_again(app: App, api: FakeApi) -> FakeApi:
    settle(app, api)
    return api


def test_the_limits_of_a_job_that_runs_can_be_changed() -> None:
    api = running(batch(batch={"backoffLimit": 2, "activeDeadlineSeconds": 60}))

    (step,) = settle(batch(batch={"backoffLimit": 5}), api)

    assert isinstance(step, plan.Patch)
    assert step.body == {"spec": {"backoffLimit": 5, "activeDeadlineSeconds": None}}


# What is remembered of it.


def done(ttl: int | None = 60, **more: Any) -> tuple[App, FakeApi]:
    """Return a batch that ended at noon and told so."""
    limits = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
    app = batch(batch=limits, **more)
    api = running(app)
    api.end_job("sim-master", at=NOW)
    tell(app, api)
    return app, api


def seen_at(app: App, api: FakeApi, time: str) -> Look:
    """Return what is seen at a time, as the reconcile completes it."""
    seen = api.observe(app)
    cleared = ending.clears_in(seen, datetime.fromisoformat(time)) == 0
    return dataclasses.replace(seen, cleared=cleared)


def clear(app: App, api: FakeApi) -> None:
    api.carry_out(steps_of(seen_at(app, api, LATER)))


def test_all_but_the_data_goes_after_its_time() -> None:
    app, api = done(ttl=60)

    early = steps_of(seen_at(app, api, NOW))
    clear(app, api)

    assert early == []
    assert {kind for kind, _ in api.objects} == {"PersistentVolumeClaim"}


def test_an_end_is_of_when_it_was_told_first() -> None:
    app, api = done()

    api.end_job("sim-master", at=LATER)

    assert ended(app, api) == Ended(succeeded=True, reason="Completed", at=NOW)


def test_a_batch_ends_by_those_that_its_policy_names() -> None:
    success = {"operator": "All", "components": ["master"]}
    app = batch(components=SEARCH, batch={"successPolicy": success})
    api = running(app)

    api.end_job("sim-master", at=NOW)

    assert ended(app, api) == Ended(succeeded=True, reason="Completed", at=NOW)


def test_it_is_known_when_all_but_the_data_goes() -> None:
    app, api = done(ttl=60)
    end, look = datetime.fromisoformat(NOW), api.observe(app)

    waits = [ending.clears_in(look, end + timedelta(seconds=passed)) for passed in (0, 59.5, 61)]

    assert waits == [60.0, 0.5, 0.0]


def test_nothing_goes_before_the_status_tells_of_the_end() -> None:
    app, api = done(ttl=0)
    api.told = {}

    left = ending.clears_in(api.observe(app), datetime.fromisoformat(LATER))

    assert left is not None
    assert left > 0


@pytest.mark.parametrize("clock", [pytest.param(LATER, id="on"), pytest.param(NOW, id="set back")])
def test_what_was_cleared_away_is_not_made_again(clock: str) -> None:
    app, api = done()
    clear(app, api)

    assert steps_of(seen_at(app, api, clock)) == []
    found = summary(app, api, before=api.told)
    assert found["conditions"]["Completed"]["status"] == "True"
    assert found["completionTime"] == NOW


def test_it_stays_done_when_something_else_changes() -> None:
    app, api = done()
    clear(app, api)

    other = batch(batch={"ttlSecondsAfterFinished": 60}, workers={"replicas": 3})

    assert ended(other, api) == Ended(succeeded=True, reason="Completed", words="", at=NOW)


def test_another_run_is_made_when_it_is_to_run_something_else() -> None:
    app, api = done()
    clear(app, api)

    other = batch(batch={"ttlSecondsAfterFinished": 60}, image="example.org/sim:2")
    settle(other, api)

    assert ("Job", "sim-master") in api.objects
    assert ended(other, api) is None


def test_a_job_that_somebody_deleted_after_its_end_is_not_run_again() -> None:
    app, api = done(ttl=None)
    del api.objects["Job", "sim-master"]

    assert steps_of(api.observe(app)) == []


def test_a_failed_batch_is_remembered_as_failed() -> None:
    app = batch(batch={"ttlSecondsAfterFinished": 60})
    api = running(app)
    api.end_job("sim-master", "Failed", "backoff limit", reason="BackoffLimitExceeded", at=NOW)
    tell(app, api)

    clear(app, api)

    assert ended(app, api) == Ended(
        succeeded=False, reason="MasterFailed", words="backoff limit", at=NOW
    )
    assert summary(app, api, before=api.told)["conditions"]["Stalled"]["status"] == "True"


def test_the_old_run_is_not_taken_for_the_new_ones_end() -> None:
    _, api = done(ttl=None)

    assert ended(batch(image="example.org/sim:2"), api) is None


def test_the_hash_of_a_run_is_of_its_jobs_only() -> None:
    body = make_body(run="Batch", master={}, workers={})

    same = manifests.run_of(batch()), manifests.run_of(batch(workers={"replicas": 7}))

    assert same[0] == same[1]
    assert manifests.run_of(batch(image="example.org/sim:2")) != same[0]
    assert body["spec"]["run"] == "Batch"


@pytest.mark.parametrize("suspend", [False, True])
def test_what_was_done_stays_told_when_its_jobs_are_cleared_away(suspend: bool) -> None:
    app, api = make_app(run="Batch"), FakeApi()
    settle(app, api)
    api.end_job("sim-master", at=NOW)
    before = summary(app, api)
    api.told = {**before, "conditions": list(before["conditions"].values())}
    del api.objects["Job", "sim-master"]
    app = dataclasses.replace(app, suspend=suspend)

    after = summary(app, api, before=api.told)

    assert after["components"] == before["components"]
    assert after["components"][0]["progress"] == "1 of 1 done"
    assert after["master"] == before["master"] == "1/1"


def test_a_batch_that_is_suspended_does_not_wait_for_a_pod() -> None:
    app, api = make_app(run="Batch", suspend=True), FakeApi()
    settle(app, api)

    assert summary(app, api)["components"][0]["progress"] == "0 of 1 done"
