"""How an app ends, is remembered, starts again and shares the room: facts from what is seen."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from clusterous_api import quantity
from clusterous_api.models import App
from clusterous_operator import manifests
from clusterous_operator.cache.look import Look
from clusterous_operator.cache.observed import Pod
from clusterous_operator.capacity import sizing
from clusterous_operator.decisions import counting, ending, fill, plan, policy
from clusterous_operator.decisions.counting import Size
from clusterous_operator.decisions.ending import Ended
from clusterous_operator.objects.failure import Failure, Fallen
from clusterous_operator.objects.idle import State
from clusterous_operator.objects.usage import Usage
from clusterous_operator.status import appstatus
from tests.unit.operator.making import (
    NOW,
    FakeApi,
    make_app,
    make_body,
    make_node,
    make_pod,
    settle,
    steps_of,
    summary,
)

LATER = "2026-11-22T12:05:00Z"
SEARCH = [{"name": "search"}]
POLICY = {"maxRestarts": 1, "rules": [{"action": "RestartGroup", "exitCodes": [3]}]}


def batch(**more: Any) -> App:
    return make_app(**({"run": "Batch", "master": {}} | more))


def of_two(operator: str, **more: Any) -> App:
    success = {"operator": operator, "components": ["master", "search"]}
    return batch(components=SEARCH, batch={"successPolicy": success, **more})


def running(app: App) -> FakeApi:
    api = FakeApi()
    settle(app, api)
    api.run()
    return api


def ended(app: App, api: FakeApi) -> Ended | None:
    return ending.ended(api.observe(app))


def tell(app: App, api: FakeApi) -> None:
    """Write the status."""
    api.told = appstatus.summarize(api.observe(app), Size(), api.told, NOW)


# When a component is ready.


def test_a_job_is_ready_when_its_pods_are() -> None:
    app, api = make_app(run="Batch"), FakeApi()
    settle(app, api)
    master = app.components[0]
    before = counting.is_ready(api.observe(app), master)

    api.run()

    assert (before, counting.is_ready(api.observe(app), master)) == (False, True)


def test_a_deployment_that_tells_of_no_ready_pod_has_none() -> None:
    app, api = make_app(), FakeApi()
    settle(app, api)
    body = api.objects["Deployment", "sim-master"]
    body["status"] = {"observedGeneration": body["metadata"]["generation"]}

    assert not counting.is_ready(api.observe(app), app.components[0])


# How a batch ends.


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


# What the failure policy does.


def crash(
    api: FakeApi,
    component: str,
    attempt: int = 0,
    owner: str = "rs",
    code: int = 3,
    life: int = 0,
) -> None:
    failed = Failure(code=code, reason="Error")
    fallen = Fallen(attempt=attempt, owner=owner, failures=(failed,), life=life)
    api.pods = (make_pod(component, ready=False, fallen=fallen),)


def attempt_of(api: FakeApi, component: str, kind: str = "Deployment") -> str | None:
    template = api.objects[kind, f"sim-{component}"]["spec"]["template"]
    found: dict[str, str] = template["metadata"].get("annotations", {})
    return found.get("clusterous.io/restarts")


def test_a_failure_gives_the_group_a_new_number_once() -> None:
    app = make_app(workers={"replicas": 2}, failurePolicy=POLICY)
    api = running(app)
    crash(api, "workers")

    first = settle(app, api)
    again = steps_of(api.observe(app))

    assert [one.manifest["metadata"]["name"] for one in first if isinstance(one, plan.Apply)] == [
        "sim-workers"
    ]
    assert again == []
    assert attempt_of(api, "workers") == "1"
    assert attempt_of(api, "master") is None


def test_it_is_told_before_it_is_done_and_only_then() -> None:
    app = make_app(workers={"replicas": 2}, failurePolicy=POLICY)
    api = running(app)
    before = policy.is_news(api.observe(app))
    crash(api, "workers")

    news = policy.is_news(api.observe(app))
    tell(app, api)

    assert (before, news, policy.is_news(api.observe(app))) == (False, True, False)
    assert api.told["restarts"] == 1


def test_the_number_outlives_the_object() -> None:
    app = make_app(workers={"replicas": 2}, failurePolicy=POLICY)
    api = running(app)
    crash(api, "workers")
    tell(app, api)

    api.pods = ()
    del api.objects["Deployment", "sim-workers"]
    settle(app, api)

    assert attempt_of(api, "workers") == "1"


@pytest.mark.parametrize("written", [0, 1, 2])
def test_all_start_again_though_the_operator_ends_after_some_writes(written: int) -> None:
    everybody = {"maxRestarts": 1, "rules": [{"action": "RestartApp", "exitCodes": [3]}]}
    app = make_app(workers={"replicas": 2}, components=SEARCH, failurePolicy=everybody)
    api = running(app)
    crash(api, "workers")
    tell(app, api)

    api.carry_out(steps_of(api.observe(app))[:written])
    api.pods = ()  # the failed pod was replaced meanwhile
    settle(app, api)

    assert {attempt_of(api, name) for name in ("master", "workers", "search")} == {"1"}
    assert policy.judged(api.observe(app)).failed == ""


def test_a_job_is_replaced_and_its_old_pods_do_not_count_against_the_new_one() -> None:
    app = batch(failurePolicy=POLICY)
    api = running(app)
    old = api.objects["Job", "sim-master"]["metadata"]["uid"]
    crash(api, "master", owner=old)
    tell(app, api)

    settle(app, api)
    api.run()
    late = policy.judged(api.observe(app))

    assert attempt_of(api, "master", "Job") == "1"
    assert (late.attempts, late.failed) == ({"master": 1}, "")


def test_a_broken_job_that_is_to_start_again_has_not_ended_the_batch() -> None:
    app = batch(failurePolicy=POLICY)
    api = running(app)
    crash(api, "master", owner=api.objects["Job", "sim-master"]["metadata"]["uid"])

    api.end_job("sim-master", "Failed", "backoff limit", at=NOW)

    assert ended(app, api) is None


def failed() -> tuple[App, FakeApi]:
    """Return an app that the policy has ended."""
    app = make_app(workers={"replicas": 2}, failurePolicy={**POLICY, "maxRestarts": 0})
    api = running(app)
    crash(api, "workers")
    tell(app, api)
    settle(app, api)
    api.pods = ()
    return app, api


def test_an_app_that_has_failed_stays_at_nothing_when_its_pods_are_gone() -> None:
    app, api = failed()

    assert steps_of(api.observe(app)) == []
    assert api.objects["Deployment", "sim-workers"]["spec"]["replicas"] == 0
    assert api.objects["Deployment", "sim-master"]["spec"]["replicas"] == 0
    found = summary(app, api, before=api.told)
    assert found["conditions"]["Stalled"]["reason"] == "FailurePolicy"
    assert found["message"] == "workers failed: exit code 3, after no restart"


def test_it_stays_failed_though_another_error_was_told_meanwhile() -> None:
    app, api = failed()

    api.told = appstatus.stalled(
        app.generation, "The API server refused something.", api.told, LATER
    )

    assert policy.judged(api.observe(app)).failed


def test_a_new_spec_is_a_new_start() -> None:
    app, api = failed()

    changed = dataclasses.replace(app, generation=app.generation + 1)
    settle(changed, api)

    assert api.objects["Deployment", "sim-workers"]["spec"]["replicas"] == 2
    assert attempt_of(api, "workers") is None


@pytest.mark.parametrize("written", [0, 1, 2])
def test_what_failed_before_does_not_end_the_next_start(written: int) -> None:
    app, api = failed()
    crash(api, "workers")  # as a pod that was evicted: it stays, and goes on being failed

    changed = dataclasses.replace(app, generation=app.generation + 1)
    api.carry_out(steps_of(api.observe(changed))[:written])  # and the operator ends
    settle(changed, api)
    tell(changed, api)
    later = policy.judged(api.observe(changed))
    crash(api, "workers", life=changed.generation)
    again = policy.judged(api.observe(changed))

    assert (later.failed, later.attempts["workers"]) == ("", 0)
    assert again.failed
    assert steps_of(dataclasses.replace(api.observe(changed), verdict=later)) == []


def test_a_policy_that_goes_after_a_new_start_restarts_nothing() -> None:
    app, api = failed()
    changed = dataclasses.replace(app, generation=app.generation + 1)
    settle(changed, api)
    tell(changed, api)

    without = dataclasses.replace(changed, failure_policy=None, generation=3)

    assert steps_of(api.observe(without)) == []


def test_a_batch_that_has_failed_begins_again_only_with_another_run() -> None:
    fails = {"rules": [{"action": "Fail", "exitCodes": [3]}]}
    app = batch(failurePolicy=fails)
    api = running(app)
    crash(api, "master", owner=api.objects["Job", "sim-master"]["metadata"]["uid"])
    tell(app, api)
    settle(app, api)

    touched = dataclasses.replace(app, generation=2)
    other = batch(image="example.org/sim:2", failurePolicy=fails)
    mended = dataclasses.replace(other, generation=3)

    assert policy.judged(api.observe(touched)).failed
    assert not policy.judged(api.observe(mended)).failed
    settle(mended, api)
    assert api.objects["Job", "sim-master"]["spec"]["suspend"] is False


def test_numbers_stay_when_the_policy_goes() -> None:
    app = make_app(workers={"replicas": 2}, failurePolicy=POLICY)
    api = running(app)
    crash(api, "workers")
    tell(app, api)
    settle(app, api)

    without = make_app(workers={"replicas": 2})

    assert steps_of(api.observe(without)) == []


def test_apps_without_a_policy_carry_no_numbers() -> None:
    app = make_app(workers={"replicas": 2})
    api = running(app)
    crash(api, "workers")

    assert steps_of(api.observe(app)) == []


# Suspended for having nothing to do.


def test_an_idle_app_is_scaled_to_nothing_and_says_why() -> None:
    app = make_app(workers={"replicas": 2}, idle={"afterSeconds": 60})
    api = running(app)
    api.idle = State(since=datetime.fromisoformat(NOW), suspended=True)

    settle(app, api)
    api.run()

    assert api.objects["Deployment", "sim-workers"]["spec"]["replicas"] == 0
    found = summary(app, api)
    assert found["conditions"]["Suspended"]["status"] == "True"
    assert found["conditions"]["Suspended"]["reason"] == "Idle"
    assert found["idle"] == {"since": NOW, "suspended": True}
    assert "clusterous.io/resume" in found["message"]


# Groups that fill the cluster.


def filling(**more: Any) -> App:
    asks = {"resources": {"requests": {"cpu": "1"}}}
    group = {"name": "more", "fill": True, **asks, **more}
    return make_app(master={}, workers=asks, components=[group])


def sized(app: App, api: FakeApi, before: Size | None = None, now: float = 0.0) -> Size:
    known = {} if before is None else before.targets
    return fill.size(api.observe(app), known, now=now, patience=10.0)


def counted(size: Size) -> dict[str, int]:
    return {name: target.count for name, target in size.targets.items()}


def counts(app: App, api: FakeApi, **more: Any) -> dict[str, int]:
    """Return how many pods are to fill the cluster when the master has its place."""
    api.pods = (make_pod(),)
    seen = dataclasses.replace(api.observe(app), **more)
    others = {("lab", "other", "all")}
    return counted(fill.size(seen, {}, now=0.0, patience=10.0, others=others))


def test_groups_share_the_room_within_their_bounds() -> None:
    api = FakeApi()

    assert counts(filling(), api) == {"workers": 2, "more": 2}
    assert counts(filling(max=1), api) == {"workers": 3, "more": 1}


def test_pods_that_wait_come_first_unless_they_fill_the_cluster_themselves() -> None:
    api = FakeApi()
    waits = {"node": None, "placing": {}, "app": "other", "requests": {"cpu": sizing.Decimal(2)}}
    one, other = make_pod("one", **waits), make_pod("all", **waits)

    assert counts(filling(), api, usage=Usage((one,))) == {"workers": 1, "more": 1}
    assert counts(filling(), api, usage=Usage((other,))) == {"workers": 2, "more": 2}


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        pytest.param({"schedulable": False}, 5, id="cordoned"),
        pytest.param({"schedulable": False, "answers": False}, 5, id="silent"),
    ],
)
def test_what_runs_on_a_node_that_takes_no_more_counts_and_stays(
    closed: dict[str, Any], expected: int
) -> None:
    app = make_app(workers={"resources": {"requests": {"cpu": "1"}}})
    api = FakeApi()
    api.nodes = (make_node("open"), make_node("closed", **closed))
    ours = [make_pod("workers", node="closed", requests={"cpu": sizing.Decimal(1)}) for _ in "ab"]
    api.pods = (make_pod(requests={"cpu": sizing.Decimal(1)}, node="open"), *ours)

    assert counted(sized(app, api)) == {"workers": expected}
    api.pods = (api.pods[0], *(dataclasses.replace(one, deleting=True) for one in ours))
    assert counted(sized(app, api)) == {"workers": expected - 2}


def test_what_is_held_counts_towards_the_bounds() -> None:
    app = make_app(workers={"resources": {"requests": {"cpu": "1"}}, "min": 1, "max": 3})
    api = FakeApi()
    api.nodes = (make_node("open"), make_node("closed", schedulable=False))
    held = tuple(make_pod("workers", node="closed") for _ in "abcd")
    api.pods = (make_pod(node="open"), *held)

    assert counted(sized(app, api)) == {"workers": 3}
    api.pods = api.pods[:3]
    assert counted(sized(app, api)) == {"workers": 3}


def made(*requests: dict[str, int]) -> tuple[Pod, ...]:
    """Return workers that request what admission has made of them."""
    amounts = [{name: sizing.Decimal(number) for name, number in one.items()} for one in requests]
    return tuple(make_pod("workers", requests=one) for one in amounts)


def filled(api: FakeApi, workers: dict[str, Any] | None = None) -> App:
    """Return an app whose workers ask for memory only, and for no CPU; let it settle."""
    asks = {"resources": {"requests": {"memory": "1Gi"}}}
    app = make_app(master={}, workers={**asks, **(workers or {})})
    settle(app, api, sized(app, api))
    api.run()
    return app


GIB = 2**30


def test_pods_are_counted_as_admission_has_made_them() -> None:
    api = FakeApi()
    api.pods = (make_pod(),)
    app = filled(api)

    asked = sized(app, api)
    api.pods = (make_pod(), *made({"memory": GIB, "cpu": 1}))
    first = sized(app, api, asked)

    assert counted(asked) == {"workers": 16}
    assert counted(sized(app, api, first, now=11.0)) == {"workers": 4}


def test_while_pods_of_before_are_there_the_larger_requests_count() -> None:
    api = FakeApi()
    api.pods = (make_pod(), *made({"memory": 2 * GIB, "cpu": 1}))
    app = filled(api)
    workers = api.objects["Deployment", "sim-workers"]["status"]

    workers |= {"replicas": 5, "updatedReplicas": 1}
    during = counted(sized(app, api))
    api.pods = (make_pod(), *made({"memory": GIB // 2}))
    smaller = counted(sized(app, api))
    workers |= {"replicas": 4, "updatedReplicas": 4}

    newest = counted(sized(app, api))
    del api.objects["Deployment", "sim-workers"]

    assert during == {"workers": 4}
    assert smaller == {"workers": 16}
    assert newest == {"workers": 32}
    assert counted(sized(app, api)) == {"workers": 16}


def test_one_pod_stays_by_which_it_is_known_that_none_fits() -> None:
    api = FakeApi()
    app = filled(api)
    api.pods = (make_pod(), *made({"memory": GIB, "cpu": 8}))

    assert counted(sized(app, api)) == {"workers": 1}


def test_an_autoscaler_begins_with_what_runs() -> None:
    scaled = {"scaledBy": "Autoscaler", "min": 2, "max": 6}
    app, api = make_app(workers={"replicas": 4}), FakeApi()
    settle(app, api)
    child = api.children()["Deployment", "sim-workers"]
    after = make_app(workers=scaled)
    assert after.workers is not None

    assert counting.first_number(after, after.workers, child) == 4
    assert counting.first_number(after, after.workers, None) == 2
    more = dataclasses.replace(child, state={**child.state, "wanted": 9})
    assert counting.first_number(after, after.workers, more) == 6
    asleep = dataclasses.replace(child, state={**child.state, "wanted": 0})
    assert counting.first_number(after, after.workers, asleep) == 2


@pytest.mark.parametrize(
    ("groups", "nodes", "waiting", "long"),
    [
        pytest.param(1, 100, 99, False, id="few wait"),
        pytest.param(1, 100, 100, True, id="many wait"),
        pytest.param(2, 90, 0, False, id="two groups share few nodes"),
        pytest.param(2, 91, 0, True, id="two groups share many nodes"),
    ],
)
def test_what_takes_long_to_count_is_known_before(
    groups: int, nodes: int, waiting: int, long: bool
) -> None:
    more = [{"name": f"more-{number}", "fill": True} for number in range(groups - 1)]
    app = make_app(workers={}, components=more)
    pods = [make_pod(app="another", node=None, placing={}) for _ in range(waiting)]
    look = dataclasses.replace(
        FakeApi().observe(app),
        nodes=tuple(make_node(f"n{number}") for number in range(nodes)),
        usage=Usage(pods),
    )

    assert len(fill.fillers(app)) == groups
    assert fill.takes_long(look) is long


def test_the_next_look_is_when_time_alone_may_change_the_number() -> None:
    shrinks = sizing.Target(count=2, shrinking_since=10.0)
    yields = sizing.Target(count=2, yielding_since=15.0)

    assert fill._next_look([shrinks], 20.0, 300.0) == 290.0
    assert fill._next_look([shrinks, yields], 20.0, 300.0) == 25.0
    assert fill._next_look([yields], 45.0, 300.0) is None


def test_nothing_is_filled_when_nothing_runs() -> None:
    app, api = filling(), FakeApi()
    api.idle = State(suspended=True)

    assert counts(app, api) == {}


def test_what_fills_waits_until_the_master_has_its_place() -> None:
    app, api = filling(), FakeApi()

    before = sized(app, api)
    api.pods = (make_pod(),)

    assert counted(before) == {"workers": 0, "more": 0}
    assert counted(sized(app, api, before, now=1.0)) == {"workers": 2, "more": 2}


def test_what_fills_says_what_it_waits_for() -> None:
    app, api = filling(), FakeApi()
    size = sized(app, api)
    settle(app, api, size)

    found = summary(app, api, size)

    assert "workers: waits until the components beside it have their places" in found["message"]
    assert found["conditions"]["Ready"]["status"] == "False"


def test_a_master_without_any_place_keeps_nobody_waiting() -> None:
    asks = {"resources": {"requests": {"cpu": "1"}}}
    app = make_app(master={"resources": {"requests": {"cpu": "5"}}}, workers=asks)

    assert counted(sized(app, FakeApi())) == {"workers": 4}


def test_nobody_waits_for_ever_for_a_place_that_is_not_taken() -> None:
    app, api = filling(), FakeApi()

    first = sized(app, api)
    still = sized(app, api, first, now=29.0)
    api.nodes = (make_node(), make_node("new"))
    later = sized(app, api, still, now=30.0)

    assert first.look_again == 30.0
    assert still.look_again == 1.0
    assert counted(still) == {"workers": 0, "more": 0}
    assert counted(later) == {"workers": 4, "more": 4}
    assert later.look_again is None


def test_what_runs_stays_and_grows_when_a_lost_master_is_back() -> None:
    app, api = filling(), FakeApi()
    api.pods = (make_pod(),)
    before = sized(app, api)

    api.pods = ()
    api.nodes = (make_node(), make_node("new"))
    lost = sized(app, api, before, now=100.0)
    api.pods = (make_pod(),)
    back = sized(app, api, lost, now=101.0)

    assert counted(lost) == {"workers": 2, "more": 2}
    assert counted(back) == {"workers": 4, "more": 4}


def test_what_may_not_start_yet_keeps_nobody_waiting() -> None:
    later = {"name": "later", "replicas": 1, "dependsOn": [{"name": "workers"}]}
    app = make_app(workers={"resources": {"requests": {"cpu": "1"}}}, components=[later])
    api = FakeApi()
    api.pods = (make_pod(),)

    assert counted(sized(app, api)) == {"workers": 4}


@pytest.mark.parametrize("quick", ["workers", "master"])
def test_a_master_that_needs_a_whole_node_gets_one(quick: str) -> None:
    """Whoever is placed first, and however widely: see the order in which places are taken."""
    asks = {"resources": {"requests": {"cpu": "1"}}}
    app = make_app(master={"resources": {"requests": {"cpu": "4"}}}, workers=asks)
    api = FakeApi()
    api.nodes = (make_node("a"), make_node("b"))
    size = None
    for moment in range(4):
        size = sized(app, api, size, now=float(moment))
        order = [("workers", "1", counted(size)["workers"]), ("master", "4", 1)]
        for component, cpu, count in order if quick == "workers" else reversed(order):
            api.pods = placed(api, component, cpu, count)

    assert sorted(one.component or "" for one in api.pods) == ["master", *["workers"] * 4]


def placed(api: FakeApi, component: str, cpu: str, count: int) -> tuple[Pod, ...]:
    """Return the pods when as many as find a place have one, on the emptiest node each."""
    pods = api.pods
    asks = quantity.amounts({"cpu": cpu})
    while sum(one.component == component for one in pods) < count:
        left = sizing.room(api.nodes, Usage(pods))
        node = max(left, key=lambda name: left[name]["cpu"])
        if left[node]["cpu"] < asks["cpu"]:
            break
        pods += (make_pod(component, node=node, requests=asks),)
    return pods


def test_groups_stay_as_they_are_until_the_cluster_is_known() -> None:
    app, api = filling(), FakeApi()
    api.nodes = (make_node(),)

    assert counts(app, api, capacity_known=False) == {"workers": 0, "more": 0}


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


def test_why_pods_were_started_again_stays_in_the_status() -> None:
    app = make_app(workers={"replicas": 2}, failurePolicy=POLICY)
    api = running(app)
    crash(api, "workers")

    first = summary(app, api)
    api.told = {**first, "conditions": list(first["conditions"].values())}
    settle(app, api)
    api.pods = ()

    assert first["restartedFor"].startswith("workers failed: exit code 3; rule 1 of failurePolicy")
    assert summary(app, api, before=api.told)["restartedFor"] == first["restartedFor"]
