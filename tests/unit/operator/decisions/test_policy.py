"""What the failure policy makes of what is seen."""

import dataclasses

import pytest

from clusterous_api.models import App
from clusterous_operator.decisions import plan, policy
from clusterous_operator.objects.failure import Failure, Fallen
from clusterous_operator.status import appstatus
from tests.unit.operator.decisions.batches import LATER, POLICY, SEARCH, batch, ended, running, tell
from tests.unit.operator.making import NOW, FakeApi, make_app, make_pod, settle, steps_of, summary


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


def test_the_first_failure_after_a_status_that_tells_of_none_is_news() -> None:
    app = make_app(workers={"replicas": 2}, failurePolicy=POLICY)
    api = running(app)
    tell(app, api)
    crash(api, "workers")

    assert policy.is_news(api.observe(app))


def test_a_job_that_is_done_stays_what_it_is_when_all_others_start_again() -> None:
    all_again = {"maxRestarts": 1, "rules": [{"action": "RestartApp", "exitCodes": [3]}]}
    waits = [{"name": "prepare", "until": "Complete"}]
    app = make_app(
        workers={"replicas": 2, "dependsOn": waits},
        components=[{"name": "prepare"}],
        failurePolicy=all_again,
    )
    api = running(app)
    api.end_job("sim-prepare", at=NOW)
    settle(app, api)
    api.run()
    crash(api, "workers")

    attempts = policy.judged(api.observe(app)).attempts

    assert (attempts["workers"], attempts["prepare"]) == (1, 0)


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
