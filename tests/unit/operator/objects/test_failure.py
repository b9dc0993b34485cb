"""The failure policy: the first rule that fits, each failure once, and never too many restarts."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterous_api import names
from clusterous_api.models import Action, FailurePolicy, Rule
from clusterous_operator.objects import failure
from clusterous_operator.objects.failure import Failure, Fallen, Verdict


def policy(*rules: Rule, most: int = 3) -> FailurePolicy:
    return FailurePolicy(rules=rules, max_restarts=most)


def rule(action: Action, *codes: int, **more: Any) -> Rule:
    return Rule(action=action, exit_codes=codes, **more)


def fallen(attempt: int = 0, code: int | None = 3, reason: str = "Error") -> Fallen:
    return Fallen(attempt=attempt, owner="x", failures=(Failure(code=code, reason=reason),))


GROUP = rule(Action.RESTART_GROUP, 3)


def test_a_failure_starts_its_group_again() -> None:
    verdict = failure.judge(policy(GROUP), {"master": 0, "workers": 0}, {"workers": [fallen()]})

    assert verdict == Verdict(attempts={"master": 0, "workers": 1})


def test_many_failures_of_one_attempt_are_one_restart() -> None:
    verdict = failure.judge(policy(GROUP), {"workers": 1}, {"workers": [fallen(1)] * 3})

    assert verdict.attempts == {"workers": 2}


def test_a_failure_of_an_earlier_attempt_is_dealt_with_already() -> None:
    verdict = failure.judge(policy(GROUP), {"workers": 2}, {"workers": [fallen(1)]})

    assert verdict.attempts == {"workers": 2}


def test_the_whole_app_starts_again_at_one_number() -> None:
    everybody = policy(rule(Action.RESTART_APP, 3))

    verdict = failure.judge(everybody, {"master": 0, "workers": 2}, {"master": [fallen()]})

    assert verdict.attempts == {"master": 3, "workers": 3}


def test_says_what_failed_and_which_rule_wants_what() -> None:
    ends_alone = rule(Action.RESTART_GROUP, 4)
    everybody = policy(ends_alone, rule(Action.RESTART_APP, 3))
    seen = {"a": [fallen(code=4)], "part": [fallen(code=3)]}

    verdict = failure.judge(everybody, {"a": 0, "part": 0}, seen)

    assert verdict.cause == "part failed: exit code 3; rule 2 of failurePolicy says RestartApp"


def test_the_first_rule_that_fits_counts() -> None:
    rules = policy(rule(Action.IGNORE, 3, components=("workers",)), rule(Action.FAIL, 3))

    ignored = failure.judge(rules, {"workers": 0}, {"workers": [fallen()]})
    failed = failure.judge(rules, {"master": 0}, {"master": [fallen()]})

    assert ignored == Verdict(attempts={"workers": 0})
    assert failed.failed == "master failed: exit code 3"


def test_a_rule_fits_by_reason_too() -> None:
    by_reason = policy(Rule(action=Action.FAIL, reasons=("OOMKilled",)))

    verdict = failure.judge(by_reason, {"workers": 0}, {"workers": [fallen(0, 137, "OOMKilled")]})

    assert verdict.failed == "workers failed: exit code 137 (OOMKilled)"


def test_what_no_rule_names_is_left_to_kubernetes() -> None:
    verdict = failure.judge(policy(GROUP), {"workers": 0}, {"workers": [fallen(code=4)]})

    assert verdict == Verdict(attempts={"workers": 0})


def test_too_many_restarts_are_the_end() -> None:
    verdict = failure.judge(policy(GROUP, most=2), {"workers": 2}, {"workers": [fallen(2)]})

    assert verdict.attempts == {"workers": 2}
    assert verdict.failed == "workers failed: exit code 3, after 2 restarts"


def test_with_no_restarts_allowed_the_first_failure_is_the_end() -> None:
    verdict = failure.judge(policy(GROUP, most=0), {"workers": 0}, {"workers": [fallen()]})

    assert verdict.failed == "workers failed: exit code 3, after no restart"


groups = st.sampled_from(["master", "workers", "db"])
rules = st.builds(
    Rule,
    action=st.sampled_from(Action),
    components=st.lists(groups, max_size=2, unique=True).map(tuple),
    exit_codes=st.lists(st.integers(1, 4), max_size=3, unique=True).map(tuple),
    reasons=st.lists(st.sampled_from(["OOMKilled", "Evicted"]), max_size=1).map(tuple),
)
policies = st.builds(
    FailurePolicy,
    rules=st.lists(rules, min_size=1, max_size=4).map(tuple),
    max_restarts=st.integers(0, 3),
)
failures = st.builds(
    Failure,
    code=st.none() | st.integers(1, 4),
    reason=st.sampled_from(["", "Error", "OOMKilled", "Evicted"]),
)
sights = st.dictionaries(
    groups,
    st.lists(
        st.builds(
            Fallen,
            attempt=st.integers(0, 4),
            owner=st.just("x"),
            failures=st.lists(failures, min_size=1, max_size=2).map(tuple),
        ),
        max_size=3,
    ),
)


@given(policies, st.lists(sights, max_size=12))
def test_numbers_only_grow_and_never_above_what_is_allowed(
    wanted: FailurePolicy, seen: Sequence[Mapping[str, Sequence[Fallen]]]
) -> None:
    attempts: Mapping[str, int] = {"master": 0, "workers": 0, "db": 0}

    for sight in seen:
        verdict = failure.judge(wanted, attempts, sight)
        assert all(verdict.attempts[name] >= attempts[name] for name in attempts)
        assert max(verdict.attempts.values()) <= wanted.max_restarts
        attempts = verdict.attempts


@given(policies, sights)
def test_the_same_sight_again_changes_nothing(
    wanted: FailurePolicy, seen: Mapping[str, Sequence[Fallen]]
) -> None:
    at = {"master": 1, "workers": 0, "db": 2}
    # Pods of an attempt that is still to come cannot be seen.
    past = {name: [one for one in pods if one.attempt <= at[name]] for name, pods in seen.items()}

    first = failure.judge(wanted, at, past)

    assert failure.judge(wanted, first.attempts, past) == first


@given(policies, sights)
def test_the_order_of_pods_does_not_matter(
    wanted: FailurePolicy, seen: Mapping[str, Sequence[Fallen]]
) -> None:
    attempts = {"master": 1, "workers": 1, "db": 1}
    other = {name: list(reversed(pods)) for name, pods in reversed(seen.items())}

    one, two = (failure.judge(wanted, attempts, sight) for sight in (seen, other))

    assert (one.attempts, bool(one.failed)) == (two.attempts, bool(two.failed))


def pod(**status: Any) -> dict[str, Any]:
    owner = {"uid": "job-uid", "controller": True}
    annotations = {names.ANNOTATION_RESTARTS: "2"}
    return {"metadata": {"ownerReferences": [owner], "annotations": annotations}, "status": status}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}


@pytest.mark.parametrize(
    ("status", "found"),
    [
        pytest.param({"containerStatuses": [{"state": ended(3)}]}, [(3, "Error")], id="now"),
        pytest.param(
            {
                "containerStatuses": [
                    {"state": {"running": {}}, "lastState": ended(137, "OOMKilled")}
                ]
            },
            [(137, "OOMKilled")],
            id="before",
        ),
        pytest.param({"initContainerStatuses": [{"state": ended(4)}]}, [(4, "Error")], id="init"),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted"}, [(None, "Evicted")], id="the whole pod"
        ),
        pytest.param(
            {"phase": "Failed", "conditions": [DISRUPTED]},
            [(None, "TerminationByKubelet")],
            id="disrupted",
        ),
        pytest.param(
            {
                "phase": "Failed",
                "reason": "Evicted",
                "conditions": [DISRUPTED],
                "containerStatuses": [{"state": ended(137)}],
            },
            [(None, "Evicted"), (None, "TerminationByKubelet")],
            id="told to end, its code says nothing",
        ),
    ],
)
def test_reads_how_a_pod_failed(
    status: dict[str, Any], found: list[tuple[int | None, str]]
) -> None:
    read = failure.of_pod(pod(**status))

    assert read is not None
    assert (read.attempt, read.owner) == (2, "job-uid")
    assert [(one.code, one.reason) for one in read.failures] == found


def test_a_pod_is_of_its_controller_whoever_else_owns_it() -> None:
    body = pod(phase="Failed", reason="Evicted")
    body["metadata"]["ownerReferences"].insert(0, {"uid": "other-uid"})

    read = failure.of_pod(body)

    assert read is not None
    assert read.owner == "job-uid"


def test_a_pod_that_works_or_is_being_ended_has_not_failed() -> None:
    works = pod(containerStatuses=[{"state": ended(0, "Completed")}])
    going = pod(containerStatuses=[{"state": ended(143)}])
    going["metadata"]["deletionTimestamp"] = "now"

    assert failure.of_pod(works) is None
    assert failure.of_pod(going) is None


def test_a_pod_that_the_cluster_takes_away_has_its_reason_while_it_ends() -> None:
    evicted = {**DISRUPTED, "reason": "EvictionByEvictionAPI"}
    going = pod(conditions=[evicted], containerStatuses=[{"state": ended(143)}])
    stays = pod(conditions=[evicted])  # nobody ended it after all
    going["metadata"]["deletionTimestamp"] = "now"

    read = failure.of_pod(going)

    assert read is not None
    assert read.failures == (Failure(reason="EvictionByEvictionAPI"),)
    assert failure.of_pod(stays) is None


OVER = "2026-11-22T12:00:05Z"


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(
            {"containerStatuses": [{"state": {"terminated": {"exitCode": 3, "finishedAt": OVER}}}]},
            id="a container that ended",
        ),
        pytest.param(
            {
                "phase": "Failed",
                "reason": "Evicted",
                "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": OVER}],
            },
            id="a pod that ended",
        ),
        pytest.param({"phase": "Failed", "reason": "OutOfcpu"}, id="a pod that no node would have"),
        pytest.param(
            {
                "phase": "Failed",
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": OVER}
                ],
            },
            id="a pod that was taken away",
        ),
    ],
)
def test_knows_when_a_pod_failed(status: dict[str, Any]) -> None:
    made = OVER if status.get("reason") == "OutOfcpu" else "2026-11-22T11:00:00Z"
    found = failure.of_pod({"metadata": {"creationTimestamp": made}, "status": status})

    assert found is not None
    assert [one.at for one in found.failures] == [OVER]
    assert failure.since(found, OVER) == found
    assert failure.since(found, "2026-11-22T12:00:06Z") is None


def test_a_pod_counts_whose_nodes_clock_is_behind() -> None:
    ended = {"exitCode": 3, "finishedAt": "2026-11-22T11:59:00Z"}
    status = {"containerStatuses": [{"state": {"terminated": ended}}]}
    found = failure.of_pod({"metadata": {"creationTimestamp": OVER}, "status": status})

    assert found is not None
    assert failure.since(found, "2026-11-22T12:00:00Z") == found
